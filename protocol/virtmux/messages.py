"""The JSON messages of protocol version 1, typed. Their `type` field is the tag; unknown fields are ignored.

Pure. SPEC.md describes each of them; a test holds its tables against these classes.
"""

from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from msgspec import DecodeError, Meta, Struct, field
from msgspec.json import Decoder, Encoder

from virtmux.domains import DomainInfo
from virtmux.people import ClientInfo, Companion, Person, Role
from virtmux.reasons import Cause, ConsoleId, Reason
from virtmux.records import Break, Ended, Mark, Note
from virtmux.wire import MAX_INPUT, MAX_MESSAGE, MAX_OUTPUT, PROTOCOL, U32, U63, ProtocolError, encode_message

MAX_TEXT = 1024
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
"""A string from a client, in characters: short enough to be repeated in an answer."""

MAX_SECONDS = 1_000_000_000
Seconds = Annotated[float, Meta(gt=0, le=MAX_SECONDS)]
"""A length of time from a client: bounded, so that it can be added to any time that a daemon may live to see."""

MAX_KEYS = 16
KeyCode = Annotated[int, Meta(ge=1, le=767)]
"""A key by its number in Linux's input-event-codes.h, `KEY_ESC` to `KEY_MAX`."""

MIN_LAG = MAX_OUTPUT
"""The least that a place may be allowed to lag, in bytes: a frame."""

_MAX_ERROR_TEXT = 200


