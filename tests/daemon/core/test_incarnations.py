"""Which start of a domain is meant."""

import pytest

from virtmux.reasons import LibvirtEvent
from virtmuxd.core.events import OpenFailed, Undefined
from virtmuxd.core.evidence import Evidence
from virtmuxd.core.incarnations import Incarnations

STOPPED = LibvirtEvent("STOPPED", "CRASHED")
REMOVED = LibvirtEvent("DEVICE_REMOVED", "serial0")


def running(number: int = 1, running_id: int = 5) -> Incarnations:
    """One that was found running."""
    incarnations = Incarnations(Evidence(number - 1, -1))
    incarnations.found(running_id, None)
    assert incarnations.newest == Evidence(number, running_id)
    return incarnations


def test_one_that_is_found_running_as_before_keeps_its_number() -> None:
    incarnations = Incarnations(Evidence(3, 5))
    incarnations.found(5, None)

    assert incarnations.newest.number == 3


@pytest.mark.parametrize("known", [Evidence(3, 4), Evidence(3, -1), Evidence(3, 5, stopped=STOPPED)])
def test_one_that_is_found_running_anew_is_counted(known: Evidence) -> None:
    incarnations = Incarnations(known)
    incarnations.found(5, None)

    assert incarnations.newest == Evidence(4, 5)


def test_one_that_is_found_stopped_has_stopped_in_that_way() -> None:
    incarnations = running()
    former = incarnations.newest
    incarnations.found(-1, STOPPED)

    assert former.stopped == incarnations.newest.stopped == STOPPED
    assert not incarnations.newest.running


def test_a_running_id_of_zero_is_one_too() -> None:
    assert running(running_id=0).newest.running


def test_of_a_domain_that_is_gone_with_its_definition_nothing_runs() -> None:
    incarnations = running()
    incarnations.learn(Undefined(1, LibvirtEvent("UNDEFINED", "REMOVED"), gone=False))
    assert incarnations.newest.running

    incarnations.learn(Undefined(1, LibvirtEvent("UNDEFINED", "REMOVED"), gone=True))

    assert incarnations.newest == Evidence(1, -1, stopped=LibvirtEvent("SHUTOFF", None))


def test_one_that_wakes_up_is_not_paused() -> None:
    incarnations = running()
    incarnations.newest.paused = True

    assert not incarnations.started(5, 100)
    assert not incarnations.newest.paused


def test_one_that_goes_on_elsewhere_was_started_when_it_was() -> None:
    incarnations = running()
    incarnations.stopped(STOPPED)
    incarnations.started(6, 100)
    incarnations.moved(9, paused=True)

    assert incarnations.newest == Evidence(2, 9, started_at=100, paused=True)


def test_one_that_is_found_stopped_somehow_has_stopped() -> None:
    incarnations = running()
    incarnations.found(-1, None)

    assert incarnations.newest.stopped == LibvirtEvent("SHUTOFF", None)


@pytest.mark.parametrize(
    ("known", "found", "counted"),
    [
        ("SAVED", LibvirtEvent("SHUTOFF", "CRASHED"), True),
        ("SAVED", LibvirtEvent("SHUTOFF", "SAVED"), False),
        ("FAILED", LibvirtEvent("SHUTOFF", "CRASHED"), False),
        ("SAVED", LibvirtEvent("SHUTOFF", "UNKNOWN"), False),
        ("SAVED", None, False),
    ],
)
def test_one_that_is_found_stopped_in_another_way_has_been_started_unseen(
    known: str, found: LibvirtEvent | None, counted: bool
) -> None:
    incarnations = running()
    incarnations.stopped(LibvirtEvent("STOPPED", known))
    incarnations.found(-1, found)

    newest = incarnations.newest
    assert (newest.number, newest.running) == (1 + counted, False)
    assert newest.stopped == (found if counted else LibvirtEvent("STOPPED", known))


def test_a_start_with_the_running_id_of_one_that_was_found_stopped_is_counted() -> None:
    incarnations = running()
    incarnations.found(-1, STOPPED)

    assert incarnations.started(5, 100)
    assert incarnations.newest == Evidence(2, 5, started_at=100)


def test_the_first_stop_of_one_counts() -> None:
    incarnations = running()
    incarnations.stopped(STOPPED)
    incarnations.stopped(LibvirtEvent("STOPPED", "SAVED"))

    assert incarnations.newest.stopped == STOPPED


def test_an_opening_ahead_of_the_events_is_counted_once_and_the_former_stop_is_not_its() -> None:
    incarnations = running()
    former = incarnations.newest
    incarnations.opening()
    opened = incarnations.opened(6)

    incarnations.stopped(STOPPED)
    assert not incarnations.started(6, 100)

    assert (opened.number, former.stopped, opened.stopped) == (2, STOPPED, None)
    incarnations.stopped(LibvirtEvent("STOPPED", "SAVED"))
    assert opened.stopped == LibvirtEvent("STOPPED", "SAVED")


def test_starts_between_the_events_and_an_opening_ahead_of_them_are_passed_over() -> None:
    incarnations = running()
    incarnations.opening()
    opened = incarnations.opened(7)

    for running_id in (6, 7):
        incarnations.stopped(STOPPED)
        incarnations.started(running_id, 100)

    assert incarnations.newest is opened
    assert (opened.number, opened.stopped) == (2, None)


def test_an_opening_behind_the_events_is_of_the_one_that_was_opened() -> None:
    incarnations = running()
    first = incarnations.newest
    incarnations.opening()
    for running_id in (6, 7):
        incarnations.stopped(STOPPED)
        incarnations.started(running_id, 100)

    assert incarnations.opened(5) is first
    assert (first.stopped, incarnations.newest.number) == (STOPPED, 3)


def test_an_opening_that_failed_leaves_nothing_to_mean() -> None:
    incarnations = running()
    incarnations.opening()
    incarnations.learn(OpenFailed(1, None))
    incarnations.stopped(STOPPED)
    incarnations.started(6, 100)

    assert incarnations.opened(5).number == 3


def test_a_device_that_can_be_opened_is_there_again() -> None:
    incarnations = running()
    incarnations.unplugged(REMOVED)
    assert incarnations.newest.device_removed == REMOVED

    incarnations.opening()
    assert incarnations.opened(5).device_removed is None
