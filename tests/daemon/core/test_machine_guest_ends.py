"""The end of a guest, or of its device, explains the end of its console."""

import pytest

from tests.harness.life import ID, NEXT_ID, POWERED_OFF, Life, at, attached, down, eof, stopped, stream_error
from virtmux.messages import State
from virtmux.reasons import Cause, LibvirtEvent, Phase
from virtmux.records import Break, rfc3339
from virtmuxd.core.effects import ClearTimer, Close, Hold, Open, Probe, Query, SetTimer
from virtmuxd.core.events import (
    Answered,
    Cleaned,
    Elapsed,
    Event,
    Opened,
    Resumed,
    ShuttingDown,
    Spoke,
    Started,
    Timer,
    Undefined,
    Unplugged,
    Up,
)


@pytest.mark.parametrize(
    ("detail", "cause"),
    [
        ("SHUTDOWN", Cause.GUEST_SHUTDOWN),
        ("DESTROYED", Cause.GUEST_DESTROYED),
        ("CRASHED", Cause.GUEST_CRASHED),
        ("MIGRATED", Cause.GUEST_MIGRATED),
        ("SAVED", Cause.GUEST_SAVED),
        ("FAILED", Cause.GUEST_FAILED),
        ("FROM_SNAPSHOT", Cause.GUEST_REVERTED),
    ],
)
@pytest.mark.parametrize("eof_first", [True, False])
def test_the_end_of_the_guest_explains_an_end_of_stream_in_either_order(
    detail: str, cause: Cause, eof_first: bool
) -> None:
    life = attached()
    life.sequence.append(b"bye", at(1))
    events: list[Event] = [eof(2), stopped(2.1, detail)]
    if not eof_first:
        events.reverse()

    commands = life.happen(*events)

    assert Close() in commands
    assert not any(isinstance(command, Query) for command in commands)
    assert life.story == ["attached 1", f"ended 1 {cause}"]
    reason = life.reason
    assert (reason.offset, reason.at, reason.error) == (3, rfc3339(at(2)), None)
    assert (reason.event, reason.phase) == (LibvirtEvent("STOPPED", detail), Phase.RECEIVE)

    assert life.happen(Cleaned(at(3))) == []
    assert (life.state, life.story) == (State.WAITING, ["attached 1", f"ended 1 {cause}"])


def test_readers_hold_in_front_of_an_end_until_it_is_explained() -> None:
    life = attached()
    life.happen(eof(2))

    assert life.reserved == [2]
    assert life.story == ["attached 1"]


def test_an_unplugged_device_explains_its_end() -> None:
    life = attached()
    event = LibvirtEvent("DEVICE_REMOVED", "serial0")
    life.happen(eof(2), Unplugged(at(2.1), event))

    assert life.story == ["attached 1", "ended 1 device-removed"]
    assert life.reason.event == event


def test_an_end_without_any_event_is_asked_about_after_two_seconds() -> None:
    life = attached()
    assert SetTimer(Timer.EVIDENCE, 2.0) in life.happen(eof(2))
    life.happen(Cleaned(at(3)))
    assert life.state == "ending"

    assert life.happen(Elapsed(at(4), Timer.EVIDENCE)) == [Query(1), SetTimer(Timer.EVIDENCE, 8.0)]
    life.happen(Answered(at(4), 1, LibvirtEvent("SHUTOFF", "SAVED")))

    assert (life.state, life.story) == (State.WAITING, ["attached 1", "ended 1 guest-saved"])
    assert life.reason.event == LibvirtEvent("SHUTOFF", "SAVED")


def test_an_end_that_nothing_explains_is_just_that_and_the_console_is_opened_again() -> None:
    life = attached()
    life.happen(eof(2), Cleaned(at(3)), Elapsed(at(4), Timer.EVIDENCE))

    commands = life.happen(Answered(at(4), 1, None))

    assert (life.state, life.story) == (State.WAITING, ["attached 1", "ended 1 stream-ended"])
    assert ClearTimer(Timer.EVIDENCE) in commands
    assert [command.timer for command in commands if isinstance(command, SetTimer)] == [Timer.RETRY]
    assert Open() in life.happen(Elapsed(at(5), Timer.RETRY))
    life.happen(Opened(at(6), ID))
    assert life.story == ["attached 1", "ended 1 stream-ended", "break", "attached 2"]


