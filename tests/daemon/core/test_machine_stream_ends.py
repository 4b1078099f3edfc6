"""The end of a stream that no guest explains: an error is put to the test, and the first one stands."""

import pytest

from tests.harness.life import (
    BUSY,
    CONNECTION_LOST,
    ID,
    NEXT_ID,
    NOT_RUNNING,
    PTY_CLOSED,
    STARTING,
    TAKEN_OVER,
    at,
    attached,
    down,
    eof,
    stopped,
    stream_error,
)
from virtmux.messages import State
from virtmux.reasons import Cause, Phase
from virtmux.records import Attached, Break, Ended, rfc3339
from virtmuxd.core.effects import ClearTimer, Open, Query, SetTimer
from virtmuxd.core.events import Answered, Cleaned, Down, Elapsed, Event, Failed, Opened, OpenFailed, Started, Timer
from virtmuxd.core.evidence import Failure


def test_a_stream_error_after_which_the_console_opens_again_is_just_that() -> None:
    life = attached()
    life.sequence.append(b"abc", at(1))
    life.happen(stream_error(2))
    assert life.happen(Cleaned(at(3))) == [Open()]
    assert life.story == ["attached 1"]

    life.happen(Opened(at(4), ID))

    assert life.state == "attached"
    assert life.story == ["attached 1", "ended 1 stream-error", "break", "attached 2"]
    assert (life.reason.error, life.reason.offset) == (TAKEN_OVER, 3)
    assert life.marks[2:] == [
        Break(rfc3339(at(4)), rfc3339(at(2)), rfc3339(at(4))),
        Attached(rfc3339(at(4)), attachment=2, incarnation=1),
    ]


def test_a_console_whose_pty_was_closed_is_not_opened_to_find_out_why() -> None:
    """The PTY of that name may be another guest's by then."""
    life = attached()
    assert Open() not in life.happen(stream_error(2, PTY_CLOSED), Cleaned(at(2)))

    assert life.happen(stopped(3)) == [ClearTimer(Timer.EVIDENCE)]

    assert (life.state, life.story) == (State.WAITING, ["attached 1", "ended 1 guest-destroyed"])
    assert life.reason.error == PTY_CLOSED


def test_a_closed_pty_that_nothing_explains_is_a_stream_error_and_the_console_is_opened_later() -> None:
    life = attached()
    life.happen(stream_error(2, PTY_CLOSED), Cleaned(at(2)))
    assert Query(1) in life.happen(Elapsed(at(4), Timer.EVIDENCE))

    commands = life.happen(Answered(at(5), 1, None))

    assert (life.state, life.story) == (State.WAITING, ["attached 1", "ended 1 stream-error"])
    assert [command.timer for command in commands if isinstance(command, SetTimer)] == [Timer.RETRY]
    assert Open() in life.happen(Elapsed(at(6), Timer.RETRY))


def test_a_stream_error_after_which_somebody_else_holds_the_console_was_a_takeover() -> None:
    life = attached()
    life.happen(stream_error(2), Cleaned(at(3)))

    commands = life.happen(OpenFailed(at(4), BUSY))

    assert (life.state, life.story) == (State.WAITING, ["attached 1", "ended 1 console-taken-over"])
    assert (life.reason.error, life.reason.later_errors) == (TAKEN_OVER, (BUSY,))
    assert life.reason.retry.will_retry
    assert [command.timer for command in commands if isinstance(command, SetTimer)] == [Timer.RETRY]
    assert life.machine.waiting is not None
    assert life.machine.waiting.at == rfc3339(at(4))
    assert life.machine.waiting.cause is Cause.CONSOLE_BUSY


def test_a_console_that_was_taken_over_is_asked_for_without_a_further_mark() -> None:
    life = attached()
    life.happen(stream_error(2), Cleaned(at(3)), OpenFailed(at(4), BUSY))
    for second in range(5, 9):
        assert Open() in life.happen(Elapsed(at(second), Timer.RETRY))
        life.happen(OpenFailed(at(second), BUSY))
    assert life.story == ["attached 1", "ended 1 console-taken-over"]

    life.happen(Elapsed(at(9), Timer.RETRY), Opened(at(9), ID))
    assert life.story == ["attached 1", "ended 1 console-taken-over", "break", "attached 2"]


def test_errors_of_cleaning_up_are_kept_apart() -> None:
    life = attached()
    life.happen(stream_error(2), Cleaned(at(3), (CONNECTION_LOST,)), OpenFailed(at(4), BUSY))

    assert (life.reason.error, life.reason.later_errors) == (TAKEN_OVER, (CONNECTION_LOST, BUSY))


def test_that_a_guest_is_being_started_again_is_no_takeover() -> None:
    life = attached()
    life.happen(stream_error(2), Cleaned(at(2)), OpenFailed(at(3), STARTING), stopped(3))

    assert life.story == ["attached 1", "ended 1 guest-destroyed"]


def test_a_stream_error_of_a_guest_that_stops_is_the_guests_end() -> None:
    life = attached()
    life.happen(stream_error(2), Cleaned(at(2)), OpenFailed(at(3), NOT_RUNNING))
    assert life.story == ["attached 1"]

    life.happen(stopped(3, "FAILED"))

    assert (life.state, life.story) == (State.WAITING, ["attached 1", "ended 1 guest-failed"])
    assert life.reason.error == TAKEN_OVER


def test_a_stream_error_that_nothing_explains_stands_after_two_seconds() -> None:
    life = attached()
    life.happen(stream_error(2), Cleaned(at(2)), OpenFailed(at(3), NOT_RUNNING))

    life.happen(Elapsed(at(4), Timer.EVIDENCE), Answered(at(4), 1, None))

    assert life.story == ["attached 1", "ended 1 stream-error"]


