"""A console that is released is held by nobody here, until it is reclaimed, over restarts too."""

from tests.harness.life import BUSY, COME, ID, Life, at, attached
from virtmux.messages import State
from virtmux.reasons import Cause
from virtmuxd.core.claim import FOREVER
from virtmuxd.core.effects import ClearTimer, Keep, Open, SetTimer
from virtmuxd.core.events import (
    Cleaned,
    Demand,
    Down,
    Elapsed,
    Lent,
    Opened,
    OpenFailed,
    Policy,
    Reclaimed,
    Released,
    Timer,
    Up,
)


def waits_for(life: Life) -> tuple[Cause, bool, float | None]:
    reason = life.machine.waiting
    assert reason is not None
    return reason.cause, reason.retry.will_retry, reason.retry.after_s


def test_a_released_console_is_let_go_and_whoever_waits_is_told() -> None:
    life = attached()
    life.happen(Released(at(2)), Cleaned(at(3)))

    assert life.state is State.WAITING
    assert life.story == ["attached 1", "ended 1 console-released"]
    assert waits_for(life) == (Cause.CONSOLE_RELEASED, False, None)
    assert "'virtmux reclaim'" in life.reason.text
    assert Keep(FOREVER) in life.duties


def test_who_comes_to_a_released_console_is_told_why_it_is_not_held() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID), Released(at(1)))

    assert life.happen(Demand(at(2), COME)) == [ClearTimer(Timer.LINGER)]
    assert waits_for(life)[0] is Cause.CONSOLE_RELEASED


def test_it_comes_back_when_it_is_reclaimed() -> None:
    life = attached()
    life.happen(Released(at(2)), Cleaned(at(3)))

    assert Open() in life.happen(Reclaimed(at(4)))
    life.happen(Opened(at(5), ID))

    assert life.story == ["attached 1", "ended 1 console-released", "break", "attached 2"]
    assert Keep(None) in life.duties


def test_it_comes_back_when_its_time_is_over() -> None:
    life = attached()
    assert SetTimer(Timer.RECLAIM, 60.0) in life.happen(Released(at(2), at(62)))
    life.happen(Cleaned(at(3)))
    assert waits_for(life) == (Cause.CONSOLE_RELEASED, True, 59.0)

    assert Open() in life.happen(Elapsed(at(62), Timer.RECLAIM))


def test_a_timer_that_is_early_is_set_again() -> None:
    life = attached()
    life.happen(Released(at(2), at(62)), Cleaned(at(3)))

    assert SetTimer(Timer.RECLAIM, 1.0) in life.happen(Elapsed(at(61), Timer.RECLAIM))
    assert life.state is State.WAITING


def test_a_release_outlives_the_daemon() -> None:
    life = Life(released_until=at(62))

    assert life.happen(Up(at(10), ID)) == [SetTimer(Timer.RECLAIM, 52.0)]
    assert life.state is State.ABSENT
    assert Open() in life.happen(Elapsed(at(62), Timer.RECLAIM))


def test_a_release_that_was_over_before_the_daemon_came_back_is_over() -> None:
    life = Life(released_until=at(5))
    assert life.happen(Up(at(10), ID)) == [SetTimer(Timer.RECLAIM, 0.0)]

    assert Open() in life.happen(Elapsed(at(10), Timer.RECLAIM))


def test_a_console_that_is_lent_comes_back_with_the_last_who_needs_it() -> None:
    life = attached()
    life.happen(Lent(at(2), lent=True), Cleaned(at(3)), Lent(at(4), lent=True))
    assert waits_for(life) == (Cause.CONSOLE_RELEASED, True, None)
    assert life.machine.claim.lent == 2

    assert Open() not in life.happen(Lent(at(5), lent=False))
    assert Open() in life.happen(Lent(at(6), lent=False))
    assert life.machine.claim.lent == 0


def test_a_console_that_is_released_while_it_is_opened_is_let_go_at_once() -> None:
    life = Life()
    life.happen(Up(at(0), ID), Released(at(1)), Opened(at(2), ID))

    assert life.state is State.ENDING
    assert life.story[-1] == "ended 1 console-released"


def test_a_console_that_is_released_while_its_opening_fails_is_left_alone() -> None:
    life = Life()
    life.happen(Up(at(0), ID), Released(at(1)), OpenFailed(at(2), BUSY))

    assert life.state is State.ABSENT


def test_just_after_the_start_a_console_that_a_former_daemon_held_may_be_busy_with_that_and_is_no_news() -> None:
    life = Life(unheld_since=at(-1))
    life.happen(Up(at(0), ID))
    for _ in range(5):
        assert SetTimer(Timer.RETRY, 0.1) in life.happen(OpenFailed(at(1), BUSY), Elapsed(at(1), Timer.RETRY))
    assert life.story == []

    life.happen(OpenFailed(at(2), BUSY))
    assert life.story == ["not opened console-busy"], "by then it is somebody else's"


def test_just_after_a_hypervisor_has_come_back_a_console_may_be_busy_with_the_stream_that_was_lost_with_it() -> None:
    life = attached()
    life.happen(Down(at(20), Cause.HYPERVISOR_TIMEOUT), Cleaned(at(21)))
    told = life.story
    life.happen(Up(at(30), ID))
    assert SetTimer(Timer.RETRY, 0.1) in life.happen(OpenFailed(at(31), BUSY))
    assert life.story == told

    life.happen(Elapsed(at(32), Timer.RETRY), OpenFailed(at(32), BUSY))
    assert life.story == [*told, "not opened console-busy"], "by then it is somebody else's"


def test_a_clock_that_is_set_back_does_not_make_a_busy_console_ours() -> None:
    life = attached()
    life.happen(Down(at(1020), Cause.HYPERVISOR_TIMEOUT), Cleaned(at(1021)), Up(at(1030), ID))
    told = life.story
    life.happen(OpenFailed(at(31), BUSY))
    assert life.story == [*told, "not opened console-busy"]


def test_just_after_the_start_a_busy_console_that_no_daemon_held_is_somebody_elses() -> None:
    life = Life()
    life.happen(Up(at(0), ID), OpenFailed(at(1), BUSY))
    assert life.story == ["not opened console-busy"]


def test_a_busy_console_is_asked_for_at_growing_intervals() -> None:
    life = Life()
    life.happen(Up(at(0), ID))

    intervals = [
        command.seconds
        for _ in range(3)
        for command in life.happen(OpenFailed(at(2), BUSY), Elapsed(at(2), Timer.RETRY))
        if isinstance(command, SetTimer)
    ]
    assert intervals == sorted(set(intervals))
