"""A console that is wanted is opened, or waited for, and that is told once."""

import pytest

from tests.harness.life import (
    BUSY,
    COME,
    CONNECTION_LOST,
    GO,
    ID,
    NEXT_ID,
    NOT_RUNNING,
    PTY_GONE,
    STARTING,
    Life,
    at,
    attached,
    down,
    eof,
    libvirt_error,
    stopped,
    stream_error,
    undefined,
    waiting_for,
)
from virtmux.messages import State
from virtmux.reasons import Cause, LibvirtEvent, Phase, SavedError
from virtmux.records import Attached, rfc3339
from virtmuxd.core.effects import ClearTimer, Open, SetTimer
from virtmuxd.core.events import (
    Answered,
    Cleaned,
    Demand,
    Elapsed,
    Event,
    Opened,
    OpenFailed,
    Policy,
    Started,
    Timer,
    Up,
)


def test_a_console_is_held_always_where_that_is_the_policy() -> None:
    life = Life(Policy.ALWAYS)

    assert life.happen(Up(at(0), ID)) == [Open()]
    assert life.state == "opening"

    assert life.happen(Opened(at(1), ID)) == []
    assert life.state == "attached"
    assert life.marks == [Attached(rfc3339(at(1)), attachment=1, incarnation=1)]


def test_a_guest_that_does_not_run_is_waited_for_and_makes_no_mark() -> None:
    life = Life()
    life.happen(Up(at(0), -1, LibvirtEvent("SHUTOFF", "CRASHED")))

    assert (life.state, life.story) == (State.WAITING, [])
    assert life.machine.waiting is not None
    assert life.machine.waiting.cause is Cause.GUEST_NOT_RUNNING
    assert life.machine.waiting.retry.will_retry

    assert Open() in life.happen(Started(at(1), ID))


