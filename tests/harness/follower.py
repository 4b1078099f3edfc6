"""A client that follows one console and keeps all that it was given, for tests to wait on and look at."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import virtmux
from virtmux import Attached, Break, Console, Ended, Gap, MarkMessage, Note, Output, Reason, Record

_Mark = TypeVar("_Mark", Attached, Ended, Break, Note)

#: How long anything may take on a slow and loaded machine, in seconds.
PATIENCE = 30.0


class Follower:
    """See the module. Made by `follow`."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.records: list[Record] = []
        #: When each of them came, in seconds of the loop's clock.
        self.times: list[float] = []
        self._news = asyncio.Condition()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Take records until the place ends."""
        async for record in self.console:
            async with self._news:
                self.records.append(record)
                self.times.append(self._loop.time())
                self._news.notify_all()

    async def until(self, true: Callable[["Follower"], object]) -> None:
        """Wait until something holds of what was received.

        Raises:
            TimeoutError: it never did; a note shows what came instead.
        """
        try:
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(lambda: true(self))
        except TimeoutError as error:
            error.add_note(f"received: {self.records!r}")
            raise

    async def until_output(self, expected: bytes) -> None:
        """Wait until the output holds these bytes."""
        await self.until(lambda self: expected in self.output)

    async def until_last(self, expected: bytes) -> None:
        """Wait until a piece of the output ends with these bytes."""
        await self.until(lambda self: isinstance(self.records[-1], Output) and self.records[-1].data.endswith(expected))

    async def until_offset(self, offset: int) -> None:
        """Wait until the output has come to an offset."""
        await self.until(lambda self: self.console.position.offset >= offset)

    async def until_attached(self) -> None:
        """Wait until the console is attached, as far as the records tell."""
        await self.until(lambda self: self.console.attachment is not None)

    async def until_noted(self, note: str) -> None:
        """Wait for a note."""
        await self.until(lambda self: note in self.notes)

    async def until_ended(self) -> Reason:
        """Wait for the first `ended` mark, and give its Reason."""
        await self.until(lambda self: self.reasons)
        return self.reasons[0]

    async def write(self, text: bytes) -> None:
        """Send input; returns once the guest's serial line has taken it."""
        async with asyncio.timeout(PATIENCE):
            await self.console.write(text)

    async def echo(self, text: bytes) -> None:
        """Send input, and wait until the guest says it again."""
        seen = len(self.output)
        await self.write(text)
        await self.until(lambda self: text in self.output[seen:])

    async def press(self, key: bytes) -> None:
        """Send what may end the guest, without waiting for its fate."""
        await self.console.send(key)

    @property
    def output(self) -> bytes:
        """All bytes received."""
        return b"".join(record.data for record in self.records if isinstance(record, Output))

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """The offset ranges received, neighbours joined."""
        ranges: list[tuple[int, int]] = []
        for record in self.records:
            if isinstance(record, Output):
                start, end = record.offset, record.offset + len(record.data)
                if ranges and ranges[-1][1] == start:
                    start = ranges.pop()[0]
                ranges.append((start, end))
        return ranges

    def marks(self, kind: type[_Mark]) -> list[_Mark]:
        """The marks of one kind."""
        records = (record.record for record in self.records if isinstance(record, MarkMessage))
        return [record for record in records if isinstance(record, kind)]

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """The offset ranges that were named as gaps."""
        return [(record.offset, record.to_offset) for record in self.records if isinstance(record, Gap)]

    @property
    def notes(self) -> list[str]:
        """The names of the notes."""
        return [mark.note for mark in self.marks(Note)]

    @property
    def reasons(self) -> list[Reason]:
        """The Reason of every `ended` mark."""
        return [mark.reason for mark in self.marks(Ended)]


@asynccontextmanager
async def follow(
    socket: Path,
    domain: str,
    device: str | None = None,
    *,
    uri: str | None = None,
    position: str | None = None,
    replay: str | None = None,
    hold: bool = True,
    reconnect_for: float = 60.0,
) -> AsyncIterator[Follower]:
    """A follower of a console, on a connection of its own, until the context is left."""
    async with (
        virtmux.connect(socket, reconnect_for=reconnect_for) as mux,
        mux.attach(domain, device, uri=uri, position=position, replay=replay, hold=hold) as console,
    ):
        follower = Follower(console)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follower.run())
            try:
                yield follower
            finally:
                following.cancel()


@asynccontextmanager
async def follow_all(socket: Path, places: Iterable[tuple[str, str]]) -> AsyncIterator[list[Follower]]:
    """A follower of each (domain, device), all on one connection and asked for at once, until the context is left."""
    async with virtmux.connect(socket) as mux, AsyncExitStack() as stack:
        attaching = [stack.enter_async_context(mux.attach(domain, device)) for domain, device in places]
        followers = [Follower(console) for console in await asyncio.gather(*attaching)]
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(follower.run()) for follower in followers]
            try:
                yield followers
            finally:
                for each in following:
                    each.cancel()
