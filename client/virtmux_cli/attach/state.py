"""What `attach` does about each record of a console: a state machine, records in, actions out. Pure.

    not begun --attached--> attached --ended, disconnected--> away --attached--> attached ...
        |                                    |                  |
        +---- an end that is not waited out -+------------------+--> leave, with its status

Whatever the state, a role that changes is told.

Marks that are history to the first place are shown and decide nothing: the state that the daemon told with the place
takes their place once the records have come to it. What happened while the connection was lost counts.
"""

from typing import NamedTuple, assert_never

from virtmux.following import Disconnected, Progress, Record, Resumed
from virtmux.messages import Company, Gap, MarkMessage, Place, PlaceEnded, RoleChanged, Time
from virtmux.people import Person, Role
from virtmux.reasons import Cause, Reason
from virtmux.records import Attached, Break, Ended, Note, Position
from virtmux.wire import Output
from virtmux_cli.attach.company import RoleNews, person
from virtmux_cli.attach.policy import Leave, leaves_with
from virtmux_cli.attach.replayed import Shown, split


class Live(NamedTuple):
    """The console is attached; `first` for the first time here."""

    first: bool


class End(NamedTuple):
    """The console ended: leave with `status`, or, where that is None, wait for it."""

    reason: Reason
    status: int | None


class Replayed(NamedTuple):
    """The console ended like this long ago, or this happened to the guest."""

    what: Reason | Note


class OtherHistory(NamedTuple):
    """The records go on in another history; what lies between is lost and not counted."""


class Withheld(NamedTuple):
    """What the guest said before is there, and the person has no right to read it."""


def not_shown(place: Place) -> list[OtherHistory | Withheld]:
    """What a place that is given does not show of what was asked for."""
    if place.withheld:
        return [Withheld()]
    return [OtherHistory()] if place.missing else []


Action = Shown | Live | End | Replayed | OtherHistory | Withheld | Gap | Break | Note | RoleNews | Company
"""What is done about a record: shown, said, or acted on."""


class AttachState:
    """One visit to a console. `progress` goes first: `take` is given what it has just taken."""

    def __init__(self, leave: Leave, progress: Progress) -> None:
        self._leave = leave
        self._progress = progress
        self._begun = False
        self._live = False
        self._told: Cause | None = None
        self._role, self._by = Role.WRITER, ""
        self._replayed_before = progress.live_from
        self._live_from = Position.parse(progress.place.info.position).offset
        self._news = True
        """What the last place says of the console is still to be told."""

    def enter(self) -> list[Action]:
        """What the place itself asks for. Where the console is attached it is so from now on, also during a replay."""
        actions: list[Action] = [*not_shown(self._progress.place)]
        wanted, start = self._progress.place.missing_from, self._progress.position
        if wanted is not None and wanted < start.offset:
            actions.append(Gap(self._progress.place.info.console, wanted, start.mark, start.offset, start.mark))
        if self._progress.attachment is not None:
            return actions + self._go_live()
        return actions + self._catch_up()

    def take(self, record: Record) -> list[Action]:
        """What the next record asks for."""
        actions = self._take(record)
        now = self._catch_up()
        match actions, now:
            case [Replayed(Reason() as replayed)], [End(reason)] if replayed.cause is reason.cause:
                return now  # a console that waits: its last mark and its state are the same
        return actions + now

    def _take(self, record: Record) -> list[Action]:  # noqa: PLR0911 - one for each kind of record
        match record:
            case Output(offset=offset, data=data):
                return list(split(offset, data, self._live_from))
            case MarkMessage():
                return self._mark(record)
            case Gap():
                return [record]
            case Disconnected(reason=reason):
                return self._end(reason)
            case Resumed():
                return self._resume(record)
            case PlaceEnded(reason=reason):
                return [End(reason, reason.exit_status)]
            case RoleChanged(role=role, by=by):
                return self._change_role(role, by)
            case Company():
                return [record]
            case Time():
                return []
            case _:
                assert_never(record)

    def _mark(self, mark: MarkMessage) -> list[Action]:
        past = mark.mark < self._replayed_before
        match mark.record:
            case Attached():
                return []
            case Ended(reason=reason):
                return [Replayed(reason)] if past else self._end(reason)
            case Break():
                return [mark.record]
            case Note():
                return [Replayed(mark.record) if past else mark.record]
            case _:
                assert_never(mark.record)

    def _resume(self, resumed: Resumed) -> list[Action]:
        self._news = True
        if resumed.position.history != resumed.asked.history:
            self._replayed_before = self._live_from = 0
        actions: list[Action] = [] if resumed.continuous else [*(not_shown(resumed.place) or [OtherHistory()])]
        return actions + self._change_role(self._progress.role, self._progress.by)

    def _change_role(self, role: Role, by: Person | None) -> list[Action]:
        """What is told of a role once the console was attached; before, the role it has then."""
        before, self._role = self._role, role
        former, self._by = self._by, person(by)
        is_news = role is not before or (role is Role.WATCHER and self._by != former)
        return [RoleNews(role, by, before)] if self._begun and is_news else []

    def _catch_up(self) -> list[Action]:
        """Where the records have come to the console's state, that state counts."""
        if not self._progress.caught_up:
            return []
        news, self._news = self._news, False
        if self._progress.attachment is not None:
            return self._go_live()
        why = self._progress.place.reason if news else None
        return self._end(why) if why else []

    def _go_live(self) -> list[Action]:
        self._news = False
        if self._live:
            return []
        first, self._begun = not self._begun, True
        self._live, self._told = True, None
        return [Live(first), *self._first_role()] if first else [Live(first)]

    def _first_role(self) -> list[Action]:
        self._role, self._by = self._progress.role, person(self._progress.by)
        told = self._role in {Role.EXCLUSIVE, Role.WATCHER}
        return [RoleNews(self._role, self._progress.by, None)] if told else []

    def _end(self, reason: Reason) -> list[Action]:
        self._live = self._news = False
        status = leaves_with(reason, self._leave, begun=self._begun)
        if status is None and reason.cause is self._told:
            return []
        self._told = reason.cause
        return [End(reason, status)]