def test_what_is_waited_for_instead_of_what_somebody_was_told_is_a_mark() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Demand(at(0), COME))
    assert (life.state, life.story) == (State.WAITING, []), "the hypervisor has not answered yet"

    life.happen(Up(at(1), -1))

    assert life.story == ["not opened guest-not-running"]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (BUSY, Cause.CONSOLE_BUSY),
        (libvirt_error(9, 0, "Requested device is locked by lock file"), Cause.CONSOLE_BUSY),
        (libvirt_error(1, 10, "cannot find character device serial7"), Cause.CONSOLE_MISSING),
        (libvirt_error(1, 17, "cannot find console device 'console7'"), Cause.CONSOLE_MISSING),
        (libvirt_error(99, 10, "device not found"), Cause.CONSOLE_MISSING),
        (libvirt_error(1, 10, "character device serial0 is not using a PTY"), Cause.CONSOLE_NOT_PTY),
        (libvirt_error(55, 20, "domain is not running"), Cause.GUEST_NOT_RUNNING),
        (libvirt_error(42, 10, "Domain not found"), Cause.GUEST_UNDEFINED),
        (libvirt_error(3, 20, "this function is not supported"), Cause.CONSOLE_UNSUPPORTED),
        (libvirt_error(8, 0, "unsupported flags (0x1)"), Cause.CONSOLE_UNSUPPORTED),
        (libvirt_error(29, 20, "operation forbidden for read only access"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(94, 7, "authentication unavailable"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(79, 7, "authentication cancelled"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(45, 7, "authentication failed"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(88, 55, "access denied"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(38, 7, "Failed to connect socket: Permission denied", int1=13), Cause.HYPERVISOR_DENIED),
        (CONNECTION_LOST, Cause.HYPERVISOR_LOST),
        (libvirt_error(1, 7, "client socket is closed"), Cause.HYPERVISOR_LOST),
        (libvirt_error(1, 7, "connection closed due to keepalive timeout"), Cause.HYPERVISOR_TIMEOUT),
        (libvirt_error(1, 10, "something new"), Cause.STREAM_ERROR),
    ],
    ids=lambda each: str(each) if isinstance(each, Cause) else f"{each.code}/{each.domain}",
)
def test_a_failed_opening_is_one_mark_with_its_cause_and_error(error: SavedError, cause: Cause) -> None:
    life = waiting_for(error)

    assert life.story == [f"not opened {cause}"]
    assert (life.reason.error, life.reason.phase, life.reason.offset) == (error, Phase.OPEN, 0)

    life.happen(Elapsed(at(2), Timer.RETRY))
    life.happen(OpenFailed(at(3), error))
    assert life.story == [f"not opened {cause}"]


def test_an_opening_that_does_not_return_is_a_mark_too() -> None:
    life = Life()
    life.happen(Up(at(0), ID), OpenFailed(at(1), cause=Cause.HYPERVISOR_TIMEOUT))

    assert life.story == ["not opened hypervisor-timeout"]


def test_a_busy_console_is_asked_for_again_at_growing_intervals() -> None:
    life = Life()
    life.happen(Up(at(0), ID))
    pauses = []
    for second in range(1, 12):
        (timer,) = (each for each in life.happen(OpenFailed(at(second), BUSY)) if isinstance(each, SetTimer))
        assert timer.timer is Timer.RETRY
        pauses.append(timer.seconds)
        assert life.happen(Elapsed(at(second), Timer.RETRY)) == [ClearTimer(Timer.RETRY), Open()]

    assert pauses == sorted(pauses)
    assert pauses[-1] == 30.0
    assert life.story == ["not opened console-busy"]


def test_who_comes_while_a_busy_console_is_waited_for_gets_a_fresh_answer() -> None:
    life = waiting_for()

    assert Open() in life.happen(Demand(at(2), COME))


def test_who_comes_does_not_make_the_next_try_come_later() -> None:
    life = waiting_for()
    for second in range(2, 8):
        life.happen(Demand(at(second), COME))
        assert SetTimer(Timer.RETRY, 0.1) in life.happen(OpenFailed(at(second), BUSY))


def test_who_comes_while_the_hypervisor_is_lost_does_not_make_the_tries_start_over() -> None:
    life = waiting_for()
    life.happen(Elapsed(at(2), Timer.RETRY), OpenFailed(at(2), BUSY), down(3))
    life.happen(Demand(at(4), COME), Demand(at(5), COME))

    assert SetTimer(Timer.RETRY, 0.4) in life.happen(Up(at(6), ID), OpenFailed(at(6), BUSY))


@pytest.mark.parametrize(("lasted", "seconds"), [(5, 0.4), (11, 0.1)])
def test_an_attachment_that_lasted_makes_the_tries_start_over(lasted: float, seconds: float) -> None:
    life = waiting_for()
    life.happen(Elapsed(at(2), Timer.RETRY), OpenFailed(at(2), BUSY), Elapsed(at(3), Timer.RETRY), Opened(at(3), ID))

    commands = life.happen(stream_error(3 + lasted), Cleaned(at(20)), OpenFailed(at(21), BUSY))

    assert SetTimer(Timer.RETRY, seconds) in commands


def test_what_cannot_be_opened_is_not_tried_again_until_something_happens() -> None:
    life = waiting_for(libvirt_error(1, 10, "character device serial0 is not using a PTY"))
    assert not any(isinstance(command, SetTimer) for command in life.commands)
    assert not life.reason.retry.will_retry

    life.happen(stopped(2))
    assert Open() in life.happen(Started(at(3), NEXT_ID))


def test_each_change_of_cause_while_waiting_is_one_mark() -> None:
    life = waiting_for()

    life.happen(down(2, error=CONNECTION_LOST))
    assert life.reason.error == CONNECTION_LOST
    life.happen(Up(at(3), ID), OpenFailed(at(4), BUSY))
    life.happen(stopped(5, "CRASHED"))
    assert life.reason.event == LibvirtEvent("STOPPED", "CRASHED")
    life.happen(down(6), Up(at(7), -1))

    assert life.story == [
        "not opened console-busy",
        "not opened hypervisor-lost",
        "not opened console-busy",
        "not opened guest-crashed",
    ]


def test_a_guest_that_is_undefined_while_waited_for_is_gone() -> None:
    life = Life()
    life.happen(Up(at(0), -1), undefined(1))

    assert (life.state, life.story) == (State.ABSENT, ["not opened guest-undefined"])
    assert life.reason.event == LibvirtEvent("UNDEFINED", "REMOVED")


def test_that_a_guest_is_undefined_is_told_once_whoever_says_so_first() -> None:
    life = waiting_for(libvirt_error(42, 10, "Domain not found"))
    life.happen(stopped(2), undefined(2))

    assert (life.state, life.story) == (State.ABSENT, ["not opened guest-undefined"])


def test_a_running_guest_that_is_undefined_goes_on() -> None:
    life = waiting_for()
    life.happen(undefined(2))

    assert (life.state, life.story) == (State.WAITING, ["not opened console-busy"])


@pytest.mark.parametrize("moment", range(4))
def test_a_guest_that_is_destroyed_and_undefined_is_gone_whenever_the_news_come(moment: int) -> None:
    life = attached()
    events: list[Event] = [stopped(2), eof(2), Cleaned(at(2))]
    events.insert(max(moment, 1), undefined(2))

    life.happen(*events)

    assert (life.state, life.story) == (
        State.ABSENT,
        ["attached 1", "ended 1 guest-destroyed", "not opened guest-undefined"],
    )


def test_a_console_of_a_guest_that_is_just_being_started_is_asked_for_again_without_a_word() -> None:
    life = Life()
    life.happen(Up(at(0), ID), OpenFailed(at(1), STARTING))

    assert (life.state, life.story) == (State.WAITING, [])
    assert Open() in life.happen(Started(at(1), ID))


def test_a_console_of_a_guest_that_is_just_ending_is_asked_for_again_without_a_word() -> None:
    life = attached()
    life.happen(down(2), Cleaned(at(2)), Up(at(3), ID), OpenFailed(at(3), PTY_GONE))
    life.happen(Elapsed(at(4), Timer.RETRY), OpenFailed(at(4), PTY_GONE), stopped(4))

    assert life.story == ["attached 1", "ended 1 hypervisor-lost", "not opened guest-destroyed"]


def test_also_where_it_could_not_be_had_for_another_cause_for_long() -> None:
    life = waiting_for(BUSY)
    for second in range(2, 9):
        life.happen(Elapsed(at(second), Timer.RETRY), OpenFailed(at(second), BUSY))
    life.happen(Elapsed(at(9), Timer.RETRY), OpenFailed(at(9), PTY_GONE), stopped(9))

    assert life.story == ["not opened console-busy", "not opened guest-destroyed"]


@pytest.mark.parametrize("between", [OpenFailed(at(6), BUSY), Opened(at(6), ID), Started(at(6), NEXT_ID)])
def test_tries_at_a_pty_that_cannot_be_opened_are_counted_anew_behind_anything_else(between: Event) -> None:
    life = waiting_for(PTY_GONE)
    for second in (2, 3):
        life.happen(Elapsed(at(second), Timer.RETRY), OpenFailed(at(second), PTY_GONE))
    life.happen(Elapsed(at(5), Timer.RETRY), between)
    if isinstance(between, Opened):
        life.happen(eof(6), Cleaned(at(6)), Elapsed(at(7), Timer.EVIDENCE), Answered(at(7), 1, None))
    for second in (8, 9, 10):
        life.happen(Elapsed(at(second), Timer.RETRY), OpenFailed(at(second), PTY_GONE))
    assert "not opened stream-error" not in life.story

    life.happen(Elapsed(at(11), Timer.RETRY), OpenFailed(at(11), PTY_GONE))
    assert life.story[-1] == "not opened stream-error"


def test_a_pty_that_cannot_be_opened_again_and_again_is_told() -> None:
    life = waiting_for(PTY_GONE)
    for second in range(2, 5):
        assert life.story == []
        life.happen(Elapsed(at(second), Timer.RETRY), OpenFailed(at(second), PTY_GONE))

    assert life.story == ["not opened stream-error"]
    assert life.reason.error == PTY_GONE


def test_an_opening_that_fails_for_the_guest_has_ended_is_told_with_how_it_did() -> None:
    life = Life()
    life.happen(Up(at(0), ID), stopped(1, "CRASHED"), OpenFailed(at(2), NOT_RUNNING))

    assert life.story == ["not opened guest-crashed"]
    assert (life.reason.phase, life.reason.error) == (Phase.OPEN, NOT_RUNNING)
    assert life.reason.event == LibvirtEvent("STOPPED", "CRASHED")


def test_an_opening_that_fails_once_nobody_wants_the_console_is_not_told() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID), Demand(at(1), COME), Demand(at(2), GO), Elapsed(at(62), Timer.LINGER))
    life.happen(OpenFailed(at(63), BUSY))

    assert (life.state, life.story) == (State.ABSENT, [])


def test_an_opening_that_fails_while_the_hypervisor_is_lost_is_not_repeated_until_it_is_back() -> None:
    life = Life()
    life.happen(Up(at(0), ID), down(1))

    assert not any(isinstance(command, SetTimer) for command in life.happen(OpenFailed(at(2), CONNECTION_LOST)))
    assert life.story == ["not opened hypervisor-lost"]
    assert Open() in life.happen(Up(at(3), ID))


def test_a_guest_that_ends_while_it_is_opened_is_the_reason_whatever_the_opening_said() -> None:
    life = Life()
    life.happen(Up(at(0), ID), stopped(1), OpenFailed(at(2), BUSY))

    assert life.machine.waiting is not None
    assert life.machine.waiting.cause is Cause.GUEST_NOT_RUNNING


def test_an_end_says_when_the_console_is_asked_for_again() -> None:
    life = waiting_for()
    assert life.machine.waiting is not None
    assert (life.machine.waiting.retry.will_retry, life.machine.waiting.retry.after_s) == (True, 0.1)
