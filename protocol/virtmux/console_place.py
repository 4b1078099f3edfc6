"""A client's place at a console as its connection has it: what arrives there, and what it is asked for with again.

The application has it as a `virtmux.console.Console`. Nothing here waits but `next`.
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from virtmux.following import Disconnected, Record, Resumed
from virtmux.inbox import Inbox
from virtmux.input import ConsoleInput, Target
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
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Reason
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


class ConsolePlace:
    """One place, over all links on which it is had. `inbox` holds what the application has not taken."""

    # What there is once the daemon has given it.
    answer: Place
    """The daemon's last answer to the attach."""
    _paused: bool
    _uri: str
    """Where the console is: ends that were received may have moved it."""
    _live_from: int
    """The first mark that says anything newer than the answer."""
    _proof: str | None
    """By which what was missed may be read."""

    def __init__(self, wish: Attach) -> None:
        """`wish` is what the daemon is asked for, at first and after a lost connection."""
        self._wish = wish
        self.inbox: Inbox[Record] = Inbox()
        self.input = ConsoleInput()
        self.ended = False
        """Whether it is over; the last record says why."""
        self._link: Link | None = None
        self._handle = 0
        self._losses_ahead = 0
        """So many `Disconnected` wait to be taken."""
        self._cut: Reason | None = None
        """Why there is no link, or was none before this one."""
        self._received: Position | None = None
        """What comes next, as of the last loss."""
        self._token: str | None = None
        """By which an exclusive place is had again."""

    # What the application's side uses.

    async def next(self) -> Record:
        """The next record, as soon as there is one. Cancelled, it takes none."""
        record = await self.inbox.get()
        if isinstance(record, Disconnected):
            self._losses_ahead -= 1
        if self._paused and self.inbox.cost <= RESUME_BELOW:
            self._flow(paused=False)
        return record

    @property
    def cut(self) -> Reason | None:
        """Why no input can be sent: there is no link, or the application has not come to where that was lost."""
        return self._cut if self._losses_ahead or self._link is None else None

    def target(self, attachment: int) -> Target:
        """Where input for an attachment goes, while nothing `cut` it off."""
        assert self._link is not None, "it is not cut off"
        return Target(self._link, self._handle, attachment)

    def close(self) -> None:
        """The application is done with it; whoever still reads is told so."""
        if self._link is not None:
            self._link.detach(self._handle)
        self.end(reason_now(Cause.DETACHED))

    # What the connection calls.

    def attach_again(self, link: "Link") -> "Request":
        """Ask on a new link for the place, at the position that was received last.

        Raises:
            Refused: the daemon is too old for what the place needs.
        """
        identity = self.answer.info.id
        again = replace(
            self._wish,
            domain=identity.uuid,
            device=identity.device,
            uri=self._uri,
            position=str(self._received),
            replay=None,
            proof=self._proof,
            token=self._token,
            steal=False,
            force=False,
        )
        return link.ask(again, self)

    def placed(self, link: "Link", answer: Place) -> None:
        """The daemon gave the place; records follow."""
        self._link, self._handle, self._paused = link, answer.info.console, False
        self._uri, self._live_from = answer.info.id.uri, Position.parse(answer.info.position).mark
        self._token, self._proof = answer.token or self._token, answer.proof
        self.answer = answer
        if self._received is not None:
            self._put(Resumed(self._received, answer))

    def receive(self, record: Output | MarkMessage | Gap | Time | RoleChanged | Company) -> None:
        """Queue a record; hold the console back where too many wait.

        Raises:
            ProtocolError: it was held back long ago, and the daemon goes on.
        """
        if self.inbox.cost > MOST_UNREAD:
            raise ProtocolError(f"records of console {self._handle}, which is paused")
        if isinstance(record, MarkMessage) and isinstance(record.record, Ended) and record.mark >= self._live_from:
            self._uri = record.record.reason.moved_to or self._uri
        self._put(record)

    def input_status(self, status: InputStatus) -> None:
        """The daemon's word on this place's input."""
        self.input.take(status)

    def lost(self, link: "Link", reason: Reason) -> None:
        """A link is gone and the next is being made."""
        if self._link is not link:
            return
        self._received = link.session.positions[self._handle]
        reason = replace(reason, console=self.answer.info.id, offset=self._received.offset)
        self._unlink(reason)
        self._losses_ahead += 1
        self._put(Disconnected(reason))

    def end(self, reason: Reason) -> None:
        """The place is over: the daemon ended it or does not give it again, or there is no next link. The first reason
        stays."""
        if not self.ended:
            self.ended = True
            self._unlink(reason)
            self._put(PlaceEnded(self._handle, reason))

    def _unlink(self, reason: Reason) -> None:
        self._link = None
        self._cut = reason
        self.input.close(reason.cause)

    def _put(self, record: Record) -> None:
        self.inbox.put(record, len(record.data) if isinstance(record, Output) else _MARK_COST)
        if self.inbox.cost > PAUSE_ABOVE and not self._paused:
            self._flow(paused=True)

    def _flow(self, *, paused: bool) -> None:
        self._paused = paused
        if self._link is not None:
            self._link.send(encode(Flow(self._handle, paused)))