def test_a_guest_that_powered_off_has_shut_down_also_where_libvirt_takes_long_to_end_it() -> None:
    life = attached()
    life.happen(ShuttingDown(at(1), POWERED_OFF), eof(2), Cleaned(at(3)), Elapsed(at(4), Timer.EVIDENCE))
    assert life.story == ["attached 1"]
    life.happen(Elapsed(at(12), Timer.EVIDENCE))
    life.happen(stopped(13, "SHUTDOWN"))

    assert life.story == ["attached 1", "ended 1 guest-shutdown"]
    assert life.reason.event == POWERED_OFF


def test_what_libvirt_says_of_the_end_is_waited_for_while_it_does_not_answer() -> None:
    life = attached()
    life.happen(ShuttingDown(at(1), POWERED_OFF), eof(2), Cleaned(at(3)), Elapsed(at(4), Timer.EVIDENCE))
    life.happen(stopped(11, "CRASHED"))

    assert life.story == ["attached 1", "ended 1 guest-crashed"]


def test_a_guest_that_goes_on_after_it_powered_off_has_not_shut_down() -> None:
    life = attached()
    life.happen(ShuttingDown(at(1), POWERED_OFF), Resumed(at(1)), eof(2), Cleaned(at(3)))
    life.happen(Elapsed(at(4), Timer.EVIDENCE), Answered(at(4), 1, None))

    assert life.story == ["attached 1", "resumed", "ended 1 stream-ended"]


def test_the_answer_to_an_older_question_explains_nothing() -> None:
    life = attached()
    life.happen(eof(2), Cleaned(at(3)))
    assert life.happen(Elapsed(at(4), Timer.EVIDENCE)) == [Query(1), SetTimer(Timer.EVIDENCE, 8.0)]
    life.happen(stopped(4), Started(at(5), NEXT_ID), Opened(at(6), NEXT_ID), eof(7))

    life.happen(Answered(at(8), 1, LibvirtEvent("SHUTOFF", "CRASHED")))
    assert life.reserved

    life.happen(stopped(9, "SAVED"))
    assert life.reason.cause is Cause.GUEST_SAVED


def test_a_removed_device_is_waited_for_without_asking() -> None:
    life = attached()
    removed = LibvirtEvent("DEVICE_REMOVED", "serial0")
    life.happen(eof(2), Unplugged(at(2.1), removed))

    assert life.happen(Cleaned(at(3))) == []
    assert life.story == ["attached 1", "ended 1 device-removed"]
    assert life.machine.waiting is not None
    assert (life.machine.waiting.cause, life.machine.waiting.event) == (Cause.CONSOLE_MISSING, removed)


# A stream that outlives its guest, for it is one of somebody else's terminal.


def outlived(seconds: float) -> Elapsed:
    return Elapsed(at(seconds), Timer.OUTLIVED)


def test_a_stream_that_outlives_its_guest_is_ended_and_the_end_of_the_guest_is_the_reason() -> None:
    life = attached()
    assert life.happen(stopped(2)) == [SetTimer(Timer.OUTLIVED, 10.0)]
    assert life.state is State.ATTACHED, "the guest's last output may be on its way"

    assert Close() in life.happen(outlived(12))
    assert life.story == ["attached 1", "ended 1 guest-destroyed"]
    reason = life.reason
    assert (reason.phase, reason.at, reason.error) == (Phase.LIFECYCLE, rfc3339(at(12)), None)
    assert reason.event == LibvirtEvent("STOPPED", "DESTROYED")

    life.happen(Cleaned(at(13)))
    assert life.machine.waiting is not None
    assert life.machine.waiting.cause is Cause.GUEST_NOT_RUNNING


