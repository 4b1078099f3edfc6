"""The messages of a client. Pure."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from virtmux.messages.values import MAX_KEYS, MIN_LAG, KeyCode, Seconds, Text
from virtmux.wire import PROTOCOL, U32


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
    `exclusive`: nobody else may type; refused where somebody has that, unless `steal` takes it over. `token`: of the
    client's own lost exclusive place, asked back; never refused, it watches where somebody else has it. `company`:
    `company` messages tell who else is there. `force`: the console is taken, once, from another libvirt client.
    `proof`: of the place that is taken up again, from its answer.
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
    proof: Text | None = None


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
"""What can be done to a domain; see `Guest`."""


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


class Status(Struct, frozen=True, tag="status"):
    """Asks what the daemon as a whole counts and measures: answered by a `statistics` message, then `done`."""

    id: U32


class OpenMetrics(Struct, frozen=True, tag="openmetrics"):
    """Asks for all that is counted and measured, as the text that a monitoring system scrapes: answered by `metrics`
    messages with its pieces in order, then `done`."""

    id: U32


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
    | Status
    | OpenMetrics
)
"""All that a client says in JSON."""
