"""The life of a console, told as scripts: events in, state, commands and marks out."""

from itertools import permutations, product
from typing import get_args

import pytest

from tests.harness.life import (
    BUSY,
    CONNECTION_LOST,
    NOT_RUNNING,
    PTY_CLOSED,
    PTY_GONE,
    SECOND,
    STARTING,
    TAKEN_OVER,
    Life,
    at,
    libvirt_error,
)
from virtmux.messages import State
from virtmux.reasons import Cause, LibvirtEvent, Phase, SavedError
from virtmux.records import Attached, Break, Ended, Note, rfc3339
from virtmuxd.core.events import (
    Answered,
    Arrived,
    Begin,
    Cleaned,
    ClearTimer,
    Close,
    Demand,
    Down,
    Elapsed,
    End,
    Event,
    Explain,
    Failed,
    Fenced,
    Incoming,
    Lent,
    Noted,
    Open,
    Opened,
    OpenFailed,
    Paused,
    Policy,
    PolicySet,
    Query,
    Reclaimed,
    Released,
    Remember,
    Renamed,
    Resumed,
    SetTimer,
    ShuttingDown,
    Spoke,
    Started,
    Stopped,
    Timer,
    TurnedBack,
    Undefined,
    Unplugged,
    Up,
    Wait,
)
from virtmuxd.core.evidence import Evidence, Failure
from virtmuxd.core.machine import TABLE

ID, NEXT_ID = 5, 6
COME, GO = True, False
POWERED_OFF = LibvirtEvent("SHUTDOWN", "GUEST")


def eof(seconds: float) -> Failed:
    return Failed(Failure(Phase.RECEIVE, at(seconds)))


def stream_error(seconds: float, error: SavedError = TAKEN_OVER) -> Failed:
    return Failed(Failure(Phase.RECEIVE, at(seconds), error))


def stopped(seconds: float, detail: str = "DESTROYED") -> Stopped:
    return Stopped(at(seconds), LibvirtEvent("STOPPED", detail))


def undefined(seconds: float) -> Undefined:
    return Undefined(at(seconds), LibvirtEvent("UNDEFINED", "REMOVED"))


def down(seconds: float, cause: Cause = Cause.HYPERVISOR_LOST) -> Down:
    return Down(at(seconds), cause)


def attached(policy: Policy = Policy.ALWAYS) -> Life:
    """A console that was opened for the first time, at second 1, for a guest that ran before."""
    life = Life(policy)
    life.happen(Demand(at(0), COME), Up(at(0), ID), Opened(at(1), ID))
    assert (life.state, life.story) == (State.ATTACHED, ["attached 1"])
    return life


def waiting_for(error: SavedError = BUSY) -> Life:
    """A console whose opening failed, at second 1."""
    life = Life()
    life.happen(Up(at(0), ID), OpenFailed(at(1), error))
    assert life.state == "waiting"
    return life


# The table.


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


# Towards an attachment.


def test_a_console_is_held_always_where_that_is_the_policy() -> None:
    life = Life(Policy.ALWAYS)

    assert life.happen(Up(at(0), ID)) == [Open()]
    assert life.state == "opening"

    assert life.happen(Opened(at(1), ID)) == []
    assert life.state == "attached"
    assert life.marks == [Attached(rfc3339(at(1)), attachment=1, incarnation=1)]


def test_a_console_on_demand_is_opened_when_somebody_comes() -> None:
    life = Life(Policy.ON_DEMAND)
    assert life.happen(Up(at(0), ID)) == []
    assert life.state == "absent"

    assert Open() in life.happen(Demand(at(1), COME))
    assert life.state == "opening"


def test_a_console_on_demand_is_opened_once_the_hypervisor_answers() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Demand(at(0), COME))
    assert life.state == "waiting"
    assert life.machine.waiting is not None
    assert life.machine.waiting.cause is Cause.HYPERVISOR_LOST

    assert Open() in life.happen(Up(at(1), ID))


