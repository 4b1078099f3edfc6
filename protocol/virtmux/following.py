"""What an application that follows a console is given, in order, and how far it has come with it. Pure."""

from typing import assert_never

from msgspec import Struct

from virtmux.messages import Company, Event, Gap, MarkMessage, Place, PlaceEnded, RoleChanged, Time
from virtmux.people import Person, Role
from virtmux.reasons import Reason
from virtmux.records import Attached, Ended, Mark, Position
from virtmux.wire import Output, ProtocolError


class Disconnected(Struct, frozen=True):
    """The connection to the daemon was lost and is being made again; nothing of the sequence is lost by that.

    `reason` has the cause `server-lost`, or the one of the daemon's goodbye.
    """

    reason: Reason


class Resumed(Struct, frozen=True):
    """The place at the console was taken up again, where `asked` was the position of what comes next.

    `place` is the daemon's answer. Where it is not `continuous`, the records go on in another history and how much is
    missing in between is not known.
    """

    asked: Position
    place: Place

    @property
    def position(self) -> Position:
        """Where the records go on."""
        return Position.parse(self.place.position)

    @property
    def continuous(self) -> bool:
        """Whether the records go on exactly where they stopped."""
        return self.position == self.asked


class Reconnected(Struct, frozen=True):
    """The connection to the daemon was made again; to a stream of events, the `appeared` events that follow are new."""


#: What the iteration over a console gives: its records and gaps, and what becomes of the place. `PlaceEnded` is last.
Record = Output | MarkMessage | Gap | Time | RoleChanged | Company | Disconnected | Resumed | PlaceEnded

#: What `Client.events` gives.
Happening = Event | Disconnected | Reconnected


def advance(position: Position, record: Output | MarkMessage | Gap) -> Position:
    """The position behind a record or gap, which must stand exactly at `position` (SPEC section 4).

    Raises:
        ProtocolError: it does not, or it is a gap that goes back.
    """
    mark = position.mark if isinstance(record, Output) else record.mark
    if (record.offset, mark) != (position.offset, position.mark):
        raise ProtocolError(f"records of console {record.console} at {record.offset}:{mark}, expected {position}")
    if isinstance(record, Output):
        return Position(position.history, position.offset + len(record.data), position.mark)
    if isinstance(record, MarkMessage):
        return Position(position.history, position.offset, position.mark + 1)
    if record.to_offset < record.offset or record.to_mark < record.mark:
        raise ProtocolError(f"a gap of console {record.console} that goes back")
    return Position(position.history, record.to_offset, record.to_mark)


class Progress:
    """How far the records of a place were taken, and what they say of the console so far.

    `position` is what comes next, `attachment` where input goes to (None: nothing is attached), `why` the reason that
    nothing is, `disconnected` whether that is a lost connection which is being made again. `role` is what the place may
    do, `by` who has the console exclusively where it may only watch. `place` tells the console's state as it was sent:
    marks before `place.info.position` are history to it, and change neither (SPEC sections 5 and 7).
    """

    place: Place
    attachment: int | None
    why: Reason | None
    disconnected: bool
    role: Role
    by: Person | None

    def __init__(self, place: Place) -> None:
        self.position = Position.parse(place.position)
        self._enter(place)

    @property
    def live_from(self) -> int:
        """The number of the first mark that says anything newer than `place`."""
        return self._told_at.mark

    @property
    def caught_up(self) -> bool:
        """Whether the records have come to where the console was when `place` was sent."""
        return self.position.offset >= self._told_at.offset and self.position.mark >= self._told_at.mark

    def take(self, record: Record) -> None:
        """Go on behind the next record.

        Raises:
            ProtocolError: it is not the next one.
        """
        match record:
            case Output() | Gap():
                self.position = advance(self.position, record)
            case MarkMessage():
                self.position = advance(self.position, record)
                if record.mark >= self.live_from:
                    self._note(record.record)
            case RoleChanged(role=role, by=by):
                self.role, self.by = role, by
            case Time() | Company():
                pass
            case Disconnected(reason=reason) | PlaceEnded(reason=reason):
                self.attachment, self.why = None, reason
                self.disconnected = isinstance(record, Disconnected)
            case Resumed(place=place):
                self.position = record.position
                self._enter(place)
            case _:
                assert_never(record)

    def _enter(self, place: Place) -> None:
        self.place = place
        self._told_at = Position.parse(place.info.position)
        self.attachment, self.why = place.info.attachment, place.reason
        self.disconnected = False
        self.role = Role.READ_ONLY if place.read_only and place.role.types else place.role  # an older daemon
        self.by = place.by

    def _note(self, mark: Mark) -> None:
        if isinstance(mark, Attached):
            self.attachment = mark.attachment
        elif isinstance(mark, Ended):
            self.attachment, self.why = None, mark.reason
