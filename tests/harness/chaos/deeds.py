"""What was done to guests, and what was typed at their consoles. Pure."""

from dataclasses import dataclass
from math import inf

from virtmux import Cause

#: So long after a deed its consequences may be told, in seconds: a silent takeover is found by a probe.
LATE = 15.0


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

    def is_near(self, start: float, end: float) -> bool:
        """Whether it was done at any time between these."""
        return self.began <= end and start <= self.over

    def may_have_ended(self, start: float, end: float) -> bool:
        """Whether, done at any time between these or just before, it may have ended a console."""
        return bool(self.causes | self.meanwhile) and self.is_near(start - (LATE if self.lingers else 1.0), end)


@dataclass(frozen=True)
class Typed:
    """A token that was sent, within parentheses, to the attachment that began with this mark."""

    token: bytes
    mark: int