def test_a_console_that_is_never_held_says_so_to_who_comes() -> None:
    life = Life(Policy.NEVER)
    life.happen(Up(at(0), ID), Demand(at(1), COME))

    assert (life.state, life.story) == (State.WAITING, [])
    waiting = life.machine.waiting
    assert waiting is not None
    assert waiting.cause is Cause.CONSOLE_RELEASED
    assert "'never'" in waiting.text
    assert not waiting.retry.will_retry

    life.happen(Demand(at(2), GO))
    assert life.state == "absent"


def test_a_guest_that_does_not_run_is_waited_for_and_makes_no_mark() -> None:
    life = Life()
    life.happen(Up(at(0), -1, LibvirtEvent("SHUTOFF", "CRASHED")))

    assert (life.state, life.story) == (State.WAITING, [])
    assert life.machine.waiting is not None
    assert life.machine.waiting.cause is Cause.GUEST_NOT_RUNNING
    assert life.machine.waiting.retry.will_retry

    assert Open() in life.happen(Started(at(1), ID))


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


@pytest.mark.parametrize("known", [Evidence(3, ID - 1), Evidence(3, -1)], ids=["another ran", "it had stopped"])
def test_a_new_daemon_counts_a_start_that_nobody_saw(known: Evidence) -> None:
    life = Life(known=known)
    life.happen(Up(at(0), ID), Opened(at(1), ID))

    assert life.marks == [Attached(rfc3339(at(1)), attachment=1, incarnation=4)]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (BUSY, Cause.CONSOLE_BUSY),
        (libvirt_error(9, 0, "Requested device is locked by lock file"), Cause.CONSOLE_BUSY),
        (libvirt_error(1, 10, "cannot find character device serial7"), Cause.CONSOLE_MISSING),
        (libvirt_error(1, 17, "cannot find console device 'console7'"), Cause.CONSOLE_MISSING),
        (libvirt_error(99, 10, "device not found"), Cause.CONSOLE_MISSING),
        (libvirt_error(1, 10, "character device serial0 is not using a PTY"), Cause.CONSOLE_NOT_PTY),
        (libvirt_error(55, 20, "domain is not running"), Cause.GUEST_NOT_RUNNING),
        (libvirt_error(42, 10, "Domain not found"), Cause.GUEST_UNDEFINED),
        (libvirt_error(3, 20, "this function is not supported"), Cause.CONSOLE_UNSUPPORTED),
        (libvirt_error(8, 0, "unsupported flags (0x1)"), Cause.CONSOLE_UNSUPPORTED),
        (libvirt_error(29, 20, "operation forbidden for read only access"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(94, 7, "authentication unavailable"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(79, 7, "authentication cancelled"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(45, 7, "authentication failed"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(88, 55, "access denied"), Cause.HYPERVISOR_DENIED),
        (libvirt_error(38, 7, "Failed to connect socket: Permission denied", int1=13), Cause.HYPERVISOR_DENIED),
        (CONNECTION_LOST, Cause.HYPERVISOR_LOST),
        (libvirt_error(1, 7, "client socket is closed"), Cause.HYPERVISOR_LOST),
        (libvirt_error(1, 7, "connection closed due to keepalive timeout"), Cause.HYPERVISOR_TIMEOUT),
        (libvirt_error(1, 10, "something new"), Cause.STREAM_ERROR),
    ],
    ids=lambda each: str(each) if isinstance(each, Cause) else f"{each.code}/{each.domain}",
)
def test_a_failed_opening_is_one_mark_with_its_cause_and_error(error: SavedError, cause: Cause) -> None:
    life = waiting_for(error)

    assert life.story == [f"not opened {cause}"]
    assert (life.reason.error, life.reason.phase, life.reason.offset) == (error, Phase.OPEN, 0)

    life.happen(Elapsed(at(2), Timer.RETRY))
    life.happen(OpenFailed(at(3), error))
    assert life.story == [f"not opened {cause}"]


def test_an_opening_that_does_not_return_is_a_mark_too() -> None:
    life = Life()
    life.happen(Up(at(0), ID), OpenFailed(at(1), cause=Cause.HYPERVISOR_TIMEOUT))

    assert life.story == ["not opened hypervisor-timeout"]


def test_a_busy_console_is_asked_for_again_at_growing_intervals() -> None:
    life = Life()
    life.happen(Up(at(0), ID))
    pauses = []
    for second in range(1, 12):
        (timer,) = (each for each in life.happen(OpenFailed(at(second), BUSY)) if isinstance(each, SetTimer))
        assert timer.timer is Timer.RETRY
        pauses.append(timer.seconds)
        assert life.happen(Elapsed(at(second), Timer.RETRY)) == [ClearTimer(Timer.RETRY), Open()]

    assert pauses == sorted(pauses)
    assert pauses[-1] == 30.0
    assert life.story == ["not opened console-busy"]


def test_who_comes_while_a_busy_console_is_waited_for_gets_a_fresh_answer() -> None:
    life = waiting_for()

    assert Open() in life.happen(Demand(at(2), COME))


def test_who_comes_does_not_make_the_next_try_come_later() -> None:
    life = waiting_for()
    for second in range(2, 8):
        life.happen(Demand(at(second), COME))
        assert SetTimer(Timer.RETRY, 0.1) in life.happen(OpenFailed(at(second), BUSY))


@pytest.mark.parametrize(("lasted", "seconds"), [(5, 0.4), (11, 0.1)])
def test_an_attachment_that_lasted_makes_the_tries_start_over(lasted: float, seconds: float) -> None:
    life = waiting_for()
    life.happen(Elapsed(at(2), Timer.RETRY), OpenFailed(at(2), BUSY), Elapsed(at(3), Timer.RETRY), Opened(at(3), ID))

    commands = life.happen(stream_error(3 + lasted), Cleaned(at(20)), OpenFailed(at(21), BUSY))

    assert SetTimer(Timer.RETRY, seconds) in commands


def test_what_cannot_be_opened_is_not_tried_again_until_something_happens() -> None:
    life = waiting_for(libvirt_error(1, 10, "character device serial0 is not using a PTY"))
    assert not any(isinstance(command, SetTimer) for command in life.commands)
    assert not life.reason.retry.will_retry

    life.happen(stopped(2))
    assert Open() in life.happen(Started(at(3), NEXT_ID))


def test_each_change_of_cause_while_waiting_is_one_mark() -> None:
    life = waiting_for()

    life.happen(down(2))
    life.happen(Up(at(3), ID), OpenFailed(at(4), BUSY))
    life.happen(stopped(5, "CRASHED"))
    life.happen(down(6), Up(at(7), -1))

    assert life.story == [
        "not opened console-busy",
        "not opened hypervisor-lost",
        "not opened console-busy",
        "not opened guest-crashed",
    ]


def test_a_guest_that_is_undefined_while_waited_for_is_gone() -> None:
    life = Life()
    life.happen(Up(at(0), -1), undefined(1))

    assert (life.state, life.story) == (State.ABSENT, ["not opened guest-undefined"])
    assert life.reason.event == LibvirtEvent("UNDEFINED", "REMOVED")


def test_a_running_guest_that_is_undefined_goes_on() -> None:
    life = waiting_for()
    life.happen(undefined(2))

    assert (life.state, life.story) == (State.WAITING, ["not opened console-busy"])


@pytest.mark.parametrize("moment", range(4))
def test_a_guest_that_is_destroyed_and_undefined_is_gone_whenever_the_news_come(moment: int) -> None:
    life = attached()
    events: list[Event] = [stopped(2), eof(2), Cleaned(at(2))]
    events.insert(max(moment, 1), undefined(2))

    life.happen(*events)

    assert (life.state, life.story) == (
        State.ABSENT,
        ["attached 1", "ended 1 guest-destroyed", "not opened guest-undefined"],
    )


# Ends: the guest's.


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


# Ends: the stream's and the connection's.


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


def test_a_console_of_a_guest_that_is_just_being_started_is_asked_for_again_without_a_word() -> None:
    life = Life()
    life.happen(Up(at(0), ID), OpenFailed(at(1), STARTING))

    assert (life.state, life.story) == (State.WAITING, [])
    assert Open() in life.happen(Started(at(1), ID))


def test_a_console_of_a_guest_that_is_just_ending_is_asked_for_again_without_a_word() -> None:
    life = attached()
    life.happen(down(2), Cleaned(at(2)), Up(at(3), ID), OpenFailed(at(3), PTY_GONE))
    life.happen(Elapsed(at(4), Timer.RETRY), OpenFailed(at(4), PTY_GONE), stopped(4))

    assert life.story == ["attached 1", "ended 1 hypervisor-lost", "not opened guest-destroyed"]


def test_a_pty_that_cannot_be_opened_again_and_again_is_told() -> None:
    life = waiting_for(PTY_GONE)
    for second in range(2, 5):
        assert life.story == []
        life.happen(Elapsed(at(second), Timer.RETRY), OpenFailed(at(second), PTY_GONE))

    assert life.story == ["not opened stream-error"]
    assert life.reason.error == PTY_GONE


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


@pytest.mark.parametrize("cause", [Cause.HYPERVISOR_LOST, Cause.HYPERVISOR_TIMEOUT])
def test_a_lost_hypervisor_ends_the_attachment_and_its_return_brings_it_back(cause: Cause) -> None:
    life = attached()

    assert Close() in life.happen(down(2, cause))
    assert life.story == ["attached 1", f"ended 1 {cause}"]
    assert life.reason.phase is Phase.CONNECTION
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
    life.happen(eof(2), down(3, Cause.HYPERVISOR_TIMEOUT))

    assert life.story == ["attached 1", "ended 1 hypervisor-timeout"]
    assert life.reason.at == rfc3339(at(2))


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


def test_a_policy_is_a_better_reason_than_a_lost_hypervisor() -> None:
    life = Life(Policy.NEVER)
    life.happen(Up(at(0), ID), Demand(at(1), COME), down(2), Up(at(3), ID))

    assert life.story == []
    assert life.machine.waiting is not None
    assert life.machine.waiting.cause is Cause.CONSOLE_RELEASED


def test_a_guest_that_ends_while_it_is_opened_is_the_reason_whatever_the_opening_said() -> None:
    life = Life()
    life.happen(Up(at(0), ID), stopped(1), OpenFailed(at(2), BUSY))

    assert life.machine.waiting is not None
    assert life.machine.waiting.cause is Cause.GUEST_NOT_RUNNING


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


def test_an_error_speaks_for_itself_where_the_hypervisor_goes_too() -> None:
    life = attached()
    life.happen(stream_error(2), down(2.1), Cleaned(at(3)), OpenFailed(at(4), CONNECTION_LOST))
    life.happen(Elapsed(at(4), Timer.EVIDENCE), Answered(at(4), 1, None))

    assert life.story == ["attached 1", "ended 1 stream-error", "not opened hypervisor-lost"]


def test_a_removed_device_is_waited_for_without_asking() -> None:
    life = attached()
    life.happen(eof(2), Unplugged(at(2.1), LibvirtEvent("DEVICE_REMOVED", "serial0")))

    assert life.happen(Cleaned(at(3))) == []
    assert life.story == ["attached 1", "ended 1 device-removed"]
    assert life.machine.waiting is not None
    assert life.machine.waiting.cause is Cause.CONSOLE_MISSING


# Duties.


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


# Notes.


def test_what_ends_nothing_is_noted() -> None:
    life = attached()
    life.happen(Noted(at(2), "paused", "IOERROR"))

    assert (life.state, life.marks[-1]) == (State.ATTACHED, Note(rfc3339(at(2)), "paused", "IOERROR"))


# Demand.


def test_a_console_that_nobody_watches_any_more_is_let_go_after_a_while() -> None:
    life = attached(Policy.ON_DEMAND)
    assert life.happen(Demand(at(2), GO)) == [SetTimer(Timer.LINGER, 60.0)]
    assert life.state == "attached"

    assert Close() in life.happen(Elapsed(at(62), Timer.LINGER))
    assert life.story == ["attached 1", "ended 1 console-released"]
    assert not life.reason.retry.will_retry

    life.happen(Cleaned(at(63)))
    assert life.state == "absent"


def test_who_comes_back_in_time_finds_the_console_open() -> None:
    life = attached(Policy.ON_DEMAND)
    life.happen(Demand(at(2), GO))

    assert life.happen(Demand(at(3), COME)) == [ClearTimer(Timer.LINGER)]
    assert (life.state, life.story) == (State.ATTACHED, ["attached 1"])


def test_who_comes_while_the_console_is_let_go_gets_it_at_once() -> None:
    life = attached(Policy.ON_DEMAND)
    life.happen(Demand(at(2), GO), Elapsed(at(62), Timer.LINGER), Demand(at(62), COME))

    assert Open() in life.happen(Cleaned(at(63)))
    assert life.state == "opening"


def test_a_console_that_nobody_wants_any_more_once_it_is_open_is_let_go() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID), Demand(at(0), COME), Demand(at(1), GO), Elapsed(at(61), Timer.LINGER))
    assert life.state == "opening"

    assert Close() in life.happen(Opened(at(62), ID))
    assert life.story == ["attached 1", "ended 1 console-released"]


