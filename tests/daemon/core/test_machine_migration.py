"""A guest that is migrated to a hypervisor which the daemon serves too takes its console along."""

from itertools import permutations

import pytest

from tests.harness.life import BUSY, ID, NOT_RUNNING, TAKEN_OVER, Life, at
from virtmux.messages import State
from virtmux.reasons import Cause, LibvirtEvent, Phase
from virtmux.records import Break, Note, rfc3339
from virtmuxd.core.effects import ClearTimer, Explain, Hold, Move, Open, Remember, SetTimer
from virtmuxd.core.events import (
    Arrived,
    Cleaned,
    Demand,
    Down,
    Event,
    Failed,
    Incoming,
    Opened,
    OpenFailed,
    Policy,
    Started,
    Stopped,
    Timer,
    TurnedBack,
    Undefined,
    Up,
)
from virtmuxd.core.evidence import Failure

ID_THERE = 9
THERE = "qemu+ssh://other/system"

EOF = Failed(Failure(Phase.RECEIVE, at(3)))
MIGRATED = Stopped(at(4), LibvirtEvent("STOPPED", "MIGRATED"))
ARRIVED = Arrived(at(2), ID_THERE)


def leaving(policy: Policy = Policy.ALWAYS) -> Life:
    """A console whose guest is on its way to another hypervisor."""
    life = Life(policy)
    life.happen(Demand(at(0), present=True), Up(at(0), ID), Opened(at(0), ID), Incoming(at(1), THERE))
    assert life.story == ["attached 1", "migrating"]
    return life


@pytest.mark.parametrize("order", list(permutations([ARRIVED, EOF, MIGRATED])))
def test_the_console_goes_on_there_in_whatever_order_the_news_come(order: tuple[Event, ...]) -> None:
    life = leaving()
    life.happen(*order)
    assert Open() in life.happen(Cleaned(at(5)))
    life.happen(Opened(at(6), ID_THERE, since=at(1)))

    assert life.story == ["attached 1", "migrating", "ended 1 guest-migrated", "attached 2"]
    assert (life.reason.cause, life.reason.moved_to) == (Cause.GUEST_MIGRATED, THERE)
    assert THERE in life.reason.text
    assert life.duties.count(Move()) == 1
    assert life.duties.index(Move()) < life.duties.index(Remember(1, ID_THERE)), "the same start of the guest"
    assert life.machine.running_id == ID_THERE


def test_an_end_here_that_libvirt_tells_last_is_explained_before_the_console_moves() -> None:
    life = leaving()
    life.happen(EOF, Cleaned(at(4)), ARRIVED)

    commands = life.happen(MIGRATED)

    assert commands == [ClearTimer(Timer.EVIDENCE), Open()]
    assert life.duties.index(Explain(Cause.GUEST_MIGRATED)) < life.duties.index(Move())


def test_what_the_console_says_there_before_it_was_opened_there_may_be_missing() -> None:
    life = leaving()
    life.happen(ARRIVED, EOF, MIGRATED, Cleaned(at(5)), Opened(at(6), ID_THERE))

    assert life.story[-2:] == ["break", "attached 2"]


def test_an_opening_that_comes_too_late_for_the_guest_here_is_made_there() -> None:
    """The console was let go and taken back as the guest left."""
    life = Life(Policy.ALWAYS)
    life.happen(Up(at(0), ID), Incoming(at(1), THERE), ARRIVED, MIGRATED)

    commands = life.happen(OpenFailed(at(5), NOT_RUNNING))

    assert Move() in life.duties
    assert Open() in commands
    life.happen(Opened(at(6), ID_THERE, since=at(2)))
    assert life.state is State.ATTACHED


def test_until_it_has_arrived_the_guest_is_waited_for() -> None:
    life = leaving()
    life.happen(EOF, MIGRATED, Cleaned(at(5)))
    assert life.state is State.WAITING
    assert life.story[-1] == "ended 1 guest-migrated"

    assert Open() in life.happen(Arrived(at(6), ID_THERE))


def test_a_guest_that_is_paused_there_takes_no_input() -> None:
    life = leaving()
    life.happen(EOF, MIGRATED, Cleaned(at(5)), Arrived(at(6), ID_THERE, paused=True), Opened(at(7), ID_THERE))

    assert life.duties[-1] == Hold(held=True)


def test_a_migration_that_fails_is_a_note() -> None:
    life = leaving()
    life.happen(TurnedBack(at(2), THERE))

    assert life.state is State.ATTACHED
    assert life.marks[1:] == [
        Note(rfc3339(at(1)), "migrating", THERE),
        Note(rfc3339(at(2)), "migration-failed", THERE),
    ]


