"""A console as a whole: what those who watch are told, and how it comes, goes and is let go."""

from dataclasses import replace

import pytest

from tests.harness.consoles import RUNNING_ID, SECOND, START, Bench, Consoles, always, held
from tests.harness.life import BUSY
from tests.harness.memory_store import MemoryStore
from tests.harness.placed import place
from tests.harness.reading import Reader
from virtmux.messages import Gap, State
from virtmux.reasons import Cause, LibvirtEvent
from virtmux.records import Ended, rfc3339
from virtmux.wire import Output
from virtmuxd.core.console_key import ConsoleKey, Naming
from virtmuxd.core.effects import Open
from virtmuxd.core.events import (
    Arrived,
    Cleaned,
    Elapsed,
    Incoming,
    Lent,
    Noted,
    Opened,
    OpenFailed,
    Policy,
    Reclaimed,
    Released,
    Started,
    Stopped,
    Timer,
    Up,
)
from virtmuxd.core.holder import Destination

# Whether it can be had, and whether it is there.


def test_an_answer_waits_until_it_is_decided_whether_the_console_can_be_had() -> None:
    bench = Consoles().add()
    answers: list[str] = []
    bench.console.when_decided(lambda: answers.append("absent"))
    bench.happen(Up(bench.tick(), RUNNING_ID))
    bench.console.company.enter(place(bench), bench.tick())
    bench.console.when_decided(lambda: answers.append("opened"))
    assert answers == ["absent"]

    bench.happen(OpenFailed(bench.tick(), BUSY))

    assert answers == ["absent", "opened"]
    assert bench.console.machine.waiting is not None
    assert bench.console.machine.waiting.cause is Cause.CONSOLE_BUSY


def test_a_console_that_vanished_is_retired_once_nobody_is_there() -> None:
    bench = Consoles().add()
    somebody = place(bench)
    bench.console.company.enter(somebody, bench.tick())

    bench.console.vanish(bench.tick())
    assert not bench.retired

    bench.console.company.leave(somebody, bench.tick())
    bench.happen(Elapsed(bench.tick(), Timer.LINGER))
    assert bench.retired


def test_a_console_that_vanishes_while_it_is_attached_is_told_of_once_that_is_over() -> None:
    bench = held(always())
    bench.console.vanish(bench.tick())
    assert [event.event for event in bench.told] == ["appeared", "attached"]

    bench.stop()

    assert [event.event for event in bench.told][2:] == ["ended", "waiting", "vanished"]


def test_a_console_that_is_back_appears_again() -> None:
    bench = Consoles().add()
    bench.console.vanish(bench.tick())

    assert bench.console.appear(bench.console.naming, bench.tick())
    assert not bench.console.appear(bench.console.naming, bench.tick())

    assert [event.event for event in bench.told] == ["appeared", "vanished", "appeared"]