def test_a_console_that_nobody_wants_any_more_once_it_cannot_be_opened_is_left_alone() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), ID), Demand(at(0), COME), Demand(at(1), GO), Elapsed(at(61), Timer.LINGER))

    assert life.happen(OpenFailed(at(62), BUSY)) == []
    assert (life.state, life.story) == (State.ABSENT, [])


def test_a_console_that_is_held_always_does_not_linger() -> None:
    life = attached(Policy.ALWAYS)
    life.happen(Demand(at(2), GO), Elapsed(at(62), Timer.LINGER))

    assert (life.state, life.story) == (State.ATTACHED, ["attached 1"])


def test_nobody_is_waited_for_longer_than_the_linger() -> None:
    life = Life(Policy.ON_DEMAND)
    life.happen(Up(at(0), -1), Demand(at(1), COME), Demand(at(2), GO))
    assert life.state == "waiting"

    life.happen(Elapsed(at(62), Timer.LINGER))
    assert life.state == "absent"


# Reasons.


def test_an_end_says_when_the_console_is_asked_for_again() -> None:
    life = waiting_for()
    assert life.machine.waiting is not None
    assert (life.machine.waiting.retry.will_retry, life.machine.waiting.retry.after_s) == (True, 0.1)


def test_what_a_crash_would_leave_names_the_incarnation_that_was_attached() -> None:
    life = attached()
    life.happen(stopped(2), Started(at(2), NEXT_ID))

    life.happen(eof(3))

    (first, _) = [mark.record for mark in life.store.put if isinstance(mark.record, Ended)]
    assert isinstance(first, Ended)
    assert first.reason.console is not None
    assert (first.reason.cause, first.reason.console.incarnation) == (Cause.GUEST_DESTROYED, 1)


def test_since_is_when_the_state_began() -> None:
    life = attached()
    assert life.machine.since == at(1)
    life.happen(Noted(at(2), "paused"))
    assert life.machine.since == at(1)
    life.happen(eof(3))
    assert life.machine.since == at(3)
    assert at(3) - at(1) == 2 * SECOND
