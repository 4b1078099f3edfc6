"""What was done to guests, libvirtd and the daemon, what clients may be told of it, and what was typed. Pure."""

from dataclasses import dataclass
from math import inf

from virtmux import Cause

#: So long after a deed its consequences may be told, in seconds: evidence is waited for, and asked for; and so long
#: where they come late, as those of a takeover in silence, which a probe finds.
SOON, LATE = 8.0, 15.0
#: So long before it is over, in seconds, as far as the tests know, it may be.
NEARLY = 1.0

NOTHING: frozenset[Cause] = frozenset()
OFF = frozenset({Cause.GUEST_NOT_RUNNING})
LOST, TIMEOUT = frozenset({Cause.HYPERVISOR_LOST}), frozenset({Cause.HYPERVISOR_TIMEOUT})
#: What is said of an end where nobody could find out more.
UNEXPLAINED = frozenset({Cause.STREAM_ENDED, Cause.STREAM_ERROR})


@dataclass(frozen=True)
class Kind:
    """What can be done, and what of it is told where.

    It ends every attachment that it finds, by one of `causes`, if there are any. Of these, and of what comes
    `meanwhile`, who waits for the console may be told too.
    """

    what: str
    causes: frozenset[Cause] = NOTHING
    meanwhile: frozenset[Cause] = NOTHING
    #: Those of the causes that are only told once it is over, and nobody can see any more what it was.
    afterwards: frozenset[Cause] = NOTHING
    #: Whether attachments may end by it without an `ended`: once it is over, a `break` is all that is told.
    breaks: bool = False
    #: Whether the ends that others make meanwhile may be told without their reasons.
    blurs: bool = False
    #: Whether the daemon ends with it, and another one begins.
    restarts: bool = False
    #: Whether the consoles can be attached meanwhile.
    attachable: bool = False
    #: Whether its consequences may come long after it.
    lingers: bool = False
    #: Whether the daemon may turn clients away meanwhile.
    shuts: bool = False
    #: Whether the journal may not be written meanwhile.
    unwritten: bool = False

    @property
    def hides(self) -> bool:
        """Whether the daemon cannot see the guests meanwhile."""
        return not self.causes.isdisjoint(LOST | TIMEOUT)


DESTROY = Kind("destroy", frozenset({Cause.GUEST_DESTROYED}), OFF)
SHUT_DOWN = Kind("shutdown", frozenset({Cause.GUEST_SHUTDOWN}), OFF)
SAVE = Kind("save", frozenset({Cause.GUEST_SAVED}), OFF)
# libvirt's event says the one, what it answers to a question afterwards the other.
QEMU_END = Kind("QEMU's end", frozenset({Cause.GUEST_FAILED, Cause.GUEST_CRASHED}), OFF)
RESET = Kind("reset", attachable=True)
PAUSE = Kind("pause", attachable=True)
# Where virsh has left before anybody could see it, only libvirt's error tells of it; or, where that was not told
# either, nothing but that the console could be opened again.
TAKEOVER = Kind(
    "takeover",
    frozenset({Cause.CONSOLE_TAKEN_OVER, Cause.STREAM_ERROR}),
    frozenset({Cause.CONSOLE_BUSY}),
    frozenset({Cause.STREAM_ERROR}),
    breaks=True,
    lingers=True,
)

LIBVIRTD_KILLED = Kind("libvirtd killed", LOST, TIMEOUT)
LIBVIRTD_RESTARTED = Kind("libvirtd restarted", LOST, TIMEOUT)
# A probe may find it first, and by the time that the console is opened again to see why, libvirtd goes on.
LIBVIRTD_HUNG = Kind("libvirtd hung", TIMEOUT, LOST, breaks=True)
LIBVIRTD_SLOW = Kind("libvirtd hung for a moment")

# It tells no end: a `break` says that nobody held the console. Of one that it has just seen what is known is saved.
DAEMON_KILLED = Kind("virtmuxd killed", breaks=True, blurs=True, restarts=True, shuts=True)
DAEMON_RESTARTED = Kind("virtmuxd restarted", breaks=True, blurs=True, restarts=True, shuts=True)
DAEMON_RELOADED = Kind("virtmuxd reloaded", attachable=True)
# It cannot open a console again to see why it ended.
DESCRIPTORS_EXHAUSTED = Kind("descriptors exhausted", meanwhile=LOST, blurs=True, shuts=True, unwritten=True)
DISK_FULL = Kind("disk full", attachable=True, unwritten=True)
CLOCK_STEPPED = Kind("clock stepped", attachable=True)


@dataclass
class Deed:
    """What was done, to which guests, and from when to when, by the tests' clock."""

    kind: Kind
    guests: frozenset[str]
    began: float
    over: float = inf

    def overlaps(self, start: float, end: float) -> bool:
        """Whether it was done at any time between these."""
        return self.began <= end and start <= self.over

    def is_over(self, at: float) -> bool:
        """Whether it may be over by this time."""
        return at > self.over - NEARLY

    @property
    def until(self) -> float:
        """Until when its consequences may be told."""
        return self.over + (LATE if self.kind.lingers else SOON)


@dataclass(frozen=True)
class Typed:
    """A token that was sent, within parentheses, to the attachment that began with this mark."""

    token: bytes
    mark: int


@dataclass(frozen=True)
class TurnedAway:
    """A visitor who came at a time and was not served until it wanted to go, but sent away by another, or `stuck`."""

    who: str
    came: float
    went: float
    why: str
    stuck: bool = False
