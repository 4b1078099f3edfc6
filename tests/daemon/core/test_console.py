"""A console as a whole: what is stored, what those who watch are told, and how clients come and go."""

import pytest

from tests.harness.consoles import RUNNING_ID, SECOND, START, Bench, Consoles
from tests.harness.life import BUSY
from tests.harness.memory_store import MemoryStore
from tests.harness.reading import Reader
from virtmux.messages import Gap, MarkMessage, State
from virtmux.people import Person
from virtmux.reasons import Cause, LibvirtEvent, Phase, Reason
from virtmux.records import Attached, Break, Ended, rfc3339
from virtmux.wire import Output
from virtmuxd.core.console import ConsoleKey, Destination, Naming, Place
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.effects import Open
from virtmuxd.core.events import (
    Cleaned,
    Elapsed,
    Failed,
    Noted,
    Opened,
    OpenFailed,
    Policy,
    Started,
    Stopped,
    Timer,
    Up,
)
from virtmuxd.core.evidence import Failure
from virtmuxd.core.inputs import SETTLE_FROM, Batch, Writer
from virtmuxd.core.roles import Wish

ALICE = Person(1, "alice", 1000, 4711)


def held(**facts: object) -> Bench:
    """A console that virtmux always holds, attached."""
    bench = Consoles(policy=Policy.ALWAYS).add()
    bench.attach()
    return bench


def place(bench: Bench) -> Place:
    position = bench.console.sequence.position
    return Place(Cursor(position.offset, position.mark, _unheard), Writer(_unheard), _not_evicted, who=ALICE)


def _not_evicted(reason: Reason) -> None:
    raise AssertionError(reason)


def _unheard() -> None:
    """These places only count."""


class Counting(Place):
    """A place that counts how often it is told who is there."""

    told = 0

    def tell_company(self) -> None:
        self.told += 1


def test_of_a_crowd_that_comes_and_goes_it_is_told_once_for_all_changes_of_a_moment() -> None:
    bench = Consoles().add()
    places = [Counting(Cursor(0, 1, _unheard), Writer(_unheard), _not_evicted, who=ALICE) for _ in range(100)]
    for each in places:
        bench.console.enter(each, bench.tick())
    told = sum(each.told for each in places)
    assert told == sum(range(32)), "each who came was told to all who were there, as long as they were few"
    ((seconds, tell),) = bench.later
    bench.later.clear()

    tell(bench.tick())

    assert (seconds, sum(each.told for each in places) - told) == (0.25, 100)
    for each in places[:50]:
        bench.console.leave(each, bench.tick())
    assert sum(each.told for each in places) - told == 100
    assert len(bench.later) == 1


# Recovery.


def _crashed_while_ending(*, told: bool) -> MemoryStore:
    """The store of a daemon that died between an end and its explanation."""
    bench = held()
    bench.output(b"bye")
    bench.happen(Failed(Failure(Phase.RECEIVE, bench.tick())))
    if told:
        bench.happen(Stopped(bench.tick(), LibvirtEvent("STOPPED", "CRASHED")))
    return bench.store.reopened()


def test_a_mark_that_a_crash_left_reserved_is_completed_from_what_was_saved() -> None:
    store = _crashed_while_ending(told=False)
    assert [mark.reserved for mark in store.found_marks()] == [False, True]

    bench = Consoles(policy=Policy.ALWAYS).add(store=store)

    last_end = bench.console.sequence.last_end
    assert last_end is not None
    assert (last_end.reason.cause, last_end.reason.offset, last_end.attachment) == (Cause.STREAM_ENDED, 3, 1)
    assert not any(mark.reserved for mark in store.reopened().found_marks())


def test_a_mark_that_was_complete_before_a_crash_stays_as_it_is() -> None:
    bench = Consoles(policy=Policy.ALWAYS).add(store=_crashed_while_ending(told=True))

    assert bench.console.sequence.last_end is not None
    assert bench.console.sequence.last_end.reason.cause is Cause.GUEST_CRASHED


def test_after_a_crash_a_reader_goes_on_exactly_where_it_was_with_a_break() -> None:
    before = held()
    reader = Reader(before.console.sequence, before.console.sequence.oldest)
    before.output(b"seen")
    reader.all()
    before.output(b"not seen")
    last = before.now

    after = Consoles(policy=Policy.ALWAYS).add(store=before.store.reopened())
    after.now = last + 10 * SECOND
    after.attach()

    records = Reader(after.console.sequence, reader.position).all()
    assert records[0] == Output(after.console.handle, 4, b"not seen")
    assert [type(each.record) for each in records[1:] if isinstance(each, MarkMessage)] == [Break, Attached]
    pause = records[1]
    assert isinstance(pause, MarkMessage)
    assert pause.record == Break(rfc3339(after.now), rfc3339(last), rfc3339(after.now))


