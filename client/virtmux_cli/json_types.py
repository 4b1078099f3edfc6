"""The JSON Lines that commands print, as types: what programs may rely on. docs/schema is made from them. Pure.

A line may get further fields, and a command further kinds of lines: pass over what you do not know.
"""

from msgspec import UNSET, Struct, UnsetType

from virtmux.messages import Company, ConsoleInfo, Gap, HypervisorInfo, Limits, RoleChanged, Statistics
from virtmux.people import ClientInfo, Person
from virtmux.reasons import ConsoleId, Reason
from virtmux.records import Break, Mark, Note
from virtmux.wire import U32, U63
from virtmux_cli.doctor.finding import Finding


class HypervisorLine(HypervisorInfo, frozen=True, kw_only=True, tag="hypervisor"):
    """A hypervisor. `host`: with `--host` the host, as it was named."""

    host: str | UnsetType = UNSET


class ConsoleLine(ConsoleInfo, frozen=True, kw_only=True, tag="console"):
    """A console. `host`: with `--host` the host, as it was named."""

    host: str | UnsetType = UNSET


class DaemonLine(Struct, frozen=True, kw_only=True, tag="daemon"):
    """A daemon: `socket` is where it answered, `features` and `limits` are what it says that it can do. `consoles`
    counts its consoles by their state; `clients` is how many places there are at them. `statistics` is what it counts
    and measures; null where it is too old to tell."""

    host: str | UnsetType = UNSET
    socket: str
    software: str
    protocol: U32
    features: list[str]
    limits: Limits
    consoles: dict[str, U32]
    clients: U32
    statistics: Statistics | None


class EventLine(Struct, frozen=True, kw_only=True, tag_field="event"):
    """What all events have: `mark` is null where it is no mark, `reason` where there is none."""

    host: str | UnsetType = UNSET
    at: str
    console: ConsoleId
    offset: U63
    mark: U63 | None
    reason: Reason | None


class AppearedEvent(EventLine, frozen=True, kw_only=True, tag="appeared"):
    """A console exists."""


class AttachedEvent(EventLine, frozen=True, kw_only=True, tag="attached"):
    """A console was opened."""


class EndedEvent(EventLine, frozen=True, kw_only=True, tag="ended"):
    """A console ended, or could not be opened, for this reason."""


class WaitingEvent(EventLine, frozen=True, kw_only=True, tag="waiting"):
    """A console waits to be opened, for this reason."""


class BreakEvent(EventLine, frozen=True, kw_only=True, tag="break", rename={"since": "from", "until": "to"}):
    """Between two times nobody held the console: output may be missing."""

    since: str
    until: str


class NoteEvent(EventLine, frozen=True, kw_only=True, tag="note"):
    """Something happened to the guest that ended nothing."""

    note: str
    detail: str | None


class VanishedEvent(EventLine, frozen=True, kw_only=True, tag="vanished"):
    """A console exists no more."""


class JournalFailedEvent(EventLine, frozen=True, kw_only=True, tag="journal-failed"):
    """The disk does not take a console's records; `detail` is what the system says."""

    detail: str | None


class JournalRecoveredEvent(EventLine, frozen=True, kw_only=True, tag="journal-recovered"):
    """The disk takes them again."""


class JournalGapEvent(EventLine, frozen=True, kw_only=True, tag="journal-gap"):
    """Output up to `to_offset` is not in the journal."""

    to_offset: U63 | None
    detail: str | None


class HistoryLine(Struct, frozen=True, tag="history"):
    """The records of this history follow."""

    history: str


class TextLine(Struct, frozen=True, kw_only=True, tag="output"):
    """Output from `offset` on, received `at`: as `text` where it is UTF-8, else as `base64`."""

    offset: U63
    at: str | None
    text: str | UnsetType = UNSET
    base64: str | UnsetType = UNSET


class MarkLine(Struct, frozen=True, tag="mark"):
    """A mark in front of the byte at `offset`."""

    offset: U63
    mark: U63
    record: Mark


class GapLine(Struct, frozen=True, tag="gap"):
    """Records that were there and are not stored: bytes and marks up to, and without, the second ones."""

    offset: U63
    mark: U63
    to_offset: U63
    to_mark: U63
    why: str | None


