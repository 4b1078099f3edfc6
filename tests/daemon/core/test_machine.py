"""The state machine of a console: its table, and what it tells whatever happens."""

from itertools import product
from typing import get_args

import pytest

from tests.harness.life import (
    BUSY,
    COME,
    ID,
    NEXT_ID,
    POWERED_OFF,
    SECOND,
    Life,
    at,
    attached,
    down,
    eof,
    stopped,
    undefined,
    waiting_for,
)
from virtmux.messages import State
from virtmux.reasons import Cause, LibvirtEvent
from virtmux.records import Note, rfc3339
from virtmuxd.core.effects import Begin, End, Explain, Open, Remember, Wait
from virtmuxd.core.events import (
    Answered,
    Arrived,
    Cleaned,
    Demand,
    Elapsed,
    Event,
    Fenced,
    Incoming,
    Lent,
    Noted,
    Opened,
    OpenFailed,
    Paused,
    Policy,
    PolicySet,
    Reclaimed,
    Released,
    Renamed,
    Resumed,
    ShuttingDown,
    Spoke,
    Started,
    Timer,
    TurnedBack,
    Unplugged,
    Up,
)
from virtmuxd.core.machine import TABLE


def test_every_event_is_taken_somewhere() -> None:
    assert {event for _, event in TABLE} == set(get_args(Event))


#: One of each event, as it may come late or unasked.
_STRAY: list[Event] = [
    Demand(at(9), COME),
    Up(at(9), ID),
    down(9),
    Started(at(9), NEXT_ID),
    stopped(9),
    ShuttingDown(at(9), POWERED_OFF),
    Unplugged(at(9), LibvirtEvent("DEVICE_REMOVED", "serial0")),
    undefined(9),
    Noted(at(9), "rebooted"),
    Paused(at(9)),
    Resumed(at(9)),
    Renamed(at(9), "web1", "web2"),
    Released(at(9)),
    Reclaimed(at(9)),
    Lent(at(9), lent=True),
    PolicySet(at(9), Policy.ALWAYS, 1.0),
    Incoming(at(9), "qemu+ssh://other/system"),
    Arrived(at(9), NEXT_ID),
    TurnedBack(at(9), "qemu+ssh://other/system"),
    Spoke(at(9)),
    Fenced(at(9)),
    Opened(at(9), ID),
    OpenFailed(at(9), BUSY),
    eof(9),
    Cleaned(at(9)),
    Answered(at(9), 1, None),
    Elapsed(at(9), Timer.RETRY),
]


def _name(each: State | Event) -> str:
    return each.value if isinstance(each, State) else type(each).__name__


def _in(state: State) -> Life:
    match state:
        case State.ABSENT:
            return Life(Policy.ON_DEMAND)
        case State.OPENING:
            life = Life()
            life.happen(Up(at(0), ID))
            return life
        case State.ATTACHED:
            return attached()
        case State.ENDING:
            life = attached()
            life.happen(eof(2))
            return life
        case State.WAITING:
            return waiting_for()


@pytest.mark.parametrize(("state", "event"), list(product(State, _STRAY)), ids=_name)
def test_an_event_leads_to_where_the_table_says_and_without_an_entry_nowhere(state: State, event: Event) -> None:
    life = _in(state)
    assert life.state is state
    position, reserved = life.sequence.position, life.reserved
    entry = TABLE.get((state, type(event)))

    life.happen(event)

    assert life.state in (state, *(entry.to if entry is not None else ()))
    if entry is None:
        assert (life.sequence.position, life.reserved) == (position, reserved)


def test_one_of_each_event_was_tried() -> None:
    assert {type(event) for event in _STRAY} == set(get_args(Event))


def test_the_console_is_told_when_it_is_held_and_why_not() -> None:
    life = attached()
    life.happen(eof(2), stopped(3, "SAVED"), Cleaned(at(4)))

    assert [duty for duty in life.duties if not isinstance(duty, Wait)] == [
        Remember(1, ID),
        Begin(at(1), 1, shared=False),
        End(at(2)),
        Explain(Cause.GUEST_SAVED),
        Remember(1, -1),
    ]
    *_, wait = (duty for duty in life.duties if isinstance(duty, Wait))
    assert (wait.at, wait.reason.cause) == (at(4), Cause.GUEST_NOT_RUNNING)


@pytest.mark.parametrize(
    ("event", "note", "detail"),
    [
        (Noted(at(2), "io-error", "vda: no space"), "io-error", "vda: no space"),
        (Paused(at(2), "IOERROR"), "paused", "IOERROR"),
        (Paused(at(2), "PANICKED", "crashed"), "crashed", "PANICKED"),
        (Resumed(at(2), "UNPAUSED"), "resumed", "UNPAUSED"),
    ],
)
def test_what_ends_nothing_is_noted(event: Event, note: str, detail: str) -> None:
    life = attached()
    life.happen(event)

    assert (life.state, life.marks[-1]) == (State.ATTACHED, Note(rfc3339(at(2)), note, detail))


@pytest.mark.parametrize("state", [State.ABSENT, State.WAITING])
def test_that_a_guest_that_does_not_run_is_renamed_is_noted(state: State) -> None:
    life = _in(state)
    life.happen(Renamed(at(9), "web1", "web2"))

    assert (life.state, life.marks[-1]) == (state, Note(rfc3339(at(9)), "renamed", "web1 to web2"))


# What a start of the guest undoes.


def test_a_start_that_is_told_before_the_hypervisor_was_looked_at_says_that_it_is_there() -> None:
    assert Life().happen(Started(at(0), ID)) == [Open()]


def test_a_guest_that_was_defined_again_and_started_is_waited_for_once_it_stops() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), -1), undefined(1), Started(at(2), ID), stopped(3), Demand(at(4), COME))

    assert (life.state, life.story) == (State.WAITING, [])


def test_since_is_when_the_state_began() -> None:
    life = attached()
    assert life.machine.since == at(1)
    life.happen(Noted(at(2), "paused"))
    assert life.machine.since == at(1)
    life.happen(eof(3))
    assert life.machine.since == at(3)
    assert at(3) - at(1) == 2 * SECOND