def test_an_incarnation_keeps_its_number_over_a_restart_of_the_daemon() -> None:
    before = held()
    after = Consoles(policy=Policy.ALWAYS).add(store=before.store.reopened())
    after.attach()

    assert (before.console.id.incarnation, after.console.id.incarnation) == (1, 1)


def test_a_start_that_got_the_running_id_of_one_that_stopped_is_another_incarnation() -> None:
    before = held()
    before.stop()

    after = Consoles(policy=Policy.ALWAYS).add(store=before.store.reopened())
    after.attach()

    assert after.console.id.incarnation == 2


def test_a_clean_stop_is_recorded_with_the_time_until_which_the_console_was_held() -> None:
    bench = held()
    bench.console.close(START + 99)

    assert (bench.store.held_until, bench.store.stopped) == (START + 99, START + 99)


def test_until_when_the_console_was_held_is_when_it_ended() -> None:
    bench = held()
    bench.stop()
    end = bench.store.held_until
    bench.console.close(START + 99 * SECOND)

    assert end is not None
    assert bench.store.held_until == end < START + 99 * SECOND


def test_an_end_that_is_still_being_explained_at_a_clean_stop_is_told_with_what_is_known() -> None:
    bench = held()
    bench.happen(Failed(Failure(Phase.RECEIVE, bench.tick())))
    assert bench.console.machine.state is State.ENDING
    bench.console.close(bench.tick())

    end = bench.store.marks[-1]
    assert isinstance(end.record, Ended)
    assert (end.record.reason.cause, end.reserved) == (Cause.STREAM_ENDED, False)
    assert bench.told[-1].event == "ended"


# Input.


def test_input_reaches_the_attachment_and_its_end_rejects_the_rest() -> None:
    bench = held()
    somebody = place(bench)
    bench.console.enter(somebody, bench.tick())

    bench.console.type(somebody, 1, 0, b"ls\r")
    assert bench.input_waits == 1
    bench.stop("CRASHED")

    account = somebody.writer.account
    assert (account.rejected, account.cause) == (3, Cause.GUEST_CRASHED)


def test_an_attachment_that_ends_as_it_begins_takes_no_input() -> None:
    bench = Consoles().add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    somebody = place(bench)
    bench.console.enter(somebody, bench.tick())
    bench.console.leave(somebody, bench.tick())
    bench.happen(Elapsed(bench.tick(), Timer.LINGER))
    assert bench.console.machine.state == "opening"
    bench.happen(Opened(bench.tick(), RUNNING_ID))
    assert bench.console.machine.state == "ending"
    assert bench.store.held_until == bench.now

    bench.console.enter(somebody, bench.tick())
    bench.console.type(somebody, 1, 0, b"ls\r")

    account = somebody.writer.account
    assert (account.rejected, account.cause) == (3, Cause.CONSOLE_RELEASED)


# Places.


def test_the_first_to_come_opens_the_console_and_the_last_to_go_lets_it_go() -> None:
    bench = Consoles().add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    first, second = place(bench), place(bench)

    bench.console.enter(first, bench.tick())
    assert Open() in bench.commands
    bench.answer_open()
    bench.console.enter(second, bench.tick())
    assert bench.console.info().clients == 2

    bench.console.leave(first, bench.tick())
    bench.happen(Elapsed(bench.tick(), Timer.LINGER))
    assert bench.console.machine.state == "attached"

    bench.console.leave(second, bench.tick())
    bench.happen(Elapsed(bench.tick(), Timer.LINGER))
    assert bench.console.machine.state == "ending"


def test_an_answer_waits_until_it_is_decided_whether_the_console_can_be_had() -> None:
    bench = Consoles().add()
    answers: list[str] = []
    bench.console.when_decided(lambda: answers.append("absent"))
    bench.happen(Up(bench.tick(), RUNNING_ID))
    bench.console.enter(place(bench), bench.tick())
    bench.console.when_decided(lambda: answers.append("opened"))
    assert answers == ["absent"]

    bench.happen(OpenFailed(bench.tick(), BUSY))

    assert answers == ["absent", "opened"]
    assert bench.console.machine.waiting is not None
    assert bench.console.machine.waiting.cause is Cause.CONSOLE_BUSY


