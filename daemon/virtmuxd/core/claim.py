"""Whether virtmux lays claim to a console: the attach policy, who wants it, and who asked that it be let go."""

from dataclasses import replace

from virtmux.records import rfc3339
from virtmuxd.core.effects import ClearTimer, Effect, Keep, SetTimer
from virtmuxd.core.events import Demand, Elapsed, Event, Lent, Policy, PolicySet, Reclaimed, Released, Timer, Timing, Up

#: A release without an end.
FOREVER = (1 << 63) - 1
_SECOND = 10**9


class Claim:
    """See the module. Times in ns since the epoch."""

    def __init__(self, policy: Policy, timing: Timing, released_until: int | None) -> None:
        self.policy = policy
        #: Whether clients want the console.
        self.demanded = False
        #: Until when it is released; None where it is not.
        self.released_until = released_until
        #: How many clients need that it be let go while they are connected.
        self.lent = 0
        self._timing = timing
        self._lingering = False

    @property
    def laid(self) -> bool:
        """Whether the console shall be held, if it can be."""
        return self._wished and self.released_until is None and not self.lent

    @property
    def _wished(self) -> bool:
        """Whether it would be, were it not released."""
        if self.policy is Policy.ON_DEMAND:
            return self.demanded or self._lingering
        return self.policy is Policy.ALWAYS

    @property
    def returns(self) -> bool:
        """Whether it will be held without anybody's help, now or later."""
        return self._wished and self.released_until != FOREVER

    @property
    def why_not(self) -> str | None:
        """Why it is not held although clients want it, in words that follow a colon; None where it may be."""
        if self.policy is Policy.NEVER:
            return "its attach policy is 'never'"
        if self.lent:
            return "somebody uses it by 'virtmux release CONSOLE -- CMD'"
        if self.released_until is not None:
            return "it was released; 'virtmux reclaim' takes it back"
        return None

    @property
    def released(self) -> str | None:
        """Until when it is released, in the words of `ConsoleInfo.released`; None where it is not."""
        if self.lent:
            return "while-in-use"
        if self.released_until is None:
            return None
        return "until-reclaimed" if self.released_until == FOREVER else rfc3339(self.released_until)

    def left_s(self, at: int) -> float | None:
        """Seconds until a release with an end is over; None where there is none."""
        if self.released_until is None or self.released_until == FOREVER:
            return None
        return max(0.0, (self.released_until - at) / _SECOND)

    def learn(self, event: Event, *, held: bool) -> list[Effect]:  # noqa: PLR0911 - one for each kind of event
        """Take what the event says about it; `held`: the console is held or sought now."""
        match event:
            case Demand(present=present):
                return self._demand(present=present, held=held)
            case Elapsed(timer=Timer.LINGER):
                self._lingering = False
            case PolicySet(policy=policy, linger=linger):
                return self._set(policy, linger)
            case Lent(lent=lent):
                self.lent += 1 if lent else -1
            case Released(at, until):
                return self._release(at, FOREVER if until is None else until)
            case Reclaimed(at):
                return self._release(at, None)
            case Elapsed(at, Timer.RECLAIM) if self.released_until is not None:
                return self._release(at, None if self.released_until <= at else self.released_until)
            case Up(at) if self.released_until is not None:
                return self._release(at, self.released_until)
            case _:
                pass  # it says nothing about it
        return []

    def timers(self, at: int) -> list[Effect]:
        """What runs, set anew."""
        left = self.left_s(at)
        timers: list[Effect] = [SetTimer(Timer.LINGER, self._timing.linger)] if self._lingering else []
        return timers + ([SetTimer(Timer.RECLAIM, left)] if left is not None else [])

    @property
    def linger(self) -> float:
        """How many seconds the console stays open on demand once nobody wants it any more."""
        return self._timing.linger

    def _set(self, policy: Policy, linger: float) -> list[Effect]:
        self.policy, self._timing = policy, replace(self._timing, linger=linger)
        if not self._lingering:
            return []
        self._lingering = policy is Policy.ON_DEMAND
        return [SetTimer(Timer.LINGER, linger) if self._lingering else ClearTimer(Timer.LINGER)]

    def _demand(self, *, present: bool, held: bool) -> list[Effect]:
        ceased = self.demanded and not present
        self.demanded = present
        self._lingering = ceased and self.policy is Policy.ON_DEMAND and held
        if self._lingering:
            return [SetTimer(Timer.LINGER, self._timing.linger)]
        return [ClearTimer(Timer.LINGER)] if present else []

    def _release(self, at: int, until: int | None) -> list[Effect]:
        self.released_until = until
        left = self.left_s(at)
        return [Keep(until), ClearTimer(Timer.RECLAIM) if left is None else SetTimer(Timer.RECLAIM, left)]
