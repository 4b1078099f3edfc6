"""Of the time in which nobody held a console output may be missing, and a break says so."""

import pytest

from tests.harness.life import BUSY, ID, NEXT_ID, SECOND, Life, at, attached, down, eof, stopped, stream_error
from virtmux.reasons import Cause, LibvirtEvent
from virtmux.records import Attached, Break, rfc3339
from virtmuxd.core.events import Cleaned, Opened, OpenFailed, Started, Up
from virtmuxd.core.evidence import Evidence


def test_output_from_between_the_start_and_the_opening_may_be_missing() -> None:
    life = Life()
    life.happen(Up(at(0), -1), Started(at(1), ID), Opened(at(3), ID))

    assert life.marks == [
        Break(rfc3339(at(3)), rfc3339(at(1)), rfc3339(at(3))),
        Attached(rfc3339(at(3)), attachment=1, incarnation=1),
    ]


def test_that_output_may_be_missing_is_said_also_where_the_clock_was_set_back() -> None:
    life = Life(unheld_since=at(1000), known=Evidence(3, ID))
    life.happen(Up(at(0), ID), Opened(at(1), ID))

    assert life.marks == [
        Break(rfc3339(at(1)), rfc3339(at(1)), rfc3339(at(1))),
        Attached(rfc3339(at(1)), attachment=1, incarnation=3),
    ]


def test_a_new_daemon_says_since_when_nobody_held_the_console() -> None:
    life = Life(unheld_since=at(-10), known=Evidence(3, ID))
    life.happen(Up(at(0), ID), Opened(at(1), ID))

    assert life.marks == [
        Break(rfc3339(at(1)), rfc3339(at(-10)), rfc3339(at(1))),
        Attached(rfc3339(at(1)), attachment=1, incarnation=3),
    ]


@pytest.mark.parametrize("since", [-10, -20])
def test_of_a_console_that_was_opened_ahead_before_it_was_let_go_nothing_is_missing(since: int) -> None:
    life = Life(unheld_since=at(-10), known=Evidence(3, ID))
    life.happen(Up(at(0), ID), Opened(at(1), ID, since=at(since)))

    assert life.story == ["attached 1"]


def test_breaks_are_counted_and_how_long_they_were_together() -> None:
    life = Life()
    assert (life.machine.breaks.number, life.machine.breaks.length) == (0, 0)

    life.happen(Up(at(0), -1), Started(at(1), ID), Opened(at(3), ID))
    life.happen(eof(4), stopped(4), Cleaned(at(4)), Started(at(5), NEXT_ID), Opened(at(8), NEXT_ID))

    assert life.story == ["break", "attached 1", "ended 1 guest-destroyed", "break", "attached 2"]
    assert (life.machine.breaks.number, life.machine.breaks.length) == (2, 5 * SECOND)


def test_what_a_guest_said_while_nobody_held_its_console_is_in_a_break_also_where_another_start_is_attached() -> None:
    life = attached()
    life.happen(stream_error(2), Cleaned(at(3)), OpenFailed(at(4), BUSY))
    life.happen(stopped(5), Started(at(6), NEXT_ID), Opened(at(7), NEXT_ID))
    assert life.marks[-2] == Break(rfc3339(at(7)), rfc3339(at(2)), rfc3339(at(7)))


def test_a_start_that_nobody_attached_is_in_a_break_too() -> None:
    life = attached()
    life.happen(eof(2), stopped(2), Cleaned(at(3)), Started(at(4), NEXT_ID), OpenFailed(at(5), BUSY))
    life.happen(stopped(6), Started(at(7), NEXT_ID + 1), Opened(at(8), NEXT_ID + 1))
    assert life.marks[-2] == Break(rfc3339(at(8)), rfc3339(at(4)), rfc3339(at(8)))


def test_what_a_guest_said_that_ended_while_no_daemon_ran_is_in_a_break_too() -> None:
    life = attached().next()
    life.happen(Up(at(5), -1), Started(at(7), NEXT_ID), Opened(at(8), NEXT_ID))

    assert life.marks[-2] == Break(rfc3339(at(8)), rfc3339(at(1)), rfc3339(at(8)))


def test_a_start_that_nobody_saw_is_in_a_break_too() -> None:
    life = attached()
    life.happen(eof(2), stopped(2, "SAVED"), Cleaned(at(3)), down(4, Cause.HYPERVISOR_LOST))
    crashed = LibvirtEvent("SHUTOFF", "CRASHED")
    life.happen(Up(at(5), -1, crashed))
    assert life.machine.waiting is not None
    assert life.machine.waiting.event == crashed
    life.happen(Started(at(7), NEXT_ID), Opened(at(8), NEXT_ID))
    assert life.marks[-2] == Break(rfc3339(at(8)), rfc3339(at(2)), rfc3339(at(8)))
    assert isinstance(life.marks[-1], Attached)
    assert life.marks[-1].incarnation == 3
