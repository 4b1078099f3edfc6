"""A console that falls silent is probed once, and a stream that is served no more told from a guest that is deaf."""

import pytest

from tests.harness.life import BUSY, CONNECTION_LOST, ID, NOT_RUNNING, Life, at, libvirt_error
from virtmux.messages import State
from virtmux.reasons import Cause, LibvirtEvent, Phase
from virtmux.records import Attached, Break, rfc3339
from virtmuxd.core.effects import ClearTimer, Close, Command, Explain, Hold, Open, Probe, Query, SetTimer
from virtmuxd.core.ending import DOUBT_S, DOUBTS
from virtmuxd.core.events import (
    Cleaned,
    Down,
    Elapsed,
    Failed,
    Fenced,
    Opened,
    OpenFailed,
    Paused,
    Policy,
    Resumed,
    Spoke,
    Started,
    Stopped,
    Timer,
    Up,
)
from virtmuxd.core.evidence import Failure


def attached(*, exclusive: bool = True, shared: bool = False) -> Life:
    life = Life(Policy.ALWAYS, exclusive=exclusive)
    life.happen(Up(at(0), ID), Opened(at(1), ID, shared=shared))
    return life


def spoke(life: Life, seconds: float) -> list[Command]:
    """The guest says something; gives what the first word after a silence leads to."""
    life.machine.silence.spoke_at = at(seconds)
    return life.happen(Spoke(at(seconds))) if life.machine.silence.unwatched else []


def silent(life: Life, seconds: float) -> list[Command]:
    return life.happen(Elapsed(at(seconds), Timer.PROBE))


def stalled(seconds: float) -> Failed:
    return Failed(Failure(Phase.SEND, at(seconds), stalled=True))


def found_busy(life: Life) -> None:
    """It is busy, at first and again after each short interval."""
    for _ in range(DOUBTS):
        assert life.happen(OpenFailed(at(11), BUSY)) == [SetTimer(Timer.RETRY, DOUBT_S)]
        assert life.reserved
        assert life.happen(Elapsed(at(11), Timer.RETRY)) == [Open()]
    life.happen(OpenFailed(at(12), BUSY))


def probes(life: Life) -> int:
    return life.duties.count(Probe())


# The probe.


def test_a_console_that_said_nothing_has_no_timer() -> None:
    life = Life()
    assert not life.machine.silence.unwatched, "nobody holds it"
    assert not any(isinstance(command, SetTimer) for command in life.happen(Up(at(0), ID), Opened(at(1), ID)))


def test_a_console_is_probed_once_it_was_silent_for_three_seconds() -> None:
    life = attached()
    assert spoke(life, 2) == [SetTimer(Timer.PROBE, 3.0)]
    assert not life.machine.silence.unwatched, "the next words cost nothing"
    spoke(life, 4)

    assert silent(life, 5) == [SetTimer(Timer.PROBE, 2.0)]
    assert silent(life, 7) == []

    assert probes(life) == 1
    assert life.state is State.ATTACHED


def test_it_is_not_probed_again_until_it_has_spoken() -> None:
    life = attached()
    spoke(life, 2)
    silent(life, 5)
    assert life.machine.silence.unwatched

    assert spoke(life, 60) == [SetTimer(Timer.PROBE, 3.0)]


@pytest.mark.parametrize(("exclusive", "shared"), [(False, False), (True, True)])
def test_a_console_that_cannot_be_taken_in_silence_or_must_not_be_fenced_is_not_probed(
    exclusive: bool, shared: bool
) -> None:
    assert not attached(exclusive=exclusive, shared=shared).machine.silence.unwatched


def test_with_the_end_the_probing_ends() -> None:
    life = attached()
    spoke(life, 2)

    assert ClearTimer(Timer.PROBE) in life.happen(Failed(Failure(Phase.RECEIVE, at(3))))
    assert not life.machine.silence.unwatched


def test_after_a_pause_the_silence_is_noticed_again() -> None:
    life = attached()
    spoke(life, 2)
    life.happen(Paused(at(3), "PAUSED"), Resumed(at(9), "UNPAUSED"))

    assert life.machine.silence.unwatched
    assert life.story == ["attached 1", "paused", "resumed"]


# What comes of it.


def test_a_silent_end_whose_console_somebody_else_holds_was_a_takeover() -> None:
    life = attached()
    assert Close() in life.happen(stalled(9))
    assert life.happen(Cleaned(at(10))) == [Open()]
    found_busy(life)

    assert life.state is State.WAITING
    assert life.story == ["attached 1", "ended 1 console-taken-over"]
    assert (life.reason.phase, life.reason.error) == (Phase.SEND, None)
    assert life.reason.later_errors == (BUSY,), "the same is told once"
    assert life.reason.at == rfc3339(at(9))


def test_our_own_dead_stream_is_no_takeover() -> None:
    life = attached()
    life.happen(stalled(9), Cleaned(at(10)), OpenFailed(at(11), BUSY), Elapsed(at(11), Timer.RETRY))
    life.happen(Opened(at(12), ID))

    assert life.story == ["attached 1", "break", "attached 2"]


def test_a_false_alarm_is_a_break_and_no_end() -> None:
    life = attached()
    life.happen(stalled(9), Cleaned(at(10)), Opened(at(11), ID))

    assert life.state is State.ATTACHED
    assert life.marks[1:] == [Break(rfc3339(at(11)), rfc3339(at(1)), rfc3339(at(11))), Attached(rfc3339(at(11)), 2, 1)]
    assert Explain(Cause.STREAM_ENDED) in life.duties
    assert life.reserved == []