def test_the_opening_is_awaited_although_the_end_is_explained_meanwhile() -> None:
    life = attached()
    life.happen(stream_error(2), Cleaned(at(2)), stopped(3))
    assert (life.state, life.story) == (State.ENDING, ["attached 1", "ended 1 guest-destroyed"])

    life.happen(OpenFailed(at(4), NOT_RUNNING))

    assert (life.state, life.story) == (State.WAITING, ["attached 1", "ended 1 guest-destroyed"])


def test_what_was_opened_again_is_the_start_that_it_belongs_to_also_where_the_events_are_ahead() -> None:
    life = attached()
    life.happen(stream_error(2), Cleaned(at(3)), Started(at(4), NEXT_ID), Opened(at(5), ID))

    assert life.marks[-1] == Attached(rfc3339(at(5)), attachment=2, incarnation=1)


def test_an_end_is_where_it_was_seen_whatever_comes_late() -> None:
    life = attached()
    life.happen(eof(2))
    life.sequence.append(b"late", at(2))
    life.happen(stopped(3))

    assert life.reason.offset == 0


def test_the_first_end_wins() -> None:
    life = attached()
    life.happen(down(2), eof(2.1), stream_error(2.2), stopped(2.3), down(2.4, Cause.HYPERVISOR_TIMEOUT))

    assert life.story == ["attached 1", "ended 1 hypervisor-lost"]


@pytest.mark.parametrize(
    "later",
    [
        eof(3),
        stream_error(3, CONNECTION_LOST),
        Down(at(3), Cause.HYPERVISOR_LOST, CONNECTION_LOST),
        Cleaned(at(3), (CONNECTION_LOST,)),
    ],
    ids=["end of stream", "another error", "loss of the hypervisor", "error of cleaning up"],
)
def test_an_error_that_was_saved_stands_whatever_comes_after_it(later: Event) -> None:
    life = attached()
    life.happen(stream_error(2), later, Elapsed(at(4), Timer.EVIDENCE), Elapsed(at(12), Timer.EVIDENCE))

    reason = life.reason
    assert (reason.cause, reason.error) == (Cause.STREAM_ERROR, TAKEN_OVER)
    assert (reason.phase, reason.at) == (Phase.RECEIVE, rfc3339(at(2)))


def test_an_end_that_said_nothing_takes_no_error_from_a_stream_that_fails_after_it() -> None:
    life = attached()
    life.happen(eof(2), stream_error(2.1), stopped(3))

    assert (life.reason.cause, life.reason.error, life.reason.at) == (Cause.GUEST_DESTROYED, None, rfc3339(at(2)))


def test_a_bug_ends_the_attachment_and_no_more() -> None:
    life = attached()
    life.happen(Failed(Failure(Phase.SERVER, at(2), cause=Cause.INTERNAL_ERROR)), Cleaned(at(3)))

    assert life.story == ["attached 1", "ended 1 internal-error"]
    assert Open() in life.happen(Elapsed(at(4), Timer.RETRY))


def test_an_end_that_nobody_answers_is_explained_by_the_stream() -> None:
    life = attached()
    life.happen(eof(2), Cleaned(at(3)), Elapsed(at(4), Timer.EVIDENCE))

    life.happen(Elapsed(at(6), Timer.EVIDENCE))

    assert life.story == ["attached 1", "ended 1 stream-ended"]


def test_an_end_holds_nobody_up_for_longer_than_its_evidence_is_waited_for() -> None:
    life = attached()
    life.happen(stream_error(2), Elapsed(at(4), Timer.EVIDENCE), Answered(at(5), 1, None))
    assert life.story == ["attached 1"], "whether it can be opened again may still tell"

    life.happen(Elapsed(at(6), Timer.EVIDENCE))

    assert life.story == ["attached 1", "ended 1 stream-error"]


def test_an_error_is_put_to_the_test_however_long_that_takes() -> None:
    life = attached()
    life.happen(stream_error(2), Cleaned(at(3)), Elapsed(at(4), Timer.EVIDENCE), Answered(at(4), 1, None))
    assert life.story == ["attached 1"]

    life.happen(OpenFailed(at(9), BUSY))

    assert life.story == ["attached 1", "ended 1 console-taken-over"]


def test_an_error_whose_test_ends_late_and_says_nothing_stands() -> None:
    life = attached()
    life.happen(stream_error(2), Cleaned(at(3)), Elapsed(at(4), Timer.EVIDENCE), Answered(at(4), 1, None))

    life.happen(OpenFailed(at(9), NOT_RUNNING))

    assert life.story == ["attached 1", "ended 1 stream-error"]


@pytest.mark.parametrize("timer", [Timer.LINGER, Timer.RETRY])
def test_other_timers_do_not_hurry_an_end(timer: Timer) -> None:
    life = attached()
    life.happen(eof(2))

    assert life.happen(Elapsed(at(3), timer)) == []
    assert life.reserved == [2]


def test_what_a_crash_would_leave_names_the_incarnation_that_was_attached() -> None:
    life = attached()
    life.happen(stopped(2), Started(at(2), NEXT_ID))

    life.happen(eof(3))

    (first, _) = [mark.record for mark in life.store.put if isinstance(mark.record, Ended)]
    assert isinstance(first, Ended)
    assert first.reason.console is not None
    assert (first.reason.cause, first.reason.console.incarnation) == (Cause.GUEST_DESTROYED, 1)
