"""What can happen to a console, and what its state machine asks for in return.

Events come in; commands are for the hypervisor side to carry out, duties for the console itself.
"""

from dataclasses import dataclass
from enum import StrEnum

from virtmux.reasons import Cause, LibvirtEvent, Reason, SavedError
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


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: how long evidence of an end is waited for, and how long an unwatched console stays open."""

    evidence: float = 2.0
    linger: float = 60.0


# Events.


@dataclass(frozen=True, slots=True)
class Demand:
    """Clients began (`present`) or ceased to want the console."""

    at: int
    present: bool


@dataclass(frozen=True, slots=True)
class Up:
    """The hypervisor answers; so the domain stands: `running_id` -1 where it is shut off, `stopped` then says how."""

    at: int
    running_id: int
    stopped: LibvirtEvent | None = None


@dataclass(frozen=True, slots=True)
class Down:
    """The hypervisor's control connection is lost."""

    at: int
    cause: Cause
    error: SavedError | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The domain was started."""

    at: int
    running_id: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The domain ended: a STOPPED event."""

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
class Noted:
    """Something that ends nothing: rebooted, paused, resumed."""

    at: int
    note: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """`Open` succeeded, for the domain with this running id."""

    at: int
    running_id: int


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
    Demand | Up | Down | Started | Stopped | Unplugged | Undefined | Noted
    | Opened | OpenFailed | Failed | Cleaned | Answered | Elapsed
)  # fmt: skip


# Commands.


@dataclass(frozen=True, slots=True)
class Open:
    """Open the console, without FORCE; answer with `Opened` or `OpenFailed`."""


@dataclass(frozen=True, slots=True)
class Close:
    """Remove the stream's callback, abort the stream, close its connection; answer with `Cleaned`."""


@dataclass(frozen=True, slots=True)
class Query:
    """Ask for the domain's state, which may explain the end of `attachment`; answer with `Answered`."""

    attachment: int


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Answer with `Elapsed` after `seconds`, unless the timer is set again or cleared."""

    timer: Timer
    seconds: float


@dataclass(frozen=True, slots=True)
class ClearTimer:
    """Stop a timer."""

    timer: Timer


Command = Open | Close | Query | SetTimer | ClearTimer


# What the console itself has to see to.


@dataclass(frozen=True, slots=True)
class Begin:
    """An attachment began: the console is held, input for it may come."""

    at: int
    attachment: int


@dataclass(frozen=True, slots=True)
class End:
    """It ended: the console is not held, what was typed at it goes no further."""

    at: int


@dataclass(frozen=True, slots=True)
class Explain:
    """Why it ended is known: tell those whose input went no further."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Remember:
    """The newest incarnation is another, or does not run any more (-1)."""

    number: int
    running_id: int


@dataclass(frozen=True, slots=True)
class Wait:
    """The console began to wait, for this reason."""

    at: int
    reason: Reason


Duty = Begin | End | Explain | Remember | Wait
