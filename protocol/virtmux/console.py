"""A console to the application that has a place there: its records in order, and its input."""

from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import chain
from typing import Self

from virtmux.console_place import ConsolePlace
from virtmux.errors import InputRejected, NotAttached, Refused
from virtmux.following import Progress, Record
from virtmux.input import Target
from virtmux.ledger import InputState
from virtmux.matching import WINDOW, Pattern, Search
from virtmux.messages import Place
from virtmux.people import Person, Role
from virtmux.reading import Match, Reader, is_telling
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Phase, Reason
from virtmux.records import Position


class Console:
    """A place at a console, from `Client.attach`; an asynchronous iterator of its records for one consumer.

    `read`, `expect` and the iteration take from the same sequence, each from where the one before has stopped, one at
    a time.

    Records wait until they are taken. Once more than 256 KiB do, the daemon is told to hold this console back; other
    consoles of the connection go on.
    """

    def __init__(self, place: ConsolePlace) -> None:
        """`place` is one that the daemon has just given; `Client.attach` makes the console of it."""
        self._place = place
        self._records = Reader(Progress(place.answer), place.next)

    @property
    def progress(self) -> Progress:
        """How far the records were taken."""
        return self._records.progress

    @property
    def place(self) -> Place:
        """The daemon's answer to the attach, or to the last one that the iteration has come to."""
        return self.progress.place

    @property
    def position(self) -> Position:
        """What comes next behind the last record that the iteration gave. Attach with it to go on from there."""
        return self.progress.position

    @property
    def attachment(self) -> int | None:
        """The attachment that input goes to, as far as the records were read; None where nothing is attached."""
        return None if self._place.cut is not None else self._records.seen.attachment

    @property
    def role(self) -> Role:
        """What this place may do, as far as the iteration has come: whether its input is taken."""
        return self._records.seen.role

    @property
    def exclusive_to(self) -> Person | None:
        """Who else has the console exclusively, as far as the iteration has come, so that this place may only watch."""
        return self._records.seen.by if self.role is Role.WATCHER else None

    def __aiter__(self) -> Self:
        """Iterate over the records. A second loop goes on where the first stopped."""
        return self

    async def __anext__(self) -> Record:
        """The next record, as soon as there is one; `PlaceEnded` is the last. Cancelled, it takes none.

        Between `Disconnected` and `Resumed` the library makes the connection again by itself. It gives up with a
        `PlaceEnded` whose reason is `server-lost`.

        Raises:
            StopAsyncIteration: `PlaceEnded` was given before.
            RuntimeError: a `read`, an `expect` or a wait goes on in another task.
        """
        if self._records.exhausted:
            raise StopAsyncIteration
        return await self._records.next()

    async def read(self, size: int = 65536, *, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as in sync
        """The next bytes of output, at least one and at most `size`, as soon as there are any.

        Marks and gaps are passed over in silence: iterate where they matter. Calls from several tasks take turns.
        Cancelled, it takes no byte.

        Raises:
            ConsoleEnded: the console ended here, or the place; once for each end. Read on for what comes behind it.
            TimedOut: nothing came within `timeout` seconds (0: nothing is there).
        """
        return await self._records.read(size, timeout)

    async def expect(
        self,
        patterns: Pattern | Sequence[Pattern],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as in sync
        window: int = WINDOW,
        must_be_attached: bool = False,
        notice: Callable[[Record], None] | None = None,
    ) -> Match:
        """Wait for the first match of any of `patterns`, regular expressions on bytes, and take the records up to it.

        Of the matches that have come, the one that starts first wins, then the one of the first pattern. What is behind
        it stays for whoever reads next. A match may begin at most `window` bytes before the record that completes it.
        A lost connection that is resumed is no end, and a match may span it; none spans a gap, a break or an opening of
        the console, behind which the matching starts anew.

        An end that was there before does not count: it waits for the next opening, unless `must_be_attached`, with
        which a console that is not attached is an end, once its records have come so far. `notice` is given each record
        that is not output, as it passes. Calls from several tasks take turns. Cancelled, it is as if `timeout` had run
        out.

        Raises:
            ConsoleEnded: the console ended, also one that will be opened again, or the place; expect anew to go on.
            TimedOut: there was no match within `timeout` seconds. Nothing is lost: what may be part of a match stays.
            ValueError: a pattern is no regular expression, or also matches nothing at all.
        """
        search = Search(patterns, window)
        return await self._records.expect(search, timeout, must_be_attached=must_be_attached, notice=notice)

    async def until_attached(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Wait until the console is attached, and take the records up to there; at once where it is.

        Raises:
            ConsoleEnded: the place ended.
            TimedOut: it was not within `timeout` seconds. The records that have come are taken.
        """
        await self._records.until_attached(timeout)

    async def until_ended(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        is_end: Callable[[Reason], bool] = lambda _: True,
    ) -> Reason:
        """Wait until the console is not attached for a reason that `is_end`, and give it; take the records up to there.

        Raises:
            ConsoleEnded: the place ended, as where the connection is lost for good.
            TimedOut: it did not end within `timeout` seconds. The records that have come are taken.
        """
        return await self._records.until_ended(timeout, is_end)

    @property
    def readable(self) -> bool:
        """Whether `read` would not wait."""
        return self._records.exhausted or any(map(is_telling, chain(self._records.ahead, self._place.inbox)))

    def on_arrival(self, call: Callable[[], None] | None) -> None:
        """Have this called, without arguments, each time that a record has arrived; None: no more."""
        self._place.inbox.on_put = call

    async def write(self, data: bytes) -> None:
        """Send input to the guest and return when all of it was written to the guest's serial line.

        It goes to the attachment that the iteration has come to, so nothing that was typed at one boot reaches the
        next. At most the daemon's `input_window` is under way at a time; a guest that takes no input makes this wait.
        Calls from several tasks take turns. Cancelled, it may have sent a part.

        Raises:
            NotAttached: nothing is attached, or the connection is being made again; nothing was sent.
            InputRejected: the attachment or the connection ended, or the daemon did not take it; it counts the bytes.
            Refused: this place may only watch, or may now.
        """
        await self._give(data, confirm=True)

    async def send(self, data: bytes) -> None:
        """Send input to the guest and return when it is on its way: for single keys, whose fate costs more than they.

        As `write`, but the daemon is not asked for the fate of what was sent; `input_states` tells what it says.

        Raises:
            InputRejected: it could not all be sent, or what was sent before was not taken.
            NotAttached, Refused: as `write`.
        """
        await self._give(data, confirm=False)

    @property
    def input(self) -> InputState | None:
        """How the input fares within the attachment that it went to last; None where none was given."""
        return self._place.input.state

    def input_states(self) -> AsyncGenerator[InputState, None]:
        """How the input fares, each time that changes by what the daemon says or by a lost connection.

        A state replaces the one before of the same attachment: what changes faster than it is taken is told once. The
        last one of a former attachment may come behind the first of the next. One iteration at a time.
        """
        return self._place.input.states()

    async def _give(self, data: bytes, *, confirm: bool) -> None:
        if not self.role.types:
            by = self.exclusive_to
            detail = f"{by.user} has the console alone" if by is not None else "this place at the console is read-only"
            raise Refused(reason_now(Cause.ACCESS_DENIED, detail, console=self.place.info.id))
        failed = await self._place.input.give(data, self._target, confirm=confirm)
        if failed is not None:
            fate, cause = failed
            reason = reason_now(cause, phase=Phase.SEND, console=self.place.info.id)
            raise InputRejected(reason, accepted=fate.accepted, unknown=fate.unknown, rejected=fate.rejected)

    def _target(self) -> Target:
        attachment = self.attachment
        if attachment is None:
            why = self._place.cut or self._records.seen.why
            raise NotAttached(why or reason_now(Cause.STREAM_ENDED, console=self.place.info.id))
        return self._place.target(attachment)
