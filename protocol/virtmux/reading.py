"""How the records of a place are taken: one by one, as bytes, or up to what was expected of them.

    taken  |  looked at, may still be part of a match  |  waits in the inbox
           ^ progress                                  ^ seen

What was looked at is taken later, by whoever comes next: an `expect` that fails takes nothing that another could want.
"""

import asyncio
import contextlib
import copy
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from virtmux.errors import ConsoleEnded, TimedOut
from virtmux.following import Progress, Record, Resumed
from virtmux.matching import Found, Search
from virtmux.messages import Gap, MarkMessage, PlaceEnded
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Reason
from virtmux.records import Attached, Break, Ended, Position
from virtmux.wire import Output

Notice = Callable[[Record], None]
"""What is given each record that is not output, as it passes."""


@dataclass(frozen=True, slots=True)
class Match:
    """What `Console.expect` found: the pattern with number `index`, and the `match` of it.

    `before` is what came between the start, or the last gap, and the match: its last bytes, at least 1 MiB of them
    where there are so many. `position` names what comes behind the match.
    """

    index: int
    match: re.Match[bytes]
    before: bytes
    position: Position


def is_telling(record: Record) -> bool:
    """Whether a reader of bytes is told of it: output, and ends."""
    return isinstance(record, Output | PlaceEnded) or _end(record) is not None


class Reader:
    """The records of one place. Everything but `next` takes turns; none of these while `next` waits, or in reverse."""

    def __init__(self, progress: Progress, receive: Callable[[], Awaitable[Record]]) -> None:
        """`receive` gives the next record, and loses none when it is cancelled."""
        self.progress = progress
        self.exhausted = False
        self.ahead: deque[Record] = deque()
        self._seen = progress
        self._receive = receive
        self._turn = asyncio.Lock()

    @property
    def seen(self) -> Progress:
        """How far the records were looked at."""
        return self._seen if self.ahead else self.progress

    async def next(self) -> Record:
        """Take the next record, as soon as there is one."""
        if self._turn.locked():
            raise RuntimeError("an `expect` or `read` is waiting for the records of this console")
        return await self._next()

    async def _next(self) -> Record:
        if self.ahead:
            return self._take()
        record = await self._receive()
        self.progress.take(record)
        self.exhausted = isinstance(record, PlaceEnded)
        return record

    async def read(self, size: int, seconds: float | None) -> bytes:
        """See `Console.read`."""
        async with self._within(seconds, "nothing was said"):
            while True:
                match await self._look(0):
                    case Output(offset=offset, data=data):
                        data = data[:size]
                        self._take_to(offset + len(data))
                        return data
                    case record:
                        self._take()
                        if (reason := _end(record)) is not None:
                            raise ConsoleEnded(reason)

    async def until_attached(self, seconds: float | None) -> None:
        """See `Console.until_attached`."""
        async with self._within(seconds, "the console was not attached"):
            while self.progress.attachment is None:
                if isinstance(record := await self._turn_over(), PlaceEnded):
                    raise ConsoleEnded(record.reason)

    async def until_ended(self, seconds: float | None, is_end: Callable[[Reason], bool]) -> Reason:
        """See `Console.until_ended`."""
        async with self._within(seconds, "the console did not end"):
            while True:
                state, why = self.progress, self.progress.why
                if state.caught_up and state.attachment is None and why is not None and is_end(why):
                    return why
                if isinstance(record := await self._turn_over(), PlaceEnded):
                    raise ConsoleEnded(record.reason)

    async def _turn_over(self) -> Record:
        if self.exhausted:
            raise self._over()
        return await self._next()

    async def expect(
        self, search: Search, seconds: float | None, *, must_be_attached: bool, notice: Notice | None
    ) -> Match:
        """See `Console.expect`."""
        wanted = " or ".join(repr(pattern.pattern) for pattern in search.patterns)
        async with self._within(seconds, f"expected {wanted}", lambda: search.seen):
            index, base = 0, self.progress.position.offset
            while True:
                if must_be_attached and index == len(self.ahead) and (why := self._not_attached()) is not None:
                    raise ConsoleEnded(why, search.seen)
                record, index = await self._look(index, notice), index + 1
                if isinstance(record, Output):
                    base = record.offset if search.is_new else base
                    if (found := search.feed(record.data)) is not None:
                        return self._matched(found, base)
                    index -= self._take_to(base + search.settled)
                elif _parts(record) or search.is_new:
                    for _ in range(index):
                        self._take()
                    index = 0
                    if (reason := _end(record)) is not None:
                        raise ConsoleEnded(reason, search.seen)
                    search.restart()

    def _matched(self, found: Found, base: int) -> Match:
        self._take_to(base + found.end)
        before = found.match.string[: found.match.start()]
        return Match(found.index, found.match, before, self.progress.position)

    def _not_attached(self) -> Reason | None:
        """Why nothing is attached, where that is known and nothing is on its way."""
        state = self.seen
        return state.why if state.caught_up and state.attachment is None and not state.disconnected else None

    async def _look(self, index: int, notice: Notice | None = None) -> Record:
        """The record so many behind the next one, as soon as it is there. It is not taken."""
        while len(self.ahead) <= index:
            if self.exhausted:
                raise self._over()
            record = await self._receive()
            if not self.ahead:
                self._seen = copy.copy(self.progress)
            self._seen.take(record)
            self.ahead.append(record)
            if notice is not None and not isinstance(record, Output):
                notice(record)
        return self.ahead[index]

    def _over(self) -> ConsoleEnded:
        return ConsoleEnded(self.progress.why or reason_now(Cause.DETACHED))

    def _take(self) -> Record:
        record = self.ahead.popleft()
        self.progress.take(record)
        self.exhausted = isinstance(record, PlaceEnded)
        return record

    def _take_to(self, offset: int) -> int:
        """Take what stands before an offset, a part of a record too; gives how many records that were whole."""
        count = 0
        while self.ahead and self.progress.position.offset < offset:
            record = self.ahead[0]
            if isinstance(record, Output) and record.offset + len(record.data) > offset:
                size = offset - record.offset
                self.progress.take(Output(record.console, record.offset, record.data[:size]))
                self.ahead[0] = Output(record.console, offset, record.data[size:])
                break
            self._take()
            count += 1
        return count

    @contextlib.asynccontextmanager
    async def _within(
        self, seconds: float | None, what: str, seen: Callable[[], bytes] = lambda: b""
    ) -> AsyncIterator[None]:
        """Whoever reads, in its turn and in time."""
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline, self._turn:
                yield
        except TimeoutError:
            if seconds is None or not deadline.expired():
                raise
            why = self.seen.why if self.seen.attachment is None else None
            raise TimedOut(what, seconds, seen=seen(), reason=why) from None


def _end(record: Record) -> Reason | None:
    """The reason where it says that an attachment ended, or the place. An opening that failed is no end."""
    match record:
        case PlaceEnded(reason=reason):
            return reason
        case MarkMessage(record=Ended(attachment=int(), reason=reason)):
            return reason
        case _:
            return None


def _parts(record: Record) -> bool:
    """Whether what comes behind it does not follow what came before it."""
    match record:
        case Resumed():
            return not record.continuous
        case MarkMessage(record=mark):
            return isinstance(mark, Attached | Break) or _end(record) is not None
        case _:
            return isinstance(record, Gap | PlaceEnded)