def test_a_console_that_vanished_is_retired_once_nobody_is_there() -> None:
    bench = Consoles().add()
    somebody = place(bench)
    bench.console.enter(somebody, bench.tick())

    bench.console.vanish(bench.tick())
    assert not bench.retired

    bench.console.leave(somebody, bench.tick())
    bench.happen(Elapsed(bench.tick(), Timer.LINGER))
    assert bench.retired


def test_a_console_that_vanishes_while_it_is_attached_is_told_of_once_that_is_over() -> None:
    bench = held()
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
    bench = held()
    reported: list[str] = []
    answers: list[str] = []
    monkeypatch.setattr(bench, "report_bug", lambda: reported.append("bug"))
    monkeypatch.setattr(bench.console.machine, "handle", lambda _: 1 // 0)

    bench.happen(Noted(bench.tick(), "paused"))
    bench.console.when_decided(lambda: answers.append("answered"))

    assert (reported, answers) == (["bug"], ["answered"])


# What is told and shown.


def test_those_who_watch_are_told_of_marks_and_of_waiting() -> None:
    bench = held()
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
    assert by_name["waiting"].reason is not None
    assert by_name["waiting"].reason.cause is Cause.GUEST_NOT_RUNNING
    assert (by_name["break"].since, by_name["break"].until) == (rfc3339(bench.now - SECOND), rfc3339(bench.now))
    assert [event.console.incarnation for event in bench.told] == [0, 1, 1, 1, 1, 2, 2]


def test_it_shows_how_it_stands() -> None:
    bench = held()
    bench.output(b"abc")
    info = bench.console.info()

    assert (info.state, info.running, info.attachment, info.last_end) == (State.ATTACHED, True, 1, None)
    assert (info.position, info.last_output) == (f"{bench.store.history}:3:2", rfc3339(bench.now))
    assert (info.id.domain, info.id.device, info.id.incarnation) == ("web1", "serial0", 1)

    bench.stop("SAVED")
    info = bench.console.info()

    assert (info.state, info.running, info.attachment) == (State.WAITING, False, None)
    assert info.last_end is not None
    assert info.last_end.cause is Cause.GUEST_SAVED
    assert info.since == rfc3339(bench.now)


def test_a_rename_keeps_the_history() -> None:
    bench = held()
    bench.output(b"abc")
    bench.console.naming.domain = "web2"
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
    bench.console.arrived(bench.tick(), 9, paused=False)

    bench.stop("MIGRATED")

    assert (bench.console.key, bench.console.naming.uri) == (key, THERE)
    assert consoles.relocated == [(former, key)]
    assert bench.departed
    assert there.commands == [Open()]
    bench.happen(Opened(bench.tick(), 9, since=START))
    bench.output(b"there")
    assert bench.console.sequence.end == len(b"here there")
    assert bench.console.id.uri == THERE


def test_a_console_whose_migration_fails_stays_and_can_go_later() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    bench, there, _ = leaving(consoles)

    bench.console.turned_back(bench.tick())
    bench.console.turned_back(bench.tick())
    bench.console.arrived(bench.tick(), 9, paused=False)
    bench.stop("MIGRATED")

    assert there.commands == []
    assert not bench.departed
    assert consoles.relocated == []


# Those who may no longer.


def evictable(bench: Bench) -> tuple[Place, list[Reason]]:
    ended: list[Reason] = []
    position = bench.console.sequence.position
    each = Place(Cursor(position.offset, position.mark, _unheard), Writer(_unheard), ended.append, who=ALICE)
    bench.console.enter(each, bench.tick())
    return each, ended


EVICTED = Reason(cause=Cause.EVICTED, text="evicted by uid 0", phase=Phase.SERVER, at=rfc3339(START))


def test_who_is_evicted_is_told_once_and_types_no_more() -> None:
    bench = held()
    typist, ended = evictable(bench)
    bystander, untouched = evictable(bench)
    bench.console.inputs.hold(held=True)
    bench.console.type(typist, 1, 0, b"rm -rf")

    bench.console.evict(typist, EVICTED, bench.tick())
    bench.console.evict(typist, EVICTED, bench.tick())

    assert (ended, untouched) == ([EVICTED], [])
    bench.console.inputs.hold(held=False)
    assert bench.console.inputs.take() is None
    assert bench.console.info().clients == 1
    bench.console.type(bystander, 1, 0, b"ls")
    assert bench.console.inputs.take() is not None


def test_who_waits_where_another_console_comes_with_its_guest_is_sent_away() -> None:
    bench = Consoles().add()
    first, first_ended = evictable(bench)
    _, second_ended = evictable(bench)

    bench.console.make_room(bench.tick())

    assert first_ended == second_ended
    assert [(reason.cause, "attach again" in reason.text) for reason in first_ended] == [(Cause.EVICTED, True)]
    assert bench.console.forsaken
    assert [event.event for event in bench.told][-1] == "vanished"
    bench.console.leave(first, bench.tick())  # its client is gone meanwhile


def test_who_loses_the_right_to_type_goes_on_watching() -> None:
    bench = held()
    typist, ended = evictable(bench)

    bench.console.enter(place(bench), bench.tick(), Wish(exclusive=True))
    bench.console.type(typist, 1, 0, b"ls")

    account = typist.writer.account
    assert (account.rejected, account.cause) == (2, Cause.ACCESS_DENIED)
    assert bench.console.info().clients == 2
    assert not ended


# Release.


def test_a_console_that_is_lent_is_not_retired_before_it_is_given_back() -> None:
    bench = held()
    bench.console.step_aside(bench.tick())
    bench.happen(Cleaned(bench.tick()), Stopped(bench.tick(), LibvirtEvent("STOPPED", "DESTROYED")))
    bench.console.vanish(bench.tick())
    assert not bench.retired

    bench.console.step_back(bench.tick())
    assert bench.retired


def test_a_released_console_is_so_for_the_next_daemon_too() -> None:
    bench = held()
    bench.console.release(bench.tick(), None)

    assert bench.store.released_until is not None
    assert bench.console.info().released == "until-reclaimed"
    again = Consoles(policy=Policy.ALWAYS).add(store=bench.store.reopened())
    again.happen(Up(again.tick(), RUNNING_ID))
    assert Open() not in again.commands
    assert again.console.info().released == "until-reclaimed"

    again.console.reclaim(again.tick())
    assert Open() in again.commands
    assert again.console.info().released is None


def test_a_console_says_until_when_it_is_released() -> None:
    bench = held()
    bench.console.release(bench.tick(), START + 60 * SECOND)
    assert bench.console.info().released == rfc3339(START + 60 * SECOND)

    bench.console.step_aside(bench.tick())
    assert bench.console.info().released == "while-in-use"
    bench.console.step_back(bench.tick())
    assert bench.console.info().released == rfc3339(START + 60 * SECOND)


def test_cleaning_up_late_changes_nothing() -> None:
    bench = held()
    bench.stop()
    story = [event.event for event in bench.told]

    bench.happen(Cleaned(bench.tick()))

    assert [event.event for event in bench.told] == story


# The fate of keystrokes.


def type_some(bench: Bench, typist: Place, count: int) -> None:
    """Type some keystrokes, which are sent, each by itself."""
    for _ in range(count):
        bench.console.type(typist, 1, typist.writer.account.received, b"x")
        batch = bench.console.inputs.take()
        assert batch is not None
        assert not batch.fence
        bench.console.sent(batch, bench.tick())


def test_who_ceases_to_type_has_a_fence_asked_for_and_nobody_before() -> None:
    bench = held()
    typist, _ = evictable(bench)
    type_some(bench, typist, SETTLE_FROM - 1)
    assert bench.later == []

    type_some(bench, typist, 2)
    for _ in range(3):
        ((_, settle),) = bench.later
        bench.later.clear()
        type_some(bench, typist, 1)
        settle(bench.tick())
        assert not bench.console.inputs.waiting

    ((_, settle),) = bench.later
    bench.later.clear()
    settle(bench.tick())
    batch = bench.console.inputs.take()
    assert (batch, bench.later) == (Batch(1, (), fence=True), [])


def test_who_never_ceases_to_type_has_a_fence_now_and_then() -> None:
    bench = held()
    typist, _ = evictable(bench)
    type_some(bench, typist, SETTLE_FROM)
    looks = 0
    while not bench.console.inputs.waiting:
        ((_, settle),) = bench.later
        bench.later.clear()
        type_some(bench, typist, 1)
        settle(bench.tick())
        looks += 1
    assert looks == 10
    assert bench.later == []


def test_keystrokes_that_were_accepted_before_need_no_fence_any_more() -> None:
    bench = held()
    typist, _ = evictable(bench)
    type_some(bench, typist, SETTLE_FROM)
    bench.console.inputs.ask()
    batch = bench.console.inputs.take()
    assert batch is not None
    bench.console.sent(batch, bench.tick())

    ((_, settle),) = bench.later
    settle(bench.tick())

    assert (typist.writer.account.accepted, bench.console.inputs.waiting) == (SETTLE_FROM, False)


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
