"""A hypervisor that is lost ends the attachment, and its return brings it back."""

import pytest

from tests.harness.life import (
    BUSY,
    COME,
    CONNECTION_LOST,
    ID,
    Life,
    at,
    attached,
    down,
    eof,
    libvirt_error,
    stream_error,
    waiting_for,
)
from virtmux.messages import State
from virtmux.reasons import Cause, LibvirtEvent, Phase
from virtmux.records import Attached, Break, rfc3339
from virtmuxd.core.effects import ClearTimer, Close, Open
from virtmuxd.core.events import (
    Answered,
    Cleaned,
    Demand,
    Down,
    Elapsed,
    Event,
    Failed,
    Opened,
    OpenFailed,
    Policy,
    Timer,
    Up,
)
from virtmuxd.core.evidence import Failure


@pytest.mark.parametrize("cause", [Cause.HYPERVISOR_LOST, Cause.HYPERVISOR_TIMEOUT])
def test_a_lost_hypervisor_ends_the_attachment_and_its_return_brings_it_back(cause: Cause) -> None:
    life = attached()

    assert Close() in life.happen(Down(at(2), cause, CONNECTION_LOST))
    assert life.story == ["attached 1", f"ended 1 {cause}"]
    assert (life.reason.phase, life.reason.error) == (Phase.CONNECTION, CONNECTION_LOST)
    life.happen(Cleaned(at(3)))
    assert life.state == "waiting"

    assert Open() in life.happen(Up(at(9), ID))
    life.happen(Opened(at(10), ID))
    assert life.story == ["attached 1", f"ended 1 {cause}", "break", "attached 2"]
    assert life.marks[-2:] == [
        Break(rfc3339(at(10)), rfc3339(at(2)), rfc3339(at(10))),
        Attached(rfc3339(at(10)), attachment=2, incarnation=1),
    ]


@pytest.mark.parametrize("up_first", [True, False])
def test_a_hypervisor_that_is_back_before_the_stream_is_cleaned_up_loses_nothing(up_first: bool) -> None:
    life = attached()
    events: list[Event] = [Up(at(3), ID), Cleaned(at(3))]
    life.happen(down(2), *(events if up_first else reversed(events)))
    if life.state is State.WAITING:
        life.happen(Elapsed(at(4), Timer.RETRY))

    assert life.state == "opening"
    assert life.story == ["attached 1", "ended 1 hypervisor-lost"]


def test_the_loss_of_the_consoles_own_connection_is_asked_to_be_made_good() -> None:
    life = attached()
    life.happen(Failed(Failure(Phase.CONNECTION, at(2), cause=Cause.HYPERVISOR_LOST)), Cleaned(at(3)))
    assert life.state == "waiting"

    life.happen(down(3))
    assert life.story == ["attached 1", "ended 1 hypervisor-lost"]
    assert Open() in life.happen(Up(at(4), ID))


def test_a_guest_that_ended_while_the_hypervisor_was_away_is_waited_for() -> None:
    life = attached()
    life.happen(down(2), Cleaned(at(3)), Up(at(9), -1, LibvirtEvent("SHUTOFF", "DESTROYED")))

    assert life.state == "waiting"
    assert life.story == ["attached 1", "ended 1 hypervisor-lost", "not opened guest-destroyed"]


def test_how_the_guest_stands_after_the_hypervisors_return_explains_an_open_end() -> None:
    life = attached()
    life.happen(eof(2), Up(at(3), -1, LibvirtEvent("SHUTOFF", "CRASHED")))

    assert life.story == ["attached 1", "ended 1 guest-crashed"]


def test_an_end_of_stream_with_which_the_hypervisor_goes_is_the_hypervisors() -> None:
    life = attached()
    life.happen(eof(2), Down(at(3), Cause.HYPERVISOR_TIMEOUT, CONNECTION_LOST))

    assert life.story == ["attached 1", "ended 1 hypervisor-timeout"]
    assert (life.reason.at, life.reason.error) == (rfc3339(at(2)), CONNECTION_LOST)


def test_why_the_hypervisor_cannot_be_had_is_told_once_and_not_forgotten() -> None:
    life = attached(Policy.ON_DEMAND)
    denied = libvirt_error(45, 0, "authentication failed")
    life.happen(
        Down(at(2), Cause.HYPERVISOR_DENIED, denied), Cleaned(at(3)), Down(at(4), Cause.HYPERVISOR_DENIED, denied)
    )
    life.happen(Demand(at(5), COME))

    assert life.story == ["attached 1", "ended 1 hypervisor-denied"]
    assert life.machine.waiting is not None
    assert (life.machine.waiting.cause, life.machine.waiting.error) == (Cause.HYPERVISOR_DENIED, denied)


def test_the_loss_of_the_hypervisor_ends_the_asking_for_a_busy_console() -> None:
    life = waiting_for(BUSY)

    assert life.happen(down(2)) == [ClearTimer(Timer.RETRY)]
    assert life.story == ["not opened console-busy", "not opened hypervisor-lost"]


def test_an_error_speaks_for_itself_where_the_hypervisor_goes_too() -> None:
    life = attached()
    life.happen(stream_error(2), down(2.1), Cleaned(at(3)), OpenFailed(at(4), CONNECTION_LOST))
    life.happen(Elapsed(at(4), Timer.EVIDENCE), Answered(at(4), 1, None))

    assert life.story == ["attached 1", "ended 1 stream-error", "not opened hypervisor-lost"]


def test_a_policy_is_a_better_reason_than_a_lost_hypervisor() -> None:
    life = Life(Policy.NEVER)
    life.happen(Up(at(0), ID), Demand(at(1), COME), down(2), Up(at(3), ID))

    assert life.story == []
    assert life.machine.waiting is not None
    assert life.machine.waiting.cause is Cause.CONSOLE_RELEASED
