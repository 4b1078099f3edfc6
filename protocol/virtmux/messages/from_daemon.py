"""The messages of the daemon. Pure."""

from msgspec import Struct, field

from virtmux.domains import DomainInfo
from virtmux.messages.statistics import Statistics
from virtmux.messages.values import ConsoleInfo, HistoryInfo, HypervisorInfo, Limits
from virtmux.people import ClientInfo, Companion, Person, Role
from virtmux.reasons import Cause, ConsoleId, Reason
from virtmux.records import Break, Ended, Mark, Note
from virtmux.wire import PROTOCOL, U32, U63


class DaemonHello(Struct, frozen=True, tag="hello"):
    """The first message of the daemon."""

    protocol: U32 = PROTOCOL
    software: str = ""
    features: list[str] = []
    limits: Limits = Limits()


class Hypervisor(Struct, frozen=True, tag="hypervisor"):
    """One hypervisor of the answer to `list`."""

    id: U32
    info: HypervisorInfo


class Console(Struct, frozen=True, tag="console"):
    """One console of the answer to `list`."""

    id: U32
    info: ConsoleInfo


class Place(Struct, frozen=True, tag="place"):
    """The answer to `attach`: the client has a place at `info.console`, and its records follow from `position`.

    `info` and `reason` are the console's as this is sent; what the marks from `position` on say comes on top. Where the
    state is not `attached`, `reason` says why, if that is known.
    `missing` is true where a position was asked for whose history is gone; the records start at the oldest held ones.
    `missing_from` is the offset that a replay was to start from, where bytes from there to `position` are gone.
    `role` says what the place may do now, `token` is what an exclusive one asks itself back with, `by` is who has the
    console exclusively, where that is somebody else. `withheld` is true where records were asked for that the client
    has no right to read, so that they start later; `proof` is what it takes the place up again with all the same.
    """

    id: U32
    info: ConsoleInfo
    position: str
    read_only: bool
    missing: bool = False
    reason: Reason | None = None
    missing_from: U63 | None = None
    role: Role = Role.WRITER
    token: str | None = None
    by: Person | None = None
    withheld: bool = False
    proof: str | None = None


class RoleChanged(Struct, frozen=True, tag="role"):
    """The place may do something else from now on. `by` is who made it so: who took the console, or gave it up."""

    console: U32
    role: Role
    by: Person | None = None


class Company(Struct, frozen=True, tag="company"):
    """Who else has a place at the console, and `more` who are not listed. Each replaces the one before."""

    console: U32
    others: list[Companion]
    more: U32 = 0


class Client(Struct, frozen=True, tag="client"):
    """One client of the answer to `who`."""

    id: U32
    info: ClientInfo


class Domain(Struct, frozen=True, tag="domain"):
    """One domain of the answer to `domains`."""

    id: U32
    info: DomainInfo


class StatisticsMessage(Struct, frozen=True, tag="statistics"):
    """The answer to `status`."""

    id: U32
    info: Statistics


class MetricsText(Struct, frozen=True, tag="metrics"):
    """A piece of the answer to `openmetrics`."""

    id: U32
    text: str


class Time(Struct, frozen=True, tag="time"):
    """To a `timed` place: the output from `offset` on was received `at`, until another is told."""

    console: U32
    offset: U63
    at: str


class History(Struct, frozen=True, tag="history"):
    """One history of the answer to `histories`."""

    id: U32
    info: HistoryInfo


class Stored(Struct, frozen=True, tag="stored"):
    """One mark of the answer to `marks`: as it was told to those who watch, and the history in which it stands."""

    id: U32
    history: str
    event: "Event"


class Done(Struct, frozen=True, tag="done"):
    """The request with this id is carried out."""

    id: U32


class Refused(Struct, frozen=True, tag="refused"):
    """The request with this id is not carried out; `reason` says why. The connection goes on."""

    id: U32
    reason: Reason


class MarkMessage(Struct, frozen=True, tag="mark"):
    """A mark of a console's sequence."""

    console: U32
    offset: U63
    mark: U63
    record: Mark


class Gap(Struct, frozen=True, tag="gap"):
    """Records that were there and that this place is not given: output bytes `offset` to `to_offset`, marks `mark` to
    `to_mark` (the ends excluded). The place goes on at (`to_offset`, `to_mark`). `why` says why, where that is known:
    else they are no longer held."""

    console: U32
    offset: U63
    mark: U63
    to_offset: U63
    to_mark: U63
    why: str | None = None


class InputStatus(Struct, frozen=True, tag="input-status"):
    """How far a client's input within `attachment` came, in bytes from its start: the first `accepted` bytes were
    written to the guest's serial line; the next `unknown` bytes may have arrived or not; the next `rejected` bytes did
    not and never will. Sums, not differences: each status replaces the one before. `held`: what is not settled waits in
    the daemon, because the guest takes no input now. They are counted from the input byte `base`, which is not 0 where
    the place might not type for a while: nothing more is said of what was sent before.
    """

    console: U32
    attachment: U32
    accepted: U63
    unknown: U63 = 0
    rejected: U63 = 0
    cause: Cause | None = None
    held: bool = False
    base: U63 = 0


class PlaceEnded(Struct, frozen=True, tag="place-ended"):
    """The client's place at a console ended, the connection goes on."""

    console: U32
    reason: Reason


class Event(Struct, frozen=True, tag="event", kw_only=True):
    """Something happened to a console, told to those who `watch`; see SPEC.md for the fields of each kind."""

    event: str
    at: str
    console: ConsoleId
    offset: U63
    mark: U63 | None = None
    reason: Reason | None = None
    since: str | None = field(name="from", default=None)
    until: str | None = field(name="to", default=None)
    note: str | None = None
    detail: str | None = None
    to_offset: U63 | None = None


def event_of(console: ConsoleId, offset: int, number: int, record: Mark) -> Event:
    """A mark of a console as it is told to those who watch."""
    reason = record.reason if isinstance(record, Ended) else None
    return Event(
        event=str(record.__struct_config__.tag),
        at=record.at,
        console=(reason.console if reason is not None else None) or console,
        offset=offset,
        mark=number,
        reason=reason,
        since=record.since if isinstance(record, Break) else None,
        until=record.until if isinstance(record, Break) else None,
        note=record.note if isinstance(record, Note) else None,
        detail=record.detail if isinstance(record, Note) else None,
    )


class Goodbye(Struct, frozen=True, tag="goodbye"):
    """The last message of a connection: why the daemon ends it."""

    reason: Reason


DaemonMessage = (
    DaemonHello
    | Hypervisor
    | Console
    | Place
    | Done
    | Refused
    | MarkMessage
    | Gap
    | InputStatus
    | Time
    | History
    | Stored
    | RoleChanged
    | Company
    | Client
    | Domain
    | StatisticsMessage
    | MetricsText
    | PlaceEnded
    | Event
    | Goodbye
)
"""All that the daemon says in JSON."""