def test_a_false_alarm_while_the_clock_is_set_back_is_a_break_that_does_not_end_before_it_begins() -> None:
    life = attached()
    life.happen(stalled(9), Cleaned(at(10)), Opened(at(-1000), ID))

    assert life.marks[1] == Break(rfc3339(at(-1000)), rfc3339(at(-1000)), rfc3339(at(-1000)))


@pytest.mark.parametrize("shown_by", ["output", "a fence"])
def test_what_may_be_missing_begins_where_the_stream_was_surely_served_last(shown_by: str) -> None:
    life = attached()
    if shown_by == "output":
        spoke(life, 6)
    else:
        life.happen(Fenced(at(6)))
    life.happen(stalled(9), Cleaned(at(10)))
    found_busy(life)
    life.happen(Elapsed(at(20), Timer.RETRY), Opened(at(21), ID))

    assert life.marks[-2] == Break(rfc3339(at(21)), rfc3339(at(6)), rfc3339(at(21)))


def test_after_a_false_alarm_it_is_not_probed_until_a_fence_has_been_answered() -> None:
    life = attached()
    life.happen(stalled(9), Cleaned(at(10)), Opened(at(11), ID))
    assert not life.machine.silence.unwatched

    life.happen(Fenced(at(20)))

    assert life.machine.silence.unwatched


def test_a_silent_end_of_a_guest_that_ended_is_the_guests() -> None:
    life = attached()
    life.happen(stalled(9), Cleaned(at(10)), OpenFailed(at(11), NOT_RUNNING))
    assert life.story == ["attached 1"]

    life.happen(Stopped(at(12), LibvirtEvent("STOPPED", "CRASHED")))

    assert life.story == ["attached 1", "ended 1 guest-crashed"]


@pytest.mark.parametrize(
    ("failed", "cause"),
    [
        (OpenFailed(at(20), cause=Cause.HYPERVISOR_TIMEOUT), Cause.HYPERVISOR_TIMEOUT),
        (OpenFailed(at(20), CONNECTION_LOST), Cause.HYPERVISOR_LOST),
    ],
)
def test_a_silent_end_with_which_the_hypervisor_goes_is_the_hypervisors(failed: OpenFailed, cause: Cause) -> None:
    life = attached()
    life.happen(stalled(9), Cleaned(at(10)), failed)

    assert life.story == ["attached 1", f"ended 1 {cause}"]


def test_a_silent_end_that_cannot_be_looked_into_for_want_of_descriptors_is_not_the_hypervisors() -> None:
    life = attached()
    ours = libvirt_error(-1, 0, "Too many open files")
    life.happen(stalled(9), Cleaned(at(10)), OpenFailed(at(10), ours, Cause.HYPERVISOR_LOST))
    life.happen(Elapsed(at(11), Timer.EVIDENCE), Elapsed(at(13), Timer.EVIDENCE))

    assert life.story == ["attached 1", "ended 1 stream-ended"]
    assert life.reason.later_errors == (ours,)


def test_the_loss_of_the_hypervisor_explains_a_silent_end() -> None:
    life = attached()
    life.happen(stalled(9), Down(at(10), Cause.HYPERVISOR_TIMEOUT))

    assert life.story == ["attached 1", "ended 1 hypervisor-timeout"]


def test_a_silent_end_is_put_to_the_test_however_long_that_takes() -> None:
    life = attached()
    life.happen(stalled(9), Cleaned(at(10)))
    assert Query(1) in life.happen(Elapsed(at(11), Timer.EVIDENCE))
    life.happen(Elapsed(at(13), Timer.EVIDENCE))
    assert life.reserved

    found_busy(life)

    assert life.story == ["attached 1", "ended 1 console-taken-over"]


def test_a_silent_end_that_nothing_explains_is_just_that() -> None:
    life = attached()
    life.happen(stalled(9), Cleaned(at(10)), OpenFailed(at(11), libvirt_error(1, 10, "odd")))
    life.happen(Elapsed(at(11), Timer.EVIDENCE), Elapsed(at(13), Timer.EVIDENCE))

    assert life.story == ["attached 1", "ended 1 stream-ended"]


# Paused guests.


def test_the_input_of_a_paused_guest_is_held() -> None:
    life = attached()
    life.happen(Paused(at(2)), Resumed(at(3)))

    assert [duty for duty in life.duties if isinstance(duty, Hold)] == [Hold(held=True), Hold(held=False)]


def test_a_guest_that_was_paused_before_it_was_opened_is_held_too() -> None:
    life = Life()
    life.happen(Up(at(0), ID, paused=True), Opened(at(1), ID))

    assert life.duties[-1] == Hold(held=True)


def test_a_guest_that_ended_is_not_paused_any_more() -> None:
    life = attached()
    life.happen(Paused(at(2)), Failed(Failure(Phase.RECEIVE, at(3))))

    assert life.duties[-1] == Hold(held=False)
    assert Close() in life.commands


def test_of_a_guest_that_ends_while_its_stream_is_not_served_output_may_be_missing() -> None:
    life = attached()
    spoke(life, 2)
    life.happen(stalled(9), Stopped(at(10), LibvirtEvent("STOPPED", "DESTROYED")), Cleaned(at(11)))
    life.happen(Started(at(12), ID + 1), Opened(at(13), ID + 1))

    assert life.story[-3:] == ["ended 1 guest-destroyed", "break", "attached 2"]
    assert life.marks[-2] == Break(rfc3339(at(13)), rfc3339(at(2)), rfc3339(at(13)))
