"""What can happen to a console, as its state machine is told it; what that asks for in return is in `effects`."""

from dataclasses import dataclass
from enum import StrEnum

from virtmux.reasons import Cause, LibvirtEvent, SavedError
from virtmuxd.core.evidence import Failure


class Policy(StrEnum):
    """When virtmux holds a console."""

    ON_DEMAND = "on-demand"
    ALWAYS = "always"
    NEVER = "never"


class Timer(StrEnum):
    """The timers a console may have; an idle one has none."""

    EVIDENCE = "evidence"
    RETRY = "retry"
    LINGER = "linger"
    PROBE = "probe"
    RECLAIM = "reclaim"
    OUTLIVED = "outlived"


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things take, in seconds."""

    #: How long evidence of an end is waited for, and after that an answer to how the domain stands.
    evidence: float = 2.0
    answer: float = 8.0
    #: How long a console stays open that nobody watches any more.
    linger: float = 60.0
    #: How long a console is silent before it is probed.
    probe_after: float = 3.0
    #: How long a stream may outlive its guest before it is ended: the last output may be on its way.
    outlived: float = 10.0
    #: At what interval a busy console that was held before is asked for again just after the hypervisor has come back.
    eager: float = 0.1


@dataclass(frozen=True, slots=True)
class Demand:
    """Clients began (`present`) or ceased to want the console.

    `force`: who came said that it may be taken from another libvirt client, if that holds it now.
    """

    at: int
    present: bool
    force: bool = False


@dataclass(frozen=True, slots=True)
class Up:
    """The hypervisor answers; so the domain stands: `running_id` -1 where it is shut off, `stopped` then says how."""

    at: int
    running_id: int
    stopped: LibvirtEvent | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Down:
    """The hypervisor's control connection is lost."""

    at: int
    cause: Cause
    error: SavedError | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The domain was started; `incoming`: for a guest that still runs elsewhere and is being migrated to it."""

    at: int
    running_id: int
    incoming: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """The domain ended: a STOPPED event."""

    at: int
    event: LibvirtEvent


@dataclass(frozen=True, slots=True)
class ShuttingDown:
    """The guest has powered itself off; libvirt has yet to end the domain: a SHUTDOWN event."""

    at: int
    event: LibvirtEvent


@dataclass(frozen=True, slots=True)
class Unplugged:
    """The console's device was removed from the running domain."""

    at: int
    event: LibvirtEvent


@dataclass(frozen=True, slots=True)
class Undefined:
    """The domain has no definition any more; `gone`: it does not run either, as far as libvirt knows of it at all."""

    at: int
    event: LibvirtEvent
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Paused:
    """The guest's CPUs were stopped; it takes no input. `note` says how: paused, or crashed."""

    at: int
    detail: str | None = None
    note: str = "paused"


@dataclass(frozen=True, slots=True)
class Resumed:
    """The guest's CPUs go on."""

    at: int
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Noted:
    """Something else that happened to the guest and ends nothing: rebooted."""

    at: int
    note: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Renamed:
    """The domain has another name; only one that does not run can get it."""

    at: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Released:
    """Somebody asked that the console be let go: until a time (ns), or until it is reclaimed."""

    at: int
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """Somebody asked that a release be over."""

    at: int


@dataclass(frozen=True, slots=True)
class Lent:
    """A client began (`lent`) or ceased to need that the console be let go, for as long as it is connected."""

    at: int
    lent: bool


@dataclass(frozen=True, slots=True)
class PolicySet:
    """The configuration has another attach policy for the console, or another linger (seconds)."""

    at: int
    policy: Policy
    linger: float


@dataclass(frozen=True, slots=True)
class Incoming:
    """The guest is being migrated to the hypervisor at `uri`, which this daemon serves too."""

    at: int
    uri: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """The migrated guest runs at its destination, with this running id, or is paused there as it was here."""

    at: int
    running_id: int
    paused: bool = False


@dataclass(frozen=True, slots=True)
class TurnedBack:
    """The guest does not go to the hypervisor at `uri`: the migration failed."""

    at: int
    uri: str


@dataclass(frozen=True, slots=True)
class Spoke:
    """Output came, and nobody watches for the silence after it; see `Silence.unwatched`."""

    at: int


@dataclass(frozen=True, slots=True)
class Fenced:
    """A fence was answered: libvirt serves the stream."""

    at: int


@dataclass(frozen=True, slots=True)
class Opened:
    """`Open` succeeded, for the domain with this running id; `since` is when it was opened, where that was ahead.

    `shared`: its connection carries other consoles too.
    """

    at: int
    running_id: int
    since: int | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class OpenFailed:
    """`Open` failed, by what libvirt said, or for a `cause` that is known without it."""

    at: int
    error: SavedError | None = None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The attachment ended: end of stream, a stream error, or the loss of its connection."""

    failure: Failure

    @property
    def at(self) -> int:
        """When it was saved."""
        return self.failure.at


@dataclass(frozen=True, slots=True)
class Cleaned:
    """`Close` is done; what failed meanwhile explains nothing."""

    at: int
    errors: tuple[SavedError, ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to `Query` about an attachment: how the domain stopped, or None where it runs or nobody answered."""

    at: int
    attachment: int
    stopped: LibvirtEvent | None


@dataclass(frozen=True, slots=True)
class Elapsed:
    """A timer ran out."""

    at: int
    timer: Timer


Event = (
    Demand | Up | Down | Started | Stopped | ShuttingDown | Unplugged | Undefined | Paused | Resumed | Noted | Renamed
    | Released | Reclaimed | Lent | PolicySet | Incoming | Arrived | TurnedBack | Spoke | Fenced
    | Opened | OpenFailed | Failed | Cleaned | Answered | Elapsed
)  # fmt: skip