def test_what_ends_after_a_failed_migration_goes_nowhere() -> None:
    life = leaving()
    life.happen(TurnedBack(at(2), THERE), EOF, MIGRATED, Cleaned(at(5)))

    assert life.reason.moved_to is None
    assert "does not know" in life.reason.text
    assert Move() not in life.duties


def test_a_guest_that_crashes_on_its_way_has_crashed() -> None:
    life = leaving()
    life.happen(EOF, Stopped(at(4), LibvirtEvent("STOPPED", "CRASHED")), TurnedBack(at(5), THERE), Cleaned(at(6)))

    assert life.story[-3:] == ["migrating", "ended 1 guest-crashed", "migration-failed"]
    assert life.state is State.WAITING


def test_that_a_migration_failed_is_told_also_where_the_hypervisor_is_lost_meanwhile() -> None:
    life = leaving()
    life.happen(Down(at(2), Cause.HYPERVISOR_LOST), Cleaned(at(3)), TurnedBack(at(4), THERE))

    assert life.story[-2:] == ["ended 1 hypervisor-lost", "migration-failed"]


def test_that_a_migration_failed_is_no_news_where_nobody_was_told_that_it_began() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID), Incoming(at(1), THERE), TurnedBack(at(2), THERE))

    assert life.story == []


def test_what_the_guest_said_before_it_left_while_nobody_held_it_is_missing() -> None:
    life = leaving()
    life.happen(Failed(Failure(Phase.RECEIVE, at(3), TAKEN_OVER)), Cleaned(at(3)), OpenFailed(at(4), BUSY))
    life.happen(Stopped(at(6), LibvirtEvent("STOPPED", "MIGRATED")), Arrived(at(6), ID_THERE))
    life.happen(Opened(at(7), ID_THERE, since=at(1)))

    assert life.story[-3:] == ["not opened guest-migrated", "break", "attached 2"]
    gap = life.marks[-2]
    assert isinstance(gap, Break)
    assert (gap.since, gap.until) == (rfc3339(at(3)), rfc3339(at(6)))


def test_a_guest_whose_former_hypervisor_dies_after_it_arrived_is_followed() -> None:
    life = leaving()
    life.happen(ARRIVED, Down(at(3), Cause.HYPERVISOR_LOST))

    assert Open() in life.happen(Cleaned(at(5)))
    assert life.story[-1] == "ended 1 hypervisor-lost"


def test_a_guest_that_arrived_is_followed_where_its_former_hypervisor_dies_while_its_console_is_busy() -> None:
    life = leaving()
    life.happen(Failed(Failure(Phase.RECEIVE, at(3), TAKEN_OVER)), Cleaned(at(3)), OpenFailed(at(4), BUSY))
    life.happen(ARRIVED, OpenFailed(at(5), BUSY))
    assert life.state is State.WAITING

    assert Open() in life.happen(Down(at(6), Cause.HYPERVISOR_LOST))
    assert Move() in life.duties


def test_that_the_guest_is_undefined_where_it_was_is_no_news() -> None:
    life = leaving()
    gone = Undefined(at(4), LibvirtEvent("UNDEFINED", None), gone=True)
    life.happen(EOF, MIGRATED, gone, Cleaned(at(5)), gone, Arrived(at(6), ID_THERE))

    assert life.state is State.OPENING
    assert life.story[-1] == "ended 1 guest-migrated"


def test_a_console_that_nobody_holds_goes_along_too() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID), Incoming(at(1), THERE), ARRIVED)
    assert Move() not in life.duties

    life.happen(MIGRATED)

    assert Move() in life.duties
    assert (life.state, life.story) == (State.ABSENT, [])


def test_what_is_to_end_some_time_does_so_there_too() -> None:
    life = leaving(Policy.ON_DEMAND)
    life.happen(Demand(at(1), present=False))
    commands = life.happen(ARRIVED, EOF, MIGRATED, Cleaned(at(5)))

    assert SetTimer(Timer.LINGER, 60.0) in commands


def test_the_next_start_there_is_another_one() -> None:
    life = leaving()
    life.happen(ARRIVED, EOF, MIGRATED, Cleaned(at(5)), Opened(at(6), ID_THERE, since=at(1)))
    life.happen(Failed(Failure(Phase.RECEIVE, at(8))), Stopped(at(8), LibvirtEvent("STOPPED", "SHUTDOWN")))
    life.happen(Cleaned(at(9)), Started(at(10), 10), Opened(at(11), 10))

    assert life.story[-4:] == ["attached 2", "ended 2 guest-shutdown", "break", "attached 3"]
    assert life.reason.console is not None
    assert life.reason.console.incarnation == 1
    assert life.machine.newest.number == 2
