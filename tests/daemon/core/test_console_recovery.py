"""A console over a restart of the daemon: after a crash, and after a stop in order."""

from tests.harness.consoles import SECOND, START, Consoles, always, held
from tests.harness.memory_store import MemoryStore
from tests.harness.reading import Reader
from virtmux.messages import MarkMessage, State
from virtmux.reasons import Cause, LibvirtEvent, Phase
from virtmux.records import Attached, Break, Ended, rfc3339
from virtmux.wire import Output
from virtmuxd.core.events import (
    Failed,
    Policy,
    Stopped,
)
from virtmuxd.core.evidence import Failure


def _crashed_while_ending(*, told: bool) -> MemoryStore:
    """The store of a daemon that died between an end and its explanation."""
    bench = held(always())
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
    before = held(always())
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
    before = held(always())
    after = Consoles(policy=Policy.ALWAYS).add(store=before.store.reopened())
    after.attach()

    assert (before.console.id.incarnation, after.console.id.incarnation) == (1, 1)


def test_a_start_that_got_the_running_id_of_one_that_stopped_is_another_incarnation() -> None:
    before = held(always())
    before.stop()

    after = Consoles(policy=Policy.ALWAYS).add(store=before.store.reopened())
    after.attach()

    assert after.console.id.incarnation == 2


def test_a_clean_stop_is_recorded_with_the_time_until_which_the_console_was_held() -> None:
    bench = held(always())
    bench.console.close(START + 99)

    assert (bench.store.held_until, bench.store.stopped) == (START + 99, START + 99)


def test_until_when_the_console_was_held_is_when_it_ended() -> None:
    bench = held(always())
    bench.stop()
    end = bench.store.held_until
    bench.console.close(START + 99 * SECOND)

    assert end is not None
    assert bench.store.held_until == end < START + 99 * SECOND


def test_an_end_that_is_still_being_explained_at_a_clean_stop_is_told_with_what_is_known() -> None:
    bench = held(always())
    bench.happen(Failed(Failure(Phase.RECEIVE, bench.tick())))
    assert bench.console.machine.state is State.ENDING
    bench.console.close(bench.tick())

    end = bench.store.marks[-1]
    assert isinstance(end.record, Ended)
    assert (end.record.reason.cause, end.reserved) == (Cause.STREAM_ENDED, False)
    assert bench.told[-1].event == "ended"
