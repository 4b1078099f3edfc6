"""Another attach policy, while the daemon runs: the console is held, or let go, as it says from then on."""

import pytest

from tests.harness.life import COME, GO, ID, Life, at
from virtmux.messages import State
from virtmux.reasons import Cause
from virtmuxd.core.effects import ClearTimer, Close, Open, SetTimer
from virtmuxd.core.events import Cleaned, Demand, Elapsed, Opened, Policy, PolicySet, Timer, Up

LINGER = 60.0


def attached(policy: Policy, *, wanted: bool) -> Life:
    life = Life(policy)
    life.happen(Demand(at(0), COME), Up(at(0), ID), Opened(at(1), ID))
    if not wanted:
        life.happen(Demand(at(1), GO))
    return life


def set_to(policy: Policy, linger: float = LINGER) -> PolicySet:
    return PolicySet(at(2), policy, linger)


def test_a_console_that_is_now_to_be_held_is_opened() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID))

    assert Open() in life.happen(set_to(Policy.ALWAYS))


@pytest.mark.parametrize("policy", [Policy.ON_DEMAND, Policy.NEVER])
def test_one_that_is_not_to_be_held_any_more_is_let_go(policy: Policy) -> None:
    life = attached(Policy.ALWAYS, wanted=False)

    assert Close() in life.happen(set_to(policy))
    life.happen(Cleaned(at(3)))

    assert (life.state, life.story) == (State.ABSENT, ["attached 1", "ended 1 console-released"])


def test_one_that_somebody_wants_stays_open_on_demand() -> None:
    life = attached(Policy.ALWAYS, wanted=True)

    assert life.happen(set_to(Policy.ON_DEMAND)) == []
    assert life.state is State.ATTACHED


def test_whoever_wants_one_that_is_never_to_be_held_is_told() -> None:
    life = attached(Policy.ON_DEMAND, wanted=True)
    life.happen(set_to(Policy.NEVER), Cleaned(at(3)))

    assert life.state is State.WAITING
    assert life.machine.waiting is not None
    assert life.machine.waiting.cause is Cause.CONSOLE_RELEASED
    assert "'never'" in life.machine.waiting.text
    assert Open() in life.happen(set_to(Policy.ON_DEMAND))


def test_one_that_lingers_does_so_for_as_long_as_is_said_now() -> None:
    life = attached(Policy.ON_DEMAND, wanted=False)

    assert life.happen(set_to(Policy.ON_DEMAND, 5.0)) == [SetTimer(Timer.LINGER, 5.0)]
    assert Close() in life.happen(Elapsed(at(7), Timer.LINGER))


def test_one_that_is_left_later_lingers_for_as_long_as_is_said_now() -> None:
    life = attached(Policy.ON_DEMAND, wanted=True)
    life.happen(set_to(Policy.ON_DEMAND, 5.0))

    assert life.happen(Demand(at(3), GO)) == [SetTimer(Timer.LINGER, 5.0)]


def test_one_that_lingers_is_kept_where_it_is_always_to_be_held() -> None:
    life = attached(Policy.ON_DEMAND, wanted=False)

    assert life.happen(set_to(Policy.ALWAYS)) == [ClearTimer(Timer.LINGER)]
    assert life.state is State.ATTACHED


def test_while_it_is_opened_the_policy_that_comes_counts() -> None:
    life = Life(Policy.ALWAYS)
    life.happen(Up(at(0), ID))
    life.happen(set_to(Policy.NEVER))

    assert Close() in life.happen(Opened(at(3), ID))
