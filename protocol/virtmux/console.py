"""A client's place at one console: its records in order, its input, and the position that survives a connection."""

from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from virtmux.errors import InputRejected, NotAttached, Refused
from virtmux.following import Disconnected, Progress, Record, Resumed
from virtmux.inbox import Inbox
from virtmux.input import ConsoleInput, Target
from virtmux.ledger import InputState
from virtmux.matching import WINDOW, Pattern, Search
from virtmux.messages import (
    Attach,
    Company,
    Flow,
    Gap,
    InputStatus,
    MarkMessage,
    Place,
    PlaceEnded,
    RoleChanged,
    Time,
    encode,
)
from virtmux.people import Person, Role
from virtmux.reading import Match, Reader, is_telling
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Phase, Reason
from virtmux.records import Ended, Position
from virtmux.wire import Output, ProtocolError

if TYPE_CHECKING:
    from virtmux.link import Link, Request

#: Unread records, in bytes, above which the console is paused on the connection and below which it goes on.
PAUSE_ABOVE = 262144
RESUME_BELOW = 65536
#: Where the daemon does not hold it back: the connection ends then.
MOST_UNREAD = 16 * 1048576
_MARK_COST = 512


class Console:
    """A place at a console, from `Client.attach`; an asynchronous iterator of its records for one consumer.

    `read`, `expect` and the iteration take from the same sequence, each from where the one before has stopped, one at
    a time.

    Records wait here until they are taken. Once more than `PAUSE_ABOVE` bytes do, the daemon is told to hold this
    console back; other consoles of the connection go on.
    """

    def __init__(self, wish: Attach) -> None:
        """`wish` is what the daemon is asked for, at first and after a lost connection."""
        self._wish = wish
        self.closed = False
        self.ended = False
        self._inbox: Inbox[Record] = Inbox()
        self._reader: Reader | None = None
        self._link: Link | None = None
        self._handle = 0
        self._paused = False
        self._received: Position | None = None
        self._losses_ahead = 0
        self._cut: Reason | None = None
        self._uri = ""
        self._token: str | None = None
        """By which an exclusive place is had again after a lost connection."""
        self._proof: str | None = None
        """By which what was missed may be read then."""
        self._live_from = 0
        self._input = ConsoleInput()

    # What the application uses.

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
        return None if self._losses_ahead or self._link is None else self._records.seen.attachment

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
        """The next record, as soon as there is one; `PlaceEnded` is the last.

        Between `Disconnected` and `Resumed` the library makes the connection again by itself. It gives up with a
        `PlaceEnded` whose reason is `server-lost`.
        """
        if self._records.exhausted:
            raise StopAsyncIteration
        return await self._records.next()

    async def read(self, size: int = 65536, *, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as in sync
        """The next bytes of output, at least one and at most `size`, as soon as there are any.

        Marks and gaps are passed over in silence: iterate where they matter. Calls from several tasks take turns.

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
        that is not output, as it passes. Calls from several tasks take turns.

        Raises:
            ConsoleEnded: the console ended, also one that will be opened again, or the place; expect anew to go on.
            TimedOut: there was no match within `timeout` seconds. Nothing is lost: what may be part of a match stays.
            ValueError: a pattern is no regular expression, or also matches nothing at all.
        """
        search = Search(patterns, window)
        return await self._records.expect(search, timeout, must_be_attached=must_be_attached, notice=notice)

    async def until_attached(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Wait until the console is attached, and take the records up to there.

        Raises:
            ConsoleEnded: the place ended.
            TimedOut: it was not within `timeout` seconds.
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
            TimedOut: it did not end within `timeout` seconds.
        """
        return await self._records.until_ended(timeout, is_end)

    @property
    def readable(self) -> bool:
        """Whether `read` would not wait."""
        return self._records.exhausted or any(map(is_telling, chain(self._records.ahead, self._inbox)))

    def on_arrival(self, call: Callable[[], None] | None) -> None:
        """Have this called, without arguments, each time that a record has arrived; None: no more."""
        self._inbox.on_put = call

    async def _receive(self) -> Record:
        record = await self._inbox.get()
        if isinstance(record, Disconnected):
            self._losses_ahead -= 1
        if self._paused and self._inbox.cost <= RESUME_BELOW:
            self._flow(paused=False)
        return record

    @property
    def _records(self) -> Reader:
        assert self._reader is not None, "it has a place"
        return self._reader

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
        return self._input.state

    def input_states(self) -> AsyncGenerator[InputState, None]:
        """How the input fares, each time that changes by what the daemon says or by a lost connection.

        A state replaces the one before of the same attachment: what changes faster than it is taken is told once. The
        last one of a former attachment may come behind the first of the next. One iteration at a time.
        """
        return self._input.states()

    async def _give(self, data: bytes, *, confirm: bool) -> None:
        if not self.role.types:
            by = self.exclusive_to
            detail = f"{by.user} has the console alone" if by is not None else "this place at the console is read-only"
            raise Refused(reason_now(Cause.ACCESS_DENIED, detail, console=self.place.info.id))
        failed = await self._input.give(data, self._target, confirm=confirm)
        if failed is not None:
            fate, cause = failed
            reason = reason_now(cause, phase=Phase.SEND, console=self.place.info.id)
            raise InputRejected(reason, accepted=fate.accepted, unknown=fate.unknown, rejected=fate.rejected)

    def _target(self) -> Target:
        attachment = self.attachment
        if self._link is None or attachment is None:
            cut = self._cut if self._losses_ahead or self._link is None else None
            why = cut or self._records.seen.why
            raise NotAttached(why or reason_now(Cause.STREAM_ENDED, console=self.place.info.id))
        return Target(self._link, self._handle, attachment)

    # What the connection calls; nothing of this waits.

    def attach_again(self, link: "Link") -> "Request":
        """Ask on a new connection for the place, at the position that was received last."""
        identity = self.place.info.id
        again = replace(self._wish, domain=identity.uuid, device=identity.device, uri=self._uri, replay=None)
        again = replace(
            again, position=str(self._received), steal=False, force=False, token=self._token, proof=self._proof
        )
        return link.ask(again, self)

    def placed(self, link: "Link", place: Place) -> None:
        """The daemon gave a place; records follow."""
        self._link, self._handle, self._paused = link, place.info.console, False
        self._uri, self._live_from = place.info.id.uri, Position.parse(place.info.position).mark
        self._token, self._proof = place.token or self._token, place.proof
        if self._received is None:
            self._reader = Reader(Progress(place), self._receive)
        else:
            self._put(Resumed(self._received, place), _MARK_COST)
        self._received = Position.parse(place.position)

    def receive(self, record: Output | MarkMessage | Gap | Time | RoleChanged | Company) -> None:
        """Queue a record; hold the console back where too many wait.

        Raises:
            ProtocolError: it was held back long ago, and the daemon goes on.
        """
        if self._inbox.cost > MOST_UNREAD:
            raise ProtocolError(f"records of console {self._handle}, which is paused")
        if isinstance(record, MarkMessage) and isinstance(record.record, Ended) and record.mark >= self._live_from:
            self._uri = record.record.reason.moved_to or self._uri
        self._put(record, len(record.data) if isinstance(record, Output) else _MARK_COST)

    def input_status(self, status: InputStatus) -> None:
        """The daemon's word on this place's input."""
        self._input.take(status)

    def lost(self, link: "Link", reason: Reason) -> None:
        """The connection is gone and is being made again."""
        if self._link is not link:
            return
        self._received = link.session.positions[self._handle]
        reason = replace(reason, console=self.place.info.id, offset=self._received.offset)
        self._unlink(reason)
        self._losses_ahead += 1
        self._inbox.put(Disconnected(reason), _MARK_COST)

    def end(self, last: PlaceEnded) -> None:
        """The place is given up by the daemon or with the connection."""
        if not self.ended:
            self.ended = True
            self._unlink(last.reason)
            self._inbox.put(last, _MARK_COST)

    def close(self) -> None:
        """The application is done with it; whoever still reads is told so."""
        self.closed = True
        if self._link is not None:
            self._link.detach(self._handle)
        self.end(PlaceEnded(self._handle, reason_now(Cause.DETACHED)))

    def refused(self, reason: Reason) -> None:
        """The place was not given again."""
        self.end(PlaceEnded(self._handle, reason))

    def _unlink(self, reason: Reason) -> None:
        self._link = None
        self._cut = reason
        self._input.close(reason.cause)

    def _put(self, record: Record, cost: int) -> None:
        self._inbox.put(record, cost)
        if self._inbox.cost > PAUSE_ABOVE and not self._paused:
            self._flow(paused=True)

    def _flow(self, *, paused: bool) -> None:
        self._paused = paused
        if self._link is not None:
            self._link.send(encode(Flow(self._handle, paused)))
