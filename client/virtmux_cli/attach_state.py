"""What `attach` does about each record of a console: a state machine, records in, actions out. Pure.

    not begun --attached--> attached --ended, disconnected--> away --attached--> attached ...
        |                                    |                  |
        +---- an end that is not waited out -+------------------+--> leave, with its status

What is replayed from a position that the person named is shown, and decides nothing: the state that the daemon's
answer told takes its place once the replay has come to it.
"""

from typing import NamedTuple

from virtmux.following import Disconnected, Record, Resumed
from virtmux.messages import Gap, MarkMessage, Place, PlaceEnded, State
from virtmux.reasons import Cause, Reason
from virtmux.records import Attached, Break, Ended, Note, Position
from virtmux.wire import Output
from virtmux_cli.ending import Policy, leaves_with


class Write(NamedTuple):
    """Give the guest's output to stdout."""

    data: bytes


class Live(NamedTuple):
    """The console is attached; `first` for the first time here."""

    first: bool


class Left(NamedTuple):
    """The console ended: leave with `status`, or, where that is None, wait for it. `replayed`: long ago."""

    reason: Reason
    status: int | None
    replayed: bool = False


class OtherHistory(NamedTuple):
    """The records go on in another history; what lies between is lost and not counted."""


Action = Write | Live | Left | OtherHistory | Gap | Break | Note


class Attendance:
    """One visit to a console, from the place that was given."""

    def __init__(self, policy: Policy, place: Place, *, replay: bool) -> None:
        self._policy = policy
        self._begun = False
        self._attached = False
        self._told: Cause | None = None
        self._position = Position.parse(place.position)
        end = Position.parse(place.info.position)
        self._live_from = end.mark if replay else self._position.mark
        self._pending: Place | None = place
        self._missing = place.missing

    def enter(self) -> list[Action]:
        """What the place itself asks for."""
        actions: list[Action] = [OtherHistory()] if self._missing else []
        if self._pending is not None and self._pending.info.state is State.ATTACHED:
            self._pending = None
            return actions + self._live()
        return actions + self._settle()

    def take(self, record: Record) -> list[Action]:
        """What the next record asks for."""
        actions = self._take(record)
        return actions + self._settle()

    def _take(self, record: Record) -> list[Action]:
        history, offset, mark = self._position.history, self._position.offset, self._position.mark
        match record:
            case Output(data=data):
                self._position = Position(history, record.offset + len(data), mark)
                return [Write(data)]
            case MarkMessage():
                self._position = Position(history, offset, record.mark + 1)
                return self._mark(record)
            case Gap():
                self._position = Position(history, record.to_offset, record.to_mark)
                return [record]
            case Disconnected(reason=reason):
                return self._end(reason)
            case Resumed():
                return self._resume(record)
            case PlaceEnded(reason=reason):
                return [Left(reason, reason.exit_status)]

    def _mark(self, mark: MarkMessage) -> list[Action]:
        live = mark.mark >= self._live_from
        match mark.record:
            case Attached():
                return self._live() if live else []
            case Ended(reason=reason):
                return self._end(reason) if live else [Left(reason, None, replayed=True)]
            case Break() | Note() as record:
                return [record]

    def _resume(self, resumed: Resumed) -> list[Action]:
        self._position = resumed.position
        self._pending = resumed.place
        if resumed.position.history == resumed.asked.history:
            return [] if resumed.continuous else [OtherHistory()]
        self._live_from = resumed.position.mark
        return [OtherHistory()]

    def _settle(self) -> list[Action]:
        """Where the records have come to the console's state as the place was given, that state counts."""
        if self._pending is None:
            return []
        end = Position.parse(self._pending.info.position)
        if self._position.offset < end.offset or self._position.mark < end.mark:
            return []
        place, self._pending = self._pending, None
        if place.info.state is State.ATTACHED:
            return self._live()
        return self._end(place.reason) if place.reason else []

    def _live(self) -> list[Action]:
        if self._attached:
            return []
        first, self._begun = not self._begun, True
        self._attached, self._told = True, None
        return [Live(first)]

    def _end(self, reason: Reason) -> list[Action]:
        self._attached, self._pending = False, None
        status = leaves_with(reason, self._policy, begun=self._begun)
        if status is None and reason.cause is self._told:
            return []
        self._told = reason.cause
        return [Left(reason, status)]