def test_a_bug_is_reported_and_those_who_wait_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = held(always())
    reported: list[str] = []
    answers: list[str] = []
    monkeypatch.setattr(bench, "report_bug", lambda: reported.append("bug"))
    monkeypatch.setattr(bench.console.machine, "handle", lambda _: 1 // 0)

    bench.happen(Noted(bench.tick(), "paused"))
    bench.console.when_decided(lambda: answers.append("answered"))

    assert (reported, answers) == (["bug"], ["answered"])


def test_a_bug_in_concluding_an_end_is_reported_and_the_store_is_closed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = held(always())
    reported: list[str] = []
    monkeypatch.setattr(bench, "report_bug", lambda: reported.append("bug"))
    monkeypatch.setattr(bench.console.machine, "conclude", lambda: 1 // 0)

    bench.console.close(START + 99)

    assert (reported, bench.store.stopped) == (["bug"], START + 99)


# What is told and shown.


def test_those_who_watch_are_told_of_marks_and_of_waiting() -> None:
    bench = held(always())
    bench.output(b"abc")
    bench.happen(Noted(bench.tick(), "paused"))
    bench.stop("SAVED")
    bench.happen(Started(bench.tick(), RUNNING_ID + 1))
    bench.answer_open(RUNNING_ID + 1)

    assert [(event.event, event.mark, event.offset) for event in bench.told] == [
        ("appeared", None, 0),
        ("attached", 1, 0),
        ("note", 2, 3),
        ("ended", 3, 3),
        ("waiting", None, 3),
        ("break", 4, 3),
        ("attached", 5, 3),
    ]
    by_name = {event.event: event for event in bench.told}
    assert by_name["note"].note == "paused"
    assert by_name["ended"].reason is not None
    assert by_name["ended"].reason.cause is Cause.GUEST_SAVED
    assert by_name["ended"].reason.text == "guest web1 was saved"
    assert by_name["waiting"].reason is not None
    assert by_name["waiting"].reason.cause is Cause.GUEST_NOT_RUNNING
    assert (by_name["break"].since, by_name["break"].until) == (rfc3339(bench.now - SECOND), rfc3339(bench.now))
    assert [event.console.incarnation for event in bench.told] == [0, 1, 1, 1, 1, 2, 2]


def test_it_shows_how_it_stands() -> None:
    bench = held(always())
    bench.output(b"ab")
    bench.output(b"c")
    info = bench.console.info()

    assert (info.state, info.running, info.attachment, info.last_end) == (State.ATTACHED, True, 1, None)
    assert (info.paused, info.exclusive, bench.console.machine.exclusive) == (False, True, True)
    assert (info.position, info.last_output) == (f"{bench.store.history}:3:2", rfc3339(bench.now))
    assert (info.id.domain, info.id.device, info.id.incarnation) == ("web1", "serial0", 1)

    bench.stop("SAVED")
    info = bench.console.info()

    assert (info.state, info.running, info.attachment) == (State.WAITING, False, None)
    assert info.last_end is not None
    assert info.last_end.cause is Cause.GUEST_SAVED
    assert info.since == rfc3339(bench.now)


def test_an_event_that_is_no_mark_may_concern_a_span_of_output() -> None:
    bench = held(always())
    bench.output(b"abc")

    now, lost = bench.console.event("here", START), bench.console.event("lost", START, detail="why", span=(1, 2))

    assert (now.offset, now.to_offset, now.detail) == (3, None, None)
    assert (lost.event, lost.at, lost.offset, lost.to_offset, lost.detail) == ("lost", rfc3339(START), 1, 2, "why")


def test_a_rename_keeps_the_history() -> None:
    bench = held(always())
    bench.output(b"abc")
    bench.console.appear(replace(bench.console.naming, domain="web2"), bench.tick())
    bench.stop()

    last_end = bench.console.sequence.last_end
    assert isinstance(last_end, Ended)
    assert last_end.reason.console is not None
    assert last_end.reason.console.domain == "web2"
    assert bench.console.sequence.end == 3


# Migration.


THERE = "qemu+ssh://other/system"


def leaving(consoles: Consoles) -> tuple[Bench, Bench, ConsoleKey]:
    """A console whose guest is on its way to another hypervisor, who will hold it there, and its key there."""
    bench, there = consoles.add(), Bench(consoles.add("web9", uuid="other").console, MemoryStore())
    bench.attach()
    key = bench.console.key._replace(hypervisor="qemu/system/other")
    naming = Naming(THERE, "web1", "pty", 0)
    bench.console.expect(Destination(key, naming, there, lambda: None), bench.tick())
    return bench, there, key


def test_a_console_goes_with_its_guest_and_has_another_holder_there() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    bench, there, key = leaving(consoles)
    former = bench.console.key
    bench.output(b"here ")
    bench.happen(Arrived(bench.tick(), 9))

    bench.stop("MIGRATED")

    assert (bench.console.key, bench.console.naming.uri) == (key, THERE)
    assert consoles.relocated == [(former, key)]
    assert bench.departed
    assert there.commands == [Open()]
    bench.happen(Opened(bench.tick(), 9, since=START))
    bench.output(b"there")
    assert bench.console.sequence.end == len(b"here there")
    assert bench.console.id.uri == THERE


def test_a_console_goes_nowhere_where_nobody_said_where_to() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    bench = held(consoles)
    bench.happen(Incoming(bench.tick(), THERE), Arrived(bench.tick(), 9))
    bench.stop("MIGRATED")

    assert not bench.departed
    assert consoles.relocated == []


def test_a_console_whose_migration_fails_stays_and_can_go_later() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    bench, there, _ = leaving(consoles)

    bench.console.turned_back(bench.tick())
    bench.console.turned_back(bench.tick())
    bench.happen(Arrived(bench.tick(), 9))
    bench.stop("MIGRATED")

    assert there.commands == []
    assert not bench.departed
    assert consoles.relocated == []


# Release.


def test_a_console_that_is_lent_is_not_retired_before_it_is_given_back() -> None:
    bench = held(always())
    bench.happen(Lent(bench.tick(), lent=True))
    bench.happen(Cleaned(bench.tick()), Stopped(bench.tick(), LibvirtEvent("STOPPED", "DESTROYED")))
    bench.console.vanish(bench.tick())
    assert not bench.retired

    bench.happen(Lent(bench.tick(), lent=False))
    assert bench.retired


def test_a_released_console_is_so_for_the_next_daemon_too() -> None:
    bench = held(always())
    bench.happen(Released(bench.tick()))

    assert bench.store.released_until is not None
    assert bench.console.info().released == "until-reclaimed"
    again = Consoles(policy=Policy.ALWAYS).add(store=bench.store.reopened())
    again.happen(Up(again.tick(), RUNNING_ID))
    assert Open() not in again.commands
    assert again.console.info().released == "until-reclaimed"

    again.happen(Reclaimed(again.tick()))
    assert Open() in again.commands
    assert again.console.info().released is None


def test_a_console_says_until_when_it_is_released() -> None:
    bench = held(always())
    bench.happen(Released(bench.tick(), START + 60 * SECOND))
    assert bench.console.info().released == rfc3339(START + 60 * SECOND)

    bench.happen(Lent(bench.tick(), lent=True))
    assert bench.console.info().released == "while-in-use"
    bench.happen(Lent(bench.tick(), lent=False))
    assert bench.console.info().released == rfc3339(START + 60 * SECOND)


def test_cleaning_up_late_changes_nothing() -> None:
    bench = held(always())
    bench.stop()
    story = [event.event for event in bench.told]

    bench.happen(Cleaned(bench.tick()))

    assert [event.event for event in bench.told] == story


# What is let out live.


def test_output_beyond_the_limit_is_let_out_later_by_one_timer() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    consoles.registry.limit_delivery(1000)
    bench = consoles.add()
    bench.attach()
    reader = Reader(bench.console.sequence)
    bench.console.receive([bytes(5000)], bench.now)
    for _ in range(3):
        bench.console.receive([bytes(5000)], bench.now)
    assert [seconds for seconds, _ in bench.later] == [0.25]
    reader.all()

    _, let_out = bench.later.pop()
    let_out(bench.now + SECOND // 8)
    ((seconds, let_out),) = bench.later
    assert seconds == 0.125
    assert reader.take() is None
    let_out(bench.now + SECOND // 4)

    assert [type(each) for each in reader.all()] == [Gap, Output]
    assert len(bench.later) == 1


def test_the_limit_is_that_of_all_consoles_and_may_change() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    bench = consoles.add()
    bench.attach()
    consoles.registry.limit_delivery(1000)
    reader = Reader(bench.console.sequence)
    bench.output(bytes(5000))
    assert [type(each) for each in reader.all()] == [Gap, Output]

    consoles.registry.limit_delivery(0)
    bench.output(bytes(5000))
    assert reader.sizes() == [5000]


def test_a_console_that_is_closed_lets_nothing_out_any_more() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    consoles.registry.limit_delivery(1000)
    bench = consoles.add()
    bench.attach()
    for _ in range(2):
        bench.console.receive([bytes(5000)], bench.now)
    bench.console.close(bench.now)
    del bench.store.end

    bench.later[0][1](bench.tick())
