"""What a console's state machine asks for.

Commands are for the hypervisor side to carry out, which answers with events; to duties the console itself has to see.
"""

from dataclasses import dataclass

from virtmux.reasons import Cause, Reason
from virtmuxd.core.events import Timer

# Commands.


@dataclass(frozen=True, slots=True)
class Open:
    """Open the console, without FORCE unless a person said so; answer with `Opened` or `OpenFailed`."""

    force: bool = False


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


# Duties.


@dataclass(frozen=True, slots=True)
class Begin:
    """An attachment began: the console is held, input for it may come; over a `shared` connection within a budget."""

    at: int
    attachment: int
    shared: bool


@dataclass(frozen=True, slots=True)
class End:
    """The attachment ended: the console is not held, what was typed at it goes no further."""

    at: int


@dataclass(frozen=True, slots=True)
class Explain:
    """Why the attachment ended is known: tell those whose input went no further."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Remember:
    """The newest incarnation is another, or does not run any more (-1)."""

    number: int
    running_id: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Input waits (`held`): the guest is paused, or gone while its stream is still there; or it goes on."""

    held: bool


@dataclass(frozen=True, slots=True)
class Probe:
    """The console fell silent: find out whether its stream is still served."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Store until when (ns) the console is released; None: it is not, `FOREVER`: until it is reclaimed."""

    until: int | None


@dataclass(frozen=True, slots=True)
class Move:
    """The guest has moved: from now on the console belongs to the hypervisor where it arrived."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The console began to wait, for this reason."""

    at: int
    reason: Reason


Duty = Begin | End | Explain | Remember | Hold | Probe | Keep | Move | Wait

Effect = Command | Duty
