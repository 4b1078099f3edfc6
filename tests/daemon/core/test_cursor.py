"""Readers that lag, and those that want to know when."""

from tests.harness.archived import Archived
from tests.harness.memory_store import MemoryStore
from tests.harness.records import HANDLE, append, note, unobserved
from virtmux.messages import Gap, MarkMessage, Time
from virtmux.records import rfc3339
from virtmux.wire import MAX_OUTPUT, Output, encode_output
from virtmuxd.core.archive import Page
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


def restarted(*, timed: bool = True) -> Archived:
    """The ring holds ten bytes since before the daemon started, and two more; the archive has eight of them."""
    bench = Archived(timed=timed)
    store = MemoryStore()
    store.append(b"0123456789", 1 * SECOND)
    bench.archive.end = (8, 1)
    bench.records = Sequence(HANDLE, store, unobserved, bench.archive)
    bench.records.append(b"ab", 2 * SECOND)
    return bench


def test_when_output_came_before_the_daemon_started_the_archive_knows_as_far_as_it_goes() -> None:
    bench = restarted()

    assert bench.take() is None
    assert (bench.archive.asked, bench.archive.timed) == ([((0, 1), (10, 1))], [True])
    bench.archive.answer(Page(encode_output(HANDLE, 0, b"0123"), 4, 1))
    assert bench.take() == Output(HANDLE, 0, b"0123")
    assert bench.take() is None
    assert bench.archive.asked[1:] == [((4, 1), (10, 1))]
    bench.archive.answer(Page(encode_output(HANDLE, 4, b"4567"), 8, 1))
    assert bench.take() == Output(HANDLE, 4, b"4567")

    assert [bench.take() for _ in range(5)] == [
        Time(HANDLE, 8, rfc3339(1 * SECOND)),
        Output(HANDLE, 8, b"89"),
        Time(HANDLE, 10, rfc3339(2 * SECOND)),
        Output(HANDLE, 10, b"ab"),
        None,
    ]
    assert len(bench.archive.asked) == 2


def test_what_the_archive_has_lost_is_told_with_the_time_that_the_ring_knows() -> None:
    bench = restarted()
    bench.take()
    bench.archive.answer()

    assert [bench.take() for _ in range(2)] == [Time(HANDLE, 0, rfc3339(1 * SECOND)), Output(HANDLE, 0, b"0123456789")]


def test_the_archive_is_not_asked_for_a_time_that_is_known_or_that_nobody_wants() -> None:
    untimed, known = restarted(timed=False), restarted()
    known.archive.end = (12, 1)
    known.cursor.begin(10, 1)

    assert untimed.take() == Output(HANDLE, 0, b"0123456789ab")
    assert known.take() == Time(HANDLE, 10, rfc3339(2 * SECOND))
    assert untimed.archive.asked == known.archive.asked == []


def test_output_of_one_time_is_given_no_further_than_the_next_mark_and_the_largest_frame() -> None:
    bench = Archived(timed=True)
    bench.records = Sequence(HANDLE, MemoryStore(), unobserved)
    for second, data in ((1, b"zz"), (2, b"aa")):
        bench.records.append(data, second * SECOND)
    bench.records.mark(note())
    for second, data in ((2, b"bb"), (3, bytes(MAX_OUTPUT + 1)), (4, b"")):
        bench.records.append(data, second * SECOND)

    assert [bench.take() for _ in range(9)] == [
        Time(HANDLE, 0, rfc3339(1 * SECOND)),
        Output(HANDLE, 0, b"zz"),
        Time(HANDLE, 2, rfc3339(2 * SECOND)),
        Output(HANDLE, 2, b"aa"),
        MarkMessage(HANDLE, 4, 1, note()),
        Output(HANDLE, 4, b"bb"),
        Time(HANDLE, 6, rfc3339(3 * SECOND)),
        Output(HANDLE, 6, bytes(MAX_OUTPUT)),
        Output(HANDLE, 6 + MAX_OUTPUT, bytes(1)),
    ]


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
