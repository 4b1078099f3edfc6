"""Readers that lag, and those that want to know when."""

from tests.harness.archived import Archived
from tests.harness.memory_store import MemoryStore
from tests.harness.records import HANDLE, append, note, unobserved
from virtmux.messages import Gap, MarkMessage, Time
from virtmux.records import rfc3339
from virtmux.wire import Output
from virtmuxd.core.cursor import Cursor, Lag
from virtmuxd.core.sequence import Sequence

# Readers that lag.


SECOND = 10**9


def lagging(*, leaves: bool = False) -> Archived:
    return Archived(lag=Lag(100, 5 * SECOND, leaves))


def test_a_reader_that_lags_by_too_many_bytes_goes_on_half_of_the_limit_behind() -> None:
    bench = lagging()
    bench.records = Sequence(HANDLE, MemoryStore(), unobserved)
    append(bench.records, bytes(101))

    assert bench.take() == Gap(HANDLE, 0, 1, 51, 1)
    assert bench.take() == Output(HANDLE, 51, bytes(50))


def test_a_reader_that_lags_by_too_much_time_goes_on_half_of_the_limit_behind() -> None:
    bench = lagging()
    bench.records = Sequence(HANDLE, MemoryStore(), unobserved)
    for second in range(8):
        bench.records.append(b"x", (second + 1) * SECOND)

    assert bench.take() == Gap(HANDLE, 0, 1, 5, 1)


def test_a_reader_within_its_limits_gets_all() -> None:
    bench = lagging()
    bench.records = Sequence(HANDLE, MemoryStore(), unobserved)
    for second in range(6):
        bench.records.append(b"x", (second + 1) * SECOND)

    assert bench.take() == Output(HANDLE, 0, b"xxxxxx")


def test_a_reader_that_lags_too_far_is_given_every_mark() -> None:
    bench = lagging()
    bench.records = Sequence(HANDLE, MemoryStore(), unobserved)
    append(bench.records, bytes(10))
    bench.records.mark(note("one"))
    append(bench.records, bytes(200))
    bench.records.mark(note("two"))

    taken = [bench.take() for _ in range(5)]

    assert [type(each) for each in taken] == [Gap, MarkMessage, Gap, Output, MarkMessage]
    assert (bench.cursor.gaps, bench.cursor.missed, bench.cursor.delivered) == (2, 10 + 150, 50)


def test_what_a_reader_replays_is_no_lag() -> None:
    records = Sequence(HANDLE, MemoryStore(), unobserved)
    append(records, bytes(1000))
    cursor = Cursor(records.end, 1, lambda: None, lag=Lag(100, 5 * SECOND, leaves=True))
    cursor.begin(0, 1)

    assert records.too_slow(cursor) is None
    frame = records.take(cursor)
    assert frame is not None
    assert len(frame) > 1000


def test_a_reader_that_would_rather_leave_is_told_by_how_much_it_lags() -> None:
    bench = lagging(leaves=True)
    append(bench.records, bytes(100))
    assert bench.records.too_slow(bench.cursor) is None

    append(bench.records, bytes(1))

    assert bench.records.too_slow(bench.cursor) == (
        "101 bytes wait, the oldest for 0.0 s; at most 100 bytes or 5 s may"
    )


def test_a_reader_that_would_rather_leave_is_told_how_old_that_is_which_waits() -> None:
    bench = lagging(leaves=True)
    append(bench.records, b"taken")
    bench.take()
    for second in range(8):
        bench.records.append(b"x", (second + 1) * SECOND)

    assert bench.records.too_slow(bench.cursor) == ("8 bytes wait, the oldest for 7.0 s; at most 100 bytes or 5 s may")


def test_a_reader_for_whom_a_thousand_marks_wait_has_to_leave() -> None:
    bench = Archived()
    for _ in range(999):
        bench.records.mark(note())
    assert bench.records.too_slow(bench.cursor) is None

    bench.records.mark(note())

    assert bench.records.too_slow(bench.cursor) == "1000 marks wait, and at most 1000 may"


# Readers that want to know when.


def test_a_timed_reader_is_told_when_output_came_where_that_changes() -> None:
    bench = Archived(timed=True)
    bench.records.append(b"ab", 1 * SECOND)
    bench.records.append(b"cd", 1 * SECOND + 1)
    bench.records.append(b"ef", 2 * SECOND)

    assert [bench.take() for _ in range(5)] == [
        Time(HANDLE, 0, rfc3339(1 * SECOND)),
        Output(HANDLE, 0, b"abcd"),
        Time(HANDLE, 4, rfc3339(2 * SECOND)),
        Output(HANDLE, 4, b"ef"),
        None,
    ]
