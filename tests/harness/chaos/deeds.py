"""What was done to guests, and what was typed at their consoles. Pure."""

from dataclasses import dataclass
from math import inf

from virtmux import Cause

#: So long after a deed its consequences may be told, in seconds: evidence is waited for, and asked for; and so long
#: where they come late, as those of a takeover in silence, which a probe finds.
SOON, LATE = 8.0, 15.0


@dataclass
class Deed:
    """What was done, from when to when, by the tests' clock, and to which guests.

    Of it their consoles may be told `causes`, and what comes `meanwhile` besides.
    """

    what: str
    guests: frozenset[str]
    causes: frozenset[Cause]
    meanwhile: frozenset[Cause]
    began: float
    over: float = inf
    #: Whether it ends each console that is attached.
    ends: bool = False
    #: Whether the consoles can be attached meanwhile.
    attachable: bool = False
    #: Whether its consequences may come long after it.
    lingers: bool = False

    def overlaps(self, start: float, end: float) -> bool:
        """Whether it was done at any time between these."""
        return self.began <= end and start <= self.over

    @property
    def until(self) -> float:
        """Until when its consequences may be told."""
        return self.over + (LATE if self.lingers else SOON)

    def may_have_ended(self, start: float, end: float) -> bool:
        """Whether, done at any time between these or just before, it may have ended a console."""
        return bool(self.causes | self.meanwhile) and self.overlaps(start - (LATE if self.lingers else 1.0), end)


@dataclass(frozen=True)
class Typed:
    """A token that was sent, within parentheses, to the attachment that began with this mark."""

    token: bytes
    mark: int