def sendable(text: str) -> str:
    """`text`, which a client may send as a `Text`.

    Raises:
        ValueError: it is too long, or not Unicode, as a command line that is not UTF-8.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"a text of {len(text)} characters, and at most {MAX_TEXT} can be sent")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"not UTF-8: {text!a}") from None
    return text


class State(StrEnum):
    """Where a console stands; SPEC.md, "States", has a diagram."""

    ABSENT = "absent"
    OPENING = "opening"
    ATTACHED = "attached"
    ENDING = "ending"
    WAITING = "waiting"


class Limits(Struct, frozen=True):
    """The most that a frame carries of each kind, in bytes. `input_window`: input that a client may have sent to a
    console and not seen the fate of."""

    message: U32 = MAX_MESSAGE
    output: U32 = MAX_OUTPUT
    input: U32 = MAX_INPUT
    input_window: U32 = 65536


class ConsoleInfo(Struct, frozen=True, kw_only=True):
    """A console as `list` shows it. `console` is its handle, `position` the end of its records.

    `running` says whether its domain runs, `paused` whether it runs and is paused, `backend` is libvirt's type of the
    device (`pty`, `file`, ...). `exclusive`: whether libvirt gives it to one client at a time. `policy` is its attach
    policy. `released` is null where it is not released, else the time at which that ends (RFC 3339),
    `until-reclaimed`, or `while-in-use`. `journal` says where its records are kept: on `disk`, or in `memory`;
    `failing` where the disk does not take them now, `none` where nothing of them outlives the daemon.
    """

    console: U32
    id: ConsoleId
    state: State
    since: str
    running: bool
    backend: str
    clients: U32
    attachment: U32 | None
    position: str
    last_output: str | None
    last_end: Reason | None
    exclusive: bool
    paused: bool
    policy: str
    released: str | None
    journal: str


class Counters(Struct, frozen=True):
    """What was counted at a hypervisor since the daemon started.

    `cuts`: connections that were cut at their socket because a call missed its deadline; `stuck_calls`: calls that did
    not return although their connection was cut; `ends`: marks `ended`, by cause; `journal_failures`: times that the
    disk did not take a console's records; `journal_lost`: bytes that came and are in no journal because of that.
    """

    cuts: U63 = 0
    stuck_calls: U63 = 0
    ends: dict[Cause, U63] = {}
    journal_failures: U63 = 0
    journal_lost: U63 = 0


class HistoryInfo(Struct, frozen=True, kw_only=True):
    """What is stored of a console in one history.

    `console` is who it was at its end. `start` and `end` are the positions of the first record that is held and behind
    the last one, `since` and `until` the times between which they came (null: not known). `current`: the console goes
    on with it. `stored`: on `disk`, or in `memory` alone. `size` is what its files take, in bytes.
    """

    console: ConsoleId
    start: str
    end: str
    since: str | None
    until: str | None
    current: bool
    stored: str
    size: U63


class HypervisorInfo(Struct, frozen=True, kw_only=True):
    """A hypervisor as `list` shows it. `id` is null until it was connected to, `since` is when `connected` changed.

    `reason` says why it is not connected; null while it is, and before the first attempt is over. `exclusive`: whether
    its driver gives a console to one libvirt client at a time.
    """

    uri: str
    id: str | None
    connected: bool
    since: str
    reason: Reason | None
    exclusive: bool
    consoles: U32
    counters: Counters


# From the client.


class ClientHello(Struct, frozen=True, tag="hello"):
    """The first message of a client."""

    protocol: U32 = PROTOCOL
    software: Text = ""
    features: Annotated[list[Text], Meta(max_length=64)] = []


class ListConsoles(Struct, frozen=True, tag="list"):
    """Asks what there is: answered by a `hypervisor` message each, a `console` message each, then `done`."""

    id: U32


class Lag(Struct, frozen=True):
    """How far a place may lag behind what comes while it is there: `bytes`, and `seconds` by which its next byte is
    older than the newest one. Beyond either it is given a gap, or leaves."""

    bytes: Annotated[int, Meta(ge=MIN_LAG, le=(1 << 63) - 1)] = 1 << 20
    seconds: Seconds = 5.0
    then: Literal["gap", "leave"] = "gap"


class Attach(Struct, frozen=True, tag="attach"):
    """Asks for a place at a console: answered by `place` or `refused`.

    `domain` is a name, UUID or running id; `device` an alias (null: the domain's first console). Where to start is
    named by `position`, or by `replay` (see `virtmux.replay`); both null is the end. The console is opened and kept
    open for the place, unless `hold` is false. `timed`: `time` messages come with the output. `lag`: null is no limit.
    """

    id: U32
    domain: Text
    device: Text | None = None
    uri: Text | None = None
    position: Text | None = None
    read_only: bool = False
    replay: Text | None = None
    hold: bool = True
    timed: bool = False
    lag: Lag | None = None
    exclusive: bool = False
    steal: bool = False
    token: Text | None = None
    company: bool = False
    force: bool = False


class Detach(Struct, frozen=True, tag="detach"):
    """Gives a place up: answered by `done`; nothing of that console follows it."""

    id: U32
    console: U32


class Flow(Struct, frozen=True, tag="flow"):
    """Pauses or resumes a console's records on this connection; not answered."""

    console: U32
    paused: bool


class Confirm(Struct, frozen=True, tag="confirm"):
    """Asks for the fate of all input sent to a console so far, as soon as it can be found out: an `input-status` tells
    it, there is no other answer. Unasked, the daemon may leave some small pieces without a word for any time."""

    console: U32


class Release(Struct, frozen=True, tag="release"):
    """Asks the daemon to let a console go, for others: answered by `done` once that is so, or by `refused`.

    It lasts `seconds`, or, where that is null, until it is reclaimed, over restarts of the daemon too. With
    `while_connected` it lasts until this connection ends or reclaims it; `seconds` has no meaning then.
    """

    id: U32
    domain: Text
    device: Text | None = None
    uri: Text | None = None
    seconds: Seconds | None = None
    while_connected: bool = False


class Reclaim(Struct, frozen=True, tag="reclaim"):
    """Ends a release: with `while_connected` the last such one of this connection, else the other, whoever asked for
    it. Answered by `done`, also where there is none, or by `refused`."""

    id: U32
    domain: Text
    device: Text | None = None
    uri: Text | None = None
    while_connected: bool = False


class Watch(Struct, frozen=True, tag="watch"):
    """Asks for `event` messages: answered by one `appeared` event for each console that exists, then `done`."""

    id: U32


class Histories(Struct, frozen=True, tag="histories"):
    """Asks for what is stored of a console, or of all (`domain` null): answered by a `history` message for each
    history, the oldest of a console first, then `done`. `domain` may be one that was undefined, or a former name."""

    id: U32
    domain: Text | None = None
    device: Text | None = None
    uri: Text | None = None


class Marks(Struct, frozen=True, tag="marks"):
    """Asks for the marks that are stored of a console, `since` a time (null: all): answered by a `stored` message each,
    in their order, then `done`. `domain` as for `histories`."""

    id: U32
    domain: Text
    device: Text | None = None
    uri: Text | None = None
    since: Text | None = None


class Forget(Struct, frozen=True, tag="forget"):
    """Asks that what is stored of a console be deleted: answered by `done` once that is so. `domain` as for
    `histories`."""

    id: U32
    domain: Text
    device: Text | None = None
    uri: Text | None = None


class Who(Struct, frozen=True, tag="who"):
    """Asks who is connected: answered by a `client` message each, then `done`."""

    id: U32


class Kick(Struct, frozen=True, tag="kick"):
    """Asks that the client with this number be sent away, with cause `evicted`: answered by `done`, or `refused`."""

    id: U32
    client: U32


GuestAction = Literal["start", "start-paused", "resume", "key", "nmi"]


class Guest(Struct, frozen=True, tag="guest", kw_only=True):
    """Asks that something be done to a domain, which is named as for `attach`: answered by `done` once libvirt has done
    it, or by `refused`.

    `start` starts it, with `start-paused` its CPUs stand still until `resume`; `key` presses `keys` together, for
    `hold_ms`; `nmi` sends a non-maskable interrupt.
    """

    id: U32
    domain: Text
    uri: Text | None = None
    action: GuestAction
    keys: Annotated[list[KeyCode], Meta(max_length=MAX_KEYS)] = []
    hold_ms: Annotated[int, Meta(ge=0, le=10_000)] = 100


class Domains(Struct, frozen=True, tag="domains"):
    """Asks what libvirt says of a domain, named as for `attach`, whether it has a console or not: answered by a
    `domain` message for each hypervisor that has it, then `done`."""

    id: U32
    domain: Text
    uri: Text | None = None


ClientMessage = (
    ClientHello
    | ListConsoles
    | Attach
    | Detach
    | Flow
    | Confirm
    | Release
    | Reclaim
    | Watch
    | Histories
    | Marks
    | Forget
    | Who
    | Kick
    | Guest
    | Domains
)


# From the daemon.


class ServerHello(Struct, frozen=True, tag="hello"):
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
    console exclusively, where that is somebody else.
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
    """Records that were there and are no longer held: output bytes `offset` to `to_offset`, marks `mark` to `to_mark`
    (the ends excluded). The place goes on at (`to_offset`, `to_mark`). `why` says why, where the journal knows."""

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


ServerMessage = (
    ServerHello
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
    | PlaceEnded
    | Event
    | Goodbye
)

_M = TypeVar("_M")
_encoder = Encoder()
_client_decoder: Decoder[ClientMessage] = Decoder(ClientMessage)
_server_decoder: Decoder[ServerMessage] = Decoder(ServerMessage)


def encode(message: ClientMessage | ServerMessage) -> bytes:
    """The message as a whole frame.

    Raises:
        ValueError: it is larger than a frame may be.
    """
    return encode_message(_encoder.encode(message))


def decode_client_message(payload: bytes) -> ClientMessage:
    """Read a client's message.

    Raises:
        ProtocolError: it is not JSON, of no known type, or a field is missing or of the wrong kind.
    """
    return _decode(_client_decoder, payload)


def decode_server_message(payload: bytes) -> ServerMessage:
    """Read a message of the daemon.

    Raises:
        ProtocolError: as `decode_client_message`.
    """
    return _decode(_server_decoder, payload)


def _decode(decoder: Decoder[_M], payload: bytes) -> _M:
    try:
        # Decoded first, because msgspec does not look into the strings of fields that it skips.
        return decoder.decode(payload.decode())
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        # msgspec quotes what it does not know, at any length; the text must fit into a goodbye.
        raise ProtocolError(f"malformed message: {str(error)[:_MAX_ERROR_TEXT]}") from error