class InputLostLine(Struct, frozen=True, tag="input-lost"):
    """Of `size` bytes of input `lost` may not have arrived."""

    size: U63
    lost: U63
    reason: Reason


class InputHeldLine(Struct, frozen=True, tag="input-held"):
    """The guest takes no input: so many bytes wait, so many were accepted."""

    waiting: U63
    accepted: U63


class InputLeftLine(Struct, frozen=True, tag="input-left"):
    """As the command ends: bytes of input that were not sent, and such as may still arrive."""

    unsent: U63
    under_way: U63


class InputNotSentLine(Struct, frozen=True, tag="input-not-sent"):
    """What is typed is dropped: `by` has the console alone."""

    by: Person | None


class InputWaitsLine(Struct, frozen=True, tag="input-waits"):
    """What is piped waits: `by` has the console alone."""

    by: Person | None


class InputDroppedLine(Struct, frozen=True, tag="input-dropped"):
    """What is typed while nothing is attached is dropped; `size` of it, where it was typed before."""

    size: U63 | None


class OtherHistoryLine(Struct, frozen=True, tag="other-history"):
    """The console's history up to here is gone: output may be missing."""


class WithheldLine(Struct, frozen=True, tag="withheld"):
    """What the guest said before is not shown: this person has no right to read it."""


class FailureLine(Struct, frozen=True, tag="failure"):
    """Why the command ends, where no console did."""

    text: str


class SentLine(Struct, frozen=True, tag="sent"):
    """All was sent: `size` bytes. `position` is before them: where what the guest makes of them begins."""

    console: ConsoleId
    position: str
    size: U63


class Bytes(Struct, frozen=True):
    """Bytes that are no UTF-8."""

    base64: str


class MatchLine(Struct, frozen=True, tag="match", kw_only=True):
    """The pattern with this `index`, from 0, matched: all of it, its groups, and the position behind it. `step`: with
    `--script` the step, from 1."""

    step: U32 | UnsetType = UNSET
    index: U32
    text: str | Bytes
    groups: list[str | Bytes | None]
    position: str


class AttachedLine(Struct, frozen=True, tag="attached"):
    """A console is attached; its output goes on at `position`."""

    console: ConsoleId
    position: str


class Cursor(Struct, frozen=True):
    """Where a cursor stands, from 0."""

    x: U32
    y: U32
    hidden: bool


class ScreenLine(Struct, frozen=True, tag="screen"):
    """What a terminal would show. `alternate`: a program has the screen to itself."""

    console: ConsoleId
    position: str
    columns: U32
    lines: U32
    cursor: Cursor
    alternate: bool
    text: list[str]


class ClientLine(ClientInfo, frozen=True, kw_only=True, tag="client"):
    """A client that is connected, and its places."""


class FindingLine(Finding, frozen=True, tag="finding"):
    """What is wrong, or worth knowing, where `status` is 0. `name` is for programs, the rest for people."""


#: By command: what it may print with `--json` (`log`: with `-o json`). Those of `attach` come on stderr, and
#: `send`, `expect` and `wait` say there in the same way what else there is to say.
LINES: dict[str, tuple[type, ...]] = {
    "list": (HypervisorLine, ConsoleLine),
    "status": (DaemonLine, HypervisorLine),
    "events": (
        AppearedEvent,
        AttachedEvent,
        EndedEvent,
        WaitingEvent,
        BreakEvent,
        NoteEvent,
        VanishedEvent,
        JournalFailedEvent,
        JournalRecoveredEvent,
        JournalGapEvent,
    ),
    "log": (HistoryLine, TextLine, MarkLine, GapLine),
    "attach": (
        Reason,
        Break,
        Note,
        Gap,
        InputLostLine,
        InputHeldLine,
        InputLeftLine,
        InputNotSentLine,
        InputWaitsLine,
        InputDroppedLine,
        RoleChanged,
        Company,
        OtherHistoryLine,
        WithheldLine,
        FailureLine,
    ),
    "who": (ClientLine,),
    "doctor": (FindingLine,),
    "screen": (ScreenLine,),
    "send": (SentLine,),
    "expect": (MatchLine, Reason),
    "wait": (AttachedLine, Reason),
}
