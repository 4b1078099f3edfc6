"""Whether virtmux lays claim to a console, and until when it does not."""

from tests.harness.life import COME, GO, at
from virtmuxd.core.claim import FOREVER, Claim
from virtmuxd.core.effects import SetTimer
from virtmuxd.core.events import Demand, Policy, Timer, Timing


def test_what_runs_can_be_set_anew() -> None:
    claim = Claim(Policy.ON_DEMAND, Timing(linger=60.0), released_until=at(30))
    claim.learn(Demand(at(0), COME), held=True)
    assert claim.timers(at(10)) == [SetTimer(Timer.RECLAIM, 20.0)]

    claim.learn(Demand(at(10), GO), held=True)

    assert claim.timers(at(10)) == [SetTimer(Timer.LINGER, 60.0), SetTimer(Timer.RECLAIM, 20.0)]
    claim.released_until = FOREVER
    assert claim.timers(at(10)) == [SetTimer(Timer.LINGER, 60.0)]
