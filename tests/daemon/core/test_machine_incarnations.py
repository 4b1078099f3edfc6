"""Evidence counts for its own start of the guest alone, whatever the order in which things are told."""

from itertools import permutations

import pytest

from tests.harness.life import ID, NEXT_ID, Life, at, attached, down, eof, stopped
from virtmux.reasons import Cause, LibvirtEvent
from virtmux.records import Attached, Break, Ended, rfc3339
from virtmuxd.core.effects import Open
from virtmuxd.core.events import Answered, Cleaned, Elapsed, Event, Opened, Started, Timer, Up
from virtmuxd.core.evidence import Evidence


def test_a_guest_that_starts_again_is_attached_again() -> None:
    life = attached()
    life.happen(eof(2), stopped(2), Cleaned(at(3)))

    assert Open() in life.happen(Started(at(4), NEXT_ID))
    life.happen(Opened(at(5), NEXT_ID))

    assert life.story == ["attached 1", "ended 1 guest-destroyed", "break", "attached 2"]
    assert life.marks[-2:] == [
        Break(rfc3339(at(5)), rfc3339(at(4)), rfc3339(at(5))),
        Attached(rfc3339(at(5)), attachment=2, incarnation=2),
    ]


_RESTART: list[Event] = [eof(2), stopped(2, "DESTROYED"), Started(at(2), NEXT_ID), Cleaned(at(2))]


@pytest.mark.parametrize(
    "order",
    [
        order
        for order in permutations(range(4))
        if order.index(1) < order.index(2) and order.index(0) < order.index(3)  # what libvirt and we keep in order
    ],
)
def test_a_restart_within_one_turn_is_told_in_every_order(order: tuple[int, ...]) -> None:
    life = attached()
    life.happen(*(_RESTART[number] for number in order))
    assert life.state == "opening"
    life.happen(Opened(at(3), NEXT_ID))

    assert life.story == ["attached 1", "ended 1 guest-destroyed", "break", "attached 2"]
    _each_with_its_own_incarnation(life)

    life.happen(eof(4), stopped(4, "CRASHED"))
    assert life.reason.cause is Cause.GUEST_CRASHED
    _each_with_its_own_incarnation(life)


def _each_with_its_own_incarnation(life: Life) -> None:
    incarnations = {mark.attachment: mark.incarnation for mark in life.marks if isinstance(mark, Attached)}
    for mark in life.marks:
        if isinstance(mark, Ended) and mark.attachment is not None:
            assert mark.reason.console is not None
            assert mark.reason.console.incarnation == incarnations[mark.attachment]
    assert list(incarnations.values()) == sorted(incarnations.values())


def test_an_opening_that_is_ahead_of_the_events_counts_the_start_once() -> None:
    life = attached()
    life.happen(eof(2), Cleaned(at(2)), Elapsed(at(4), Timer.EVIDENCE), Answered(at(4), 1, None))
    life.happen(Elapsed(at(5), Timer.RETRY), Opened(at(5), NEXT_ID))

    life.happen(stopped(5.1, "DESTROYED"), Started(at(5.2), NEXT_ID))
    assert life.state == "attached"
    life.happen(eof(6))
    assert life.reserved, "the former guest's end explains nothing here"
    life.happen(stopped(6, "CRASHED"))

    assert life.story[-1] == "ended 2 guest-crashed"
    assert isinstance(life.marks[-2], Attached)
    assert life.marks[-2].incarnation == 2
    _each_with_its_own_incarnation(life)


def test_an_opening_that_is_behind_the_events_belongs_to_the_guest_that_was_opened() -> None:
    life = Life()
    life.happen(Up(at(0), ID))

    life.happen(stopped(1, "SAVED"), Started(at(1), NEXT_ID), Opened(at(1), ID), eof(2))

    assert life.story == ["attached 1", "ended 1 guest-saved"]
    _each_with_its_own_incarnation(life)
    assert Open() in life.happen(Cleaned(at(2)))
    life.happen(Opened(at(3), NEXT_ID), eof(4), stopped(4, "CRASHED"))
    assert life.story[-1] == "ended 2 guest-crashed"
    _each_with_its_own_incarnation(life)


def test_an_opening_that_is_behind_the_hypervisors_return_does_not_count_back() -> None:
    life = Life()
    life.happen(Up(at(0), ID), down(1), Up(at(2), NEXT_ID), Opened(at(3), ID), eof(4), Cleaned(at(4)))
    life.happen(Elapsed(at(6), Timer.EVIDENCE), Answered(at(6), 1, None), Opened(at(7), NEXT_ID))

    assert life.story == ["attached 1", "ended 1 stream-ended", "break", "attached 2"]
    _each_with_its_own_incarnation(life)


def test_an_opening_that_is_behind_the_news_of_the_guests_end_belongs_to_that_guest() -> None:
    life = Life()
    life.happen(Up(at(0), ID), down(1), Up(at(2), -1, LibvirtEvent("SHUTOFF", "SAVED")), Opened(at(3), ID), eof(4))

    assert life.story == ["attached 1", "ended 1 guest-saved"]
    life.happen(Cleaned(at(5)))
    assert life.state == "waiting"
    life.happen(Started(at(6), ID), Opened(at(7), ID))
    assert life.story == ["attached 1", "ended 1 guest-saved", "break", "attached 2"]
    assert isinstance(life.marks[-1], Attached)
    assert life.marks[-1].incarnation == 2


@pytest.mark.parametrize("known", [Evidence(3, ID - 1), Evidence(3, -1)], ids=["another ran", "it had stopped"])
def test_a_new_daemon_counts_a_start_that_nobody_saw(known: Evidence) -> None:
    life = Life(known=known)
    life.happen(Up(at(0), ID), Opened(at(1), ID))

    assert life.marks == [Attached(rfc3339(at(1)), attachment=1, incarnation=4)]