def test_what_may_be_the_last_output_of_a_guest_is_waited_for_a_minute_at_most() -> None:
    life = attached()
    life.happen(stopped(2))
    for seconds in (12, 22, 32, 42, 52):
        life.machine.silence.spoke_at = at(seconds - 9)
        assert life.happen(outlived(seconds)) == [SetTimer(Timer.OUTLIVED, 10.0)]

    life.machine.silence.spoke_at = at(61)
    assert Close() in life.happen(outlived(62))


def test_a_silence_of_ten_seconds_ends_a_stream_that_outlived_its_guest() -> None:
    life = attached()
    life.machine.silence.spoke_at = at(2)
    life.happen(stopped(2))
    assert Close() in life.happen(outlived(12))


def test_a_stream_that_outlives_its_guest_is_not_probed_but_one_of_a_guest_that_goes_on_is() -> None:
    life = attached()
    life.machine.silence.spoke_at = at(1)
    life.happen(Spoke(at(1)), stopped(2))
    assert life.happen(Elapsed(at(4), Timer.PROBE)) == []
    assert Probe() not in life.duties

    life.happen(Started(at(5), ID))
    assert life.machine.silence.unwatched, "its next word is noticed"


def test_of_a_start_during_which_an_older_stream_was_held_all_is_missing_up_to_the_opening() -> None:
    life = attached()
    life.happen(stopped(2), Started(at(3), NEXT_ID), outlived(12), Cleaned(at(13)), Opened(at(13), NEXT_ID))
    assert life.story == ["attached 1", "ended 1 guest-destroyed", "break", "attached 2"]
    assert life.marks[2] == Break(rfc3339(at(13)), rfc3339(at(3)), rfc3339(at(13)))


def test_a_stream_of_an_older_start_that_nobody_saw_end_is_ended_for_the_newest() -> None:
    """It was being opened while the hypervisor was lost."""
    life = Life()
    life.happen(Up(at(0), ID), down(1), Up(at(5), NEXT_ID))
    assert SetTimer(Timer.OUTLIVED, 10.0) in life.happen(Opened(at(6), ID))

    life.happen(outlived(16), Cleaned(at(16)), Elapsed(at(18), Timer.EVIDENCE))
    assert Open() in life.happen(Answered(at(18), 1, None))
    life.happen(Opened(at(19), NEXT_ID))
    assert life.story == ["attached 1", "ended 1 stream-ended", "break", "attached 2"]
    assert life.marks[2] == Break(rfc3339(at(19)), rfc3339(at(6)), rfc3339(at(19)))


def test_a_stream_that_ends_after_its_guest_is_waited_for_no_more() -> None:
    life = attached()
    life.happen(stopped(2))
    assert ClearTimer(Timer.OUTLIVED) in life.happen(eof(2.1))
    assert life.reason.phase is Phase.RECEIVE


def test_a_stream_that_was_opened_for_a_guest_that_was_gone_by_then_is_ended_too() -> None:
    life = Life()
    life.happen(Up(at(0), ID), stopped(1))
    assert SetTimer(Timer.OUTLIVED, 10.0) in life.happen(Opened(at(2), ID))
    life.happen(outlived(12))
    assert life.story == ["attached 1", "ended 1 guest-destroyed"]


def test_a_stream_outlives_a_guest_also_where_no_event_told_its_end() -> None:
    life = attached()
    gone = Undefined(at(2), LibvirtEvent("UNDEFINED", None), gone=True)
    assert life.happen(gone) == [SetTimer(Timer.OUTLIVED, 10.0)]


def test_a_guest_that_goes_on_after_all_keeps_its_stream_and_is_typed_at() -> None:
    life = attached()
    life.happen(stopped(2))
    assert life.happen(Started(at(3), ID)) == [ClearTimer(Timer.OUTLIVED)]
    assert life.state is State.ATTACHED
    assert [duty for duty in life.duties if isinstance(duty, Hold)] == [Hold(held=True), Hold(held=False)]


def test_the_end_of_an_earlier_start_of_the_guest_is_nothing_to_the_stream_of_the_next() -> None:
    life = attached()
    life.happen(stream_error(2), Cleaned(at(2)), Opened(at(3), NEXT_ID))
    assert life.state is State.ATTACHED, "the next one, ahead of the events"
    assert life.happen(stopped(4), Started(at(4), NEXT_ID)) == []
