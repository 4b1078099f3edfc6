"""A console that another libvirt client holds is taken by force where a person said so: once, and never otherwise."""

import pytest

from tests.harness.life import BUSY, COME, CONNECTION_LOST, ID, TAKEN_OVER, Life, at
from virtmux.messages import State
from virtmux.reasons import Cause, LibvirtEvent, Phase
from virtmuxd.core.effects import Open
from virtmuxd.core.events import (
    Cleaned,
    Demand,
    Elapsed,
    Event,
    Failed,
    Opened,
    OpenFailed,
    Policy,
    Released,
    Started,
    Stopped,
    Timer,
    Up,
)
from virtmuxd.core.evidence import Failure

FORCED = Open(force=True)


def busy(policy: Policy = Policy.ON_DEMAND) -> Life:
    """A console that somebody waits for because another has it."""
    life = Life(policy)
    life.happen(Up(at(0), ID), Demand(at(0), COME), OpenFailed(at(1), BUSY))
    assert life.state is State.WAITING
    return life


def forces(life: Life, *events: Event) -> int:
    return life.happen(*events).count(FORCED)


def test_it_is_asked_for_first_and_taken_only_where_it_is_busy() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID))

    assert Open() in life.happen(Demand(at(1), COME, force=True))
    assert life.happen(OpenFailed(at(2), BUSY)) == [FORCED]
    assert life.state is State.OPENING
    life.happen(Opened(at(3), ID))

    assert life.story == ["attached 1"]


def test_a_console_that_is_free_is_not_taken() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID), Demand(at(1), COME, force=True), Opened(at(2), ID))

    assert forces(life, Failed(Failure(Phase.RECEIVE, at(3), TAKEN_OVER)), Cleaned(at(4)), OpenFailed(at(5), BUSY)) == 0
    assert life.story == ["attached 1", "ended 1 console-taken-over"]


def test_who_comes_where_others_wait_takes_it_for_all() -> None:
    life = busy()

    assert Open() in life.happen(Demand(at(2), COME, force=True))
    assert life.happen(OpenFailed(at(3), BUSY)) == [FORCED]


def test_what_fails_by_force_is_not_forced_again() -> None:
    life = busy()
    life.happen(Demand(at(2), COME, force=True))
    assert forces(life, OpenFailed(at(3), BUSY)) == 1

    assert forces(life, OpenFailed(at(4), BUSY)) == 0
    assert life.machine.waiting is not None
    assert life.machine.waiting.cause is Cause.CONSOLE_BUSY
    assert forces(life, Elapsed(at(5), Timer.RETRY), OpenFailed(at(6), BUSY), Demand(at(7), COME)) == 0
    assert forces(life, OpenFailed(at(8), BUSY)) == 0


def test_nothing_is_forced_where_the_console_is_held_already_and_the_word_is_not_kept() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID), Demand(at(1), COME), Opened(at(2), ID))

    assert Open() not in life.happen(Demand(at(3), COME, force=True))
    assert life.state is State.ATTACHED
    assert forces(life, Failed(Failure(Phase.RECEIVE, at(4), TAKEN_OVER)), Cleaned(at(5)), OpenFailed(at(6), BUSY)) == 0


def test_the_word_is_not_kept_where_the_guest_does_not_run() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), -1), Demand(at(1), COME, force=True))
    assert life.state is State.WAITING

    assert forces(life, Started(at(2), ID), OpenFailed(at(3), BUSY)) == 0


def test_who_comes_while_it_is_being_lost_takes_it_back_once_the_reason_is_known() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID), Demand(at(1), COME), Opened(at(2), ID))
    life.happen(Failed(Failure(Phase.RECEIVE, at(3), TAKEN_OVER)), Demand(at(3), COME, force=True))
    assert life.state is State.ENDING

    assert life.happen(Cleaned(at(4))) == [Open()], "the test of what became of it is no force"
    assert FORCED in life.happen(OpenFailed(at(5), BUSY))
    assert life.story == ["attached 1", "ended 1 console-taken-over"]
    life.happen(Opened(at(6), ID))
    assert life.story[2:] == ["break", "attached 2"]


@pytest.mark.parametrize("policy", [Policy.ALWAYS, Policy.ON_DEMAND])
def test_a_release_is_stronger(policy: Policy) -> None:
    life = Life(policy)
    life.happen(Up(at(0), ID), Released(at(1)))
    assert forces(life, Demand(at(2), COME, force=True)) == 0

    life = Life(policy)
    life.happen(Up(at(0), ID), Demand(at(2), COME, force=True), Released(at(3)))
    assert forces(life, OpenFailed(at(4), BUSY)) == 0


def test_a_policy_is_stronger() -> None:
    life = Life(Policy.NEVER)

    assert life.happen(Up(at(0), ID), Demand(at(1), COME, force=True)).count(Open()) == 0
    assert life.state is State.WAITING


@pytest.mark.parametrize(
    "failed", [OpenFailed(at(2), CONNECTION_LOST), OpenFailed(at(2), cause=Cause.HYPERVISOR_TIMEOUT)]
)
def test_another_failure_is_none_that_force_would_help(failed: OpenFailed) -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID), Demand(at(1), COME, force=True))

    assert forces(life, failed) == 0


def test_a_guest_that_ends_meanwhile_is_the_better_reason() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID), Demand(at(1), COME, force=True))

    assert forces(life, Stopped(at(2), LibvirtEvent("STOPPED", "SHUTDOWN")), OpenFailed(at(3), BUSY)) == 0


def test_where_libvirt_gives_a_console_to_several_there_is_no_force() -> None:
    life = Life(Policy.ON_DEMAND, exclusive=False)
    life.happen(Up(at(0), ID), Demand(at(1), COME, force=True))

    assert forces(life, OpenFailed(at(2), BUSY)) == 0
