"""A console on demand is held while somebody wants it, and for a while after."""

from tests.harness.life import BUSY, COME, GO, ID, Life, at, attached
from virtmux.messages import State
from virtmux.reasons import Cause
from virtmuxd.core.effects import ClearTimer, Close, Open, SetTimer
from virtmuxd.core.events import Cleaned, Demand, Elapsed, Opened, OpenFailed, Policy, Timer, Up


def test_a_console_on_demand_is_opened_when_somebody_comes() -> None:
    life = Life(Policy.ON_DEMAND)
    assert life.happen(Up(at(0), ID)) == []
    assert life.state == "absent"

    assert Open() in life.happen(Demand(at(1), COME))
    assert life.state == "opening"


def test_a_console_on_demand_is_opened_once_the_hypervisor_answers() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Demand(at(0), COME))
    assert life.state == "waiting"
    assert life.machine.waiting is not None
    assert life.machine.waiting.cause is Cause.HYPERVISOR_LOST

    assert Open() in life.happen(Up(at(1), ID))


def test_a_console_that_is_never_held_says_so_to_who_comes() -> None:
    life = Life(Policy.NEVER)
    life.happen(Up(at(0), ID), Demand(at(1), COME))

    assert (life.state, life.story) == (State.WAITING, [])
    waiting = life.machine.waiting
    assert waiting is not None
    assert waiting.cause is Cause.CONSOLE_RELEASED
    assert "'never'" in waiting.text
    assert not waiting.retry.will_retry

    life.happen(Demand(at(2), GO))
    assert life.state == "absent"


def test_a_console_that_nobody_watches_any_more_is_let_go_after_a_while() -> None:
    life = attached(Policy.ON_DEMAND)
    assert life.happen(Demand(at(2), GO)) == [SetTimer(Timer.LINGER, 60.0)]
    assert life.state == "attached"

    assert Close() in life.happen(Elapsed(at(62), Timer.LINGER))
    assert life.story == ["attached 1", "ended 1 console-released"]
    assert life.reason.text == "virtmux does not hold the console of web1"
    assert not life.reason.retry.will_retry

    life.happen(Cleaned(at(63)))
    assert life.state == "absent"


def test_who_comes_back_in_time_finds_the_console_open() -> None:
    life = attached(Policy.ON_DEMAND)
    life.happen(Demand(at(2), GO))

    assert life.happen(Demand(at(3), COME)) == [ClearTimer(Timer.LINGER)]
    assert (life.state, life.story) == (State.ATTACHED, ["attached 1"])


def test_who_comes_where_others_are_changes_nothing() -> None:
    life = attached(Policy.ON_DEMAND)

    assert life.happen(Demand(at(2), COME)) == [ClearTimer(Timer.LINGER)]
    assert life.happen(Elapsed(at(62), Timer.LINGER)) == []


def test_who_comes_while_the_console_is_let_go_gets_it_at_once() -> None:
    life = attached(Policy.ON_DEMAND)
    life.happen(Demand(at(2), GO), Elapsed(at(62), Timer.LINGER), Demand(at(62), COME))

    assert Open() in life.happen(Cleaned(at(63)))
    assert life.state == "opening"


def test_a_console_that_nobody_wants_any_more_once_it_is_open_is_let_go() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID), Demand(at(0), COME), Demand(at(1), GO), Elapsed(at(61), Timer.LINGER))
    assert life.state == "opening"

    assert Close() in life.happen(Opened(at(62), ID))
    assert life.story == ["attached 1", "ended 1 console-released"]


def test_a_console_that_nobody_wants_any_more_once_it_cannot_be_opened_is_left_alone() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID), Demand(at(0), COME), Demand(at(1), GO), Elapsed(at(61), Timer.LINGER))

    assert life.happen(OpenFailed(at(62), BUSY)) == []
    assert (life.state, life.story) == (State.ABSENT, [])


def test_a_console_that_is_held_always_does_not_linger() -> None:
    life = attached(Policy.ALWAYS)
    assert life.happen(Demand(at(2), GO), Elapsed(at(62), Timer.LINGER)) == []

    assert (life.state, life.story) == (State.ATTACHED, ["attached 1"])


def test_nobody_is_waited_for_longer_than_the_linger() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), -1), Demand(at(1), COME), Demand(at(2), GO))
    assert life.state == "waiting"

    life.happen(Elapsed(at(62), Timer.LINGER))
    assert life.state == "absent"
