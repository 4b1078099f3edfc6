"""The record sequence: what readers are given, in which order, at whatever pace they take it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tests.harness.memory_store import MemoryStore
from tests.harness.reading import Reader, Reading, Readings
from virtmux.messages import Gap, MarkMessage, Time, decode_server_message
from virtmux.reasons import Cause, Phase, Reason
from virtmux.records import Ended, Note, Position, rfc3339
from virtmux.wire import MAX_OUTPUT, MESSAGE, OUTPUT, Decoder, Message, Output, encode_output
from virtmuxd.core.archive import Page, Point, Sought
from virtmuxd.core.cursor import Cursor, Lag
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.store import MAX_MARKS, StoredMark

AT = "2026-01-31T12:00:00.000000Z"
HANDLE = 7


def note(text: str = "rebooted") -> Note:
    return Note(AT, text)


def ended(cause: Cause = Cause.STREAM_ENDED) -> Ended:
    return Ended(AT, 1, Reason(cause=cause, text="", phase=Phase.RECEIVE, at=AT))


def sequence(capacity: int = 1 << 20) -> Sequence:
    return Sequence(HANDLE, MemoryStore(capacity), _unobserved)


def _unobserved(_mark: StoredMark) -> None:
    """Most tests look at what readers get."""


def append(records: Sequence, data: bytes) -> None:
    records.append(data, 1)
    records.publish()


# Taking.


def test_a_reader_at_the_end_has_nothing_to_take() -> None:
    assert Reader(sequence()).take() is None


def test_a_reader_gets_the_bytes_that_were_appended() -> None:
    records = sequence()
    reader = Reader(records)

    append(records, b"login: ")

    assert reader.take() == Output(HANDLE, 0, b"login: ")
    assert reader.take() is None


def test_what_arrived_together_leaves_together() -> None:
    records = sequence()
    reader = Reader(records)

    records.append(b"log", 1)
    records.append(b"in: ", 1)
    records.publish()

    assert reader.take() == Output(HANDLE, 0, b"login: ")


def test_a_reader_that_lags_gets_pieces_of_the_largest_size_of_a_frame() -> None:
    records = sequence()
    reader = Reader(records)

    append(records, bytes(2 * MAX_OUTPUT + 1))

    assert reader.sizes() == [MAX_OUTPUT, MAX_OUTPUT, 1]


def test_a_mark_comes_before_the_byte_at_its_offset() -> None:
    records = sequence()
    reader = Reader(records)
    append(records, b"before")
    records.mark(note())
    append(records, b"behind")

    assert reader.all() == [
        Output(HANDLE, 0, b"before"),
        MarkMessage(HANDLE, 6, 1, note()),
        Output(HANDLE, 6, b"behind"),
    ]


def test_marks_at_one_offset_come_in_their_order() -> None:
    records = sequence()
    reader = Reader(records)
    for text in "abc":
        records.mark(note(text))

    assert reader.all() == [MarkMessage(HANDLE, 0, number, note(text)) for number, text in enumerate("abc", 1)]


def test_readers_hold_in_front_of_a_reserved_mark_until_it_is_complete() -> None:
    records = sequence()
    reader = Reader(records)
    append(records, b"before")
    mark = records.reserve(ended())
    append(records, b"behind")
    records.mark(note())
    assert reader.all() == [Output(HANDLE, 0, b"before")]

    records.complete(mark, ended(Cause.GUEST_CRASHED))

    assert reader.all() == [
        MarkMessage(HANDLE, 6, 1, ended(Cause.GUEST_CRASHED)),
        Output(HANDLE, 6, b"behind"),
        MarkMessage(HANDLE, 12, 2, note()),
    ]


def test_a_mark_that_a_crash_left_reserved_is_completed_from_what_was_saved() -> None:
    store = MemoryStore()
    Sequence(HANDLE, store, _unobserved).reserve(ended(Cause.GUEST_CRASHED))

    found = store.reopened()
    records = Sequence(HANDLE, found, _unobserved)
    records.recover()

    assert records.last_end == ended(Cause.GUEST_CRASHED)
    assert [mark.reserved for mark in found.reopened().found_marks()] == [False]


def test_the_number_of_a_mark_that_could_not_be_stored_is_not_used_again() -> None:
    store = MemoryStore()
    records = Sequence(HANDLE, store, _unobserved)
    records.mark(note())
    found = store.reopened()
    found.next_mark = 3

    again = Sequence(HANDLE, found, _unobserved)

    assert again.position.mark == 3
    reader = Reader(again, Position(found.history, 0, 1))
    assert reader.all() == [Gap(HANDLE, 0, 1, 0, 3)]


def test_the_last_end_is_the_last_that_is_complete() -> None:
    records = sequence()
    records.mark(ended(Cause.GUEST_SHUTDOWN))
    records.mark(note())
    records.reserve(ended(Cause.STREAM_ENDED))

    assert records.last_end == ended(Cause.GUEST_SHUTDOWN)


def test_a_mark_is_observed_once_it_is_final() -> None:
    seen: list[tuple[int, object]] = []
    records = Sequence(HANDLE, MemoryStore(), lambda mark: seen.append((mark.number, mark.record)))

    mark = records.reserve(ended())
    records.mark(note())
    records.complete(mark, ended(Cause.GUEST_CRASHED))

    assert seen == [(2, note()), (1, ended(Cause.GUEST_CRASHED))]


# Gaps.


def test_a_reader_is_told_which_bytes_it_missed() -> None:
    records = sequence(capacity=10)
    reader = Reader(records)

    append(records, b"0123456789abcde")

    assert reader.all() == [Gap(HANDLE, 0, 1, 5, 1), Output(HANDLE, 5, b"56789abcde")]


def test_a_mark_among_missing_bytes_is_still_given() -> None:
    records = sequence(capacity=4)
    reader = Reader(records)
    append(records, b"abc")
    records.mark(note())
    append(records, b"defghij")

    assert reader.all() == [
        Gap(HANDLE, 0, 1, 3, 1),
        MarkMessage(HANDLE, 3, 1, note()),
        Gap(HANDLE, 3, 2, 6, 2),
        Output(HANDLE, 6, b"ghij"),
    ]


def test_a_reader_is_told_which_marks_it_missed() -> None:
    records = sequence()
    reader = Reader(records)
    append(records, b"x")

    for _ in range(MAX_MARKS + 3):
        records.mark(note())

    frames = reader.all()
    assert frames[0] == Gap(HANDLE, 0, 1, 0, 4)
    assert frames[1] == Output(HANDLE, 0, b"x")
    assert [frame.mark for frame in frames[2:] if isinstance(frame, MarkMessage)] == list(range(4, MAX_MARKS + 4))


# Waking and sharing.


def test_a_parked_reader_is_woken_once_for_all_that_arrived_together() -> None:
    records = sequence()
    woken: list[str] = []
    cursor = Cursor(0, 1, lambda: woken.append("woken"))
    records.park(cursor)

    records.append(b"a", 1)
    records.append(b"b", 1)
    assert woken == []
    records.publish()
    records.publish()

    assert woken == ["woken"]


@pytest.mark.parametrize(
    "happen",
    [
        lambda records: records.mark(note()),
        lambda records: records.complete(records.reserve(ended()), ended()),
    ],
    ids=["mark", "completion"],
)
def test_marks_wake_parked_readers(happen: Callable[[Sequence], object]) -> None:
    records = sequence()
    woken: list[str] = []
    records.park(Cursor(0, 1, lambda: woken.append("woken")))

    happen(records)

    assert woken == ["woken"]


def test_a_reader_that_left_is_not_woken() -> None:
    records = sequence()
    cursor = Cursor(0, 1, pytest.fail)
    records.park(cursor)

    records.leave(cursor)

    append(records, b"x")


def test_a_reader_may_park_again_while_it_is_woken() -> None:
    records = sequence()
    woken: list[int] = []

    def wake() -> None:
        woken.append(len(woken))
        records.park(cursor)

    cursor = Cursor(0, 1, wake)
    records.park(cursor)

    append(records, b"a")
    append(records, b"b")

    assert woken == [0, 1]


def test_readers_that_are_level_are_given_the_very_same_frame() -> None:
    records = sequence()
    frames: list[bytes | None] = []

    def reader(offset: int) -> Cursor:
        cursor = Cursor(offset, 1, lambda: frames.append(records.take(cursor)))
        return cursor

    append(records, b"old")
    for _ in range(3):
        records.park(reader(3))

    append(records, b"new")

    assert len(frames) == 3
    assert frames[0] is frames[1] is frames[2]


def test_a_frame_is_not_shared_with_a_later_publish() -> None:
    records = sequence()
    level, late = Reader(records), Reader(records)
    append(records, b"a")
    assert level.take() == Output(HANDLE, 0, b"a")
    append(records, b"b")

    assert late.take() == Output(HANDLE, 0, b"ab")


# Offers.


def idle(records: Sequence) -> Reader:
    """A reader that has all there is, and takes what it is offered."""
    reader = Reader(records)
    assert reader.take() is None
    reader.idle = True
    return reader


def test_a_reader_that_waits_for_nothing_else_is_offered_what_comes() -> None:
    records = sequence()
    reader = idle(records)

    append(records, b"login: ")
    append(records, b"root")

    assert reader.offered == [Output(HANDLE, 0, b"login: "), Output(HANDLE, 7, b"root")]
    assert reader.take() is None


def test_a_reader_that_declines_comes_for_it() -> None:
    records = sequence()
    reader = idle(records)
    reader.idle = False

    append(records, b"login: ")

    assert (reader.offered, reader.take()) == ([], Output(HANDLE, 0, b"login: "))


def test_a_reader_is_offered_one_frame_and_comes_for_the_others() -> None:
    records = sequence()
    reader = idle(records)

    append(records, bytes(MAX_OUTPUT + 1))

    assert reader.offered == [Output(HANDLE, 0, bytes(MAX_OUTPUT))]
    assert reader.take() == Output(HANDLE, MAX_OUTPUT, bytes(1))


def test_what_was_overwritten_before_it_was_published_is_a_gap_and_offered_to_nobody() -> None:
    records = sequence(8)
    reader = idle(records)

    append(records, b"0123456789")

    assert reader.offered == []
    assert reader.all() == [Gap(HANDLE, 0, 1, 2, 1), Output(HANDLE, 2, b"23456789")]


def test_a_reader_with_a_mark_before_it_is_offered_nothing() -> None:
    records = sequence()
    reader = idle(records)

    append(records, b"before")
    reader.idle = False
    records.mark(ended())
    reader.idle = True
    append(records, b"behind")
    assert reader.offered == [Output(HANDLE, 0, b"before")]
    assert [type(each) for each in reader.all()] == [MarkMessage, Output]


def test_a_reader_is_offered_nothing_that_is_beyond_the_rate() -> None:
    records = sequence()
    records.limit(10)
    reader = idle(records)

    append(records, b"0123456789")
    records.append(b"abcdefghijklmnopqrstuvwxyz", at=1)
    records.publish()
    records.let_out(10**12)

    assert reader.offered == [Output(HANDLE, 0, b"0123456789")]
    assert [type(each) for each in reader.all()] == [Gap, Output]


def test_a_reader_that_is_told_the_time_is_offered_nothing() -> None:
    records = sequence()
    reader = Reader(records, timed=True)
    assert reader.take() is None
    reader.idle = True

    append(records, b"login: ")

    assert (reader.offered, reader.take()) == ([], Output(HANDLE, 0, b"login: "))
    assert len(reader.times) == 1


# Positions.


def test_positions_count_on_over_a_restart() -> None:
    store = MemoryStore()
    records = Sequence(HANDLE, store, _unobserved)
    append(records, b"login: ")
    records.mark(note())
    before = records.position

    again = Sequence(HANDLE + 1, store.reopened(), _unobserved)

    assert again.position == before == Position(store.history, 7, 2)


def _settling() -> Sequence:
    """Bytes `aabb`, with marks 1 and 2 at 0, 3 at 2, 4 at 4."""
    records = sequence()
    records.mark(note())
    records.mark(note())
    append(records, b"aa")
    records.mark(note())
    append(records, b"bb")
    records.mark(note())
    return records


@pytest.mark.parametrize(
    ("offset", "mark", "expected"),
    [
        (0, 1, 1), (0, 2, 2), (0, 3, 3),  # all of them can stand there
        (2, 3, 3), (2, 4, 4), (4, 4, 4), (4, 5, 5),
        (0, 0, 1), (1, 0, 3), (2, 0, 3), (3, 0, 4), (4, 0, 4),  # from an offset alone
        (2, 1, 3), (4, 2, 4),  # marks that stand before the offset
        (0, 5, 3), (1, 4, 3),  # marks that stand behind it
    ],
)  # fmt: skip
def test_a_position_means_the_mark_that_comes_next_at_its_offset(offset: int, mark: int, expected: int) -> None:
    records = _settling()
    history = records.position.history

    assert records.align(Position(history, offset, mark)) == Position(history, offset, expected)


def test_a_position_before_the_marks_that_are_held_says_which_were_missed() -> None:
    records = sequence()
    append(records, b"x")
    for _ in range(MAX_MARKS + 3):
        records.mark(note())
    history = records.position.history

    assert records.align(Position(history, 0, 2)) == Position(history, 0, 2)
    assert records.align(Position(history, 1, 2)) == Position(history, 1, 2)


def test_a_position_that_never_was_means_one_that_is() -> None:
    records = sequence()
    for _ in range(MAX_MARKS + 3):
        records.mark(note())
    append(records, b"x")
    history = records.position.history

    assert records.align(Position(history, 1, 2)) == records.position


@pytest.mark.parametrize(("offset", "mark"), [(5, 5), (4, 6)])
def test_a_position_ahead_of_the_records_is_refused(offset: int, mark: int) -> None:
    records = _settling()

    with pytest.raises(ValueError, match="ahead"):
        records.align(Position(records.position.history, offset, mark))


def test_the_oldest_position_is_where_the_oldest_record_that_is_held_stands() -> None:
    records = sequence(capacity=4)
    assert records.oldest == records.position
    append(records, b"abc")
    records.mark(note())
    append(records, b"defghij")

    assert Reader(records, records.oldest).all() == [
        MarkMessage(HANDLE, 3, 1, note()),
        Gap(HANDLE, 3, 2, 6, 2),
        Output(HANDLE, 6, b"ghij"),
    ]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["mark", "byte", "many marks"]), max_size=30), st.data())
def test_a_reader_that_starts_at_any_settled_position_gets_records_that_follow_on(
    happen: list[str], data: st.DataObject
) -> None:
    records = sequence(capacity=3)
    for each in happen:
        if each == "byte":
            append(records, b"x")
        for _ in range({"byte": 0, "mark": 1, "many marks": MAX_MARKS // 3}[each]):
            records.mark(note())
    here = records.position
    asked = Position(here.history, data.draw(st.integers(0, here.offset)), data.draw(st.integers(0, here.mark)))

    reader = Reader(records, records.align(asked))
    reader.all()  # the reader checks that everything follows on

    assert reader.position == here
    assert records.align(records.align(asked)) == records.align(asked)


# Everything at once, against a plain list.


class Readers(Readings):
    """Appends, marks, reservations and completions; readers that come, go back and take at random paces."""

    def __init__(self) -> None:
        super().__init__(sequence(capacity=50))
        self.reserved: dict[int, StoredMark] = {}

    @rule(size=st.integers(1, 70))
    def output_arrives(self, size: int) -> None:
        data = bytes((len(self.output) + number) % 251 for number in range(size))
        self.output += data
        append(self.records, data)

    @rule(count=st.sampled_from([1, 1, 1, 2, MAX_MARKS // 2]))
    def marks_are_made(self, count: int) -> None:
        for _ in range(count):
            self.marks.append((len(self.output), f"mark {len(self.marks)}"))
            self.records.mark(note(self.marks[-1][1]))

    @rule()
    def a_mark_is_reserved(self) -> None:
        self.marks.append((len(self.output), "provisional"))
        self.reserved[len(self.marks)] = self.records.reserve(note("provisional"))

    @precondition(lambda self: self.reserved)
    @rule(data=st.data())
    def a_mark_is_completed(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.reserved)))
        self.marks[number - 1] = (self.marks[number - 1][0], f"completed {number}")
        self.records.complete(self.reserved.pop(number), note(f"completed {number}"))

    @rule()
    def a_reader_comes(self) -> None:
        if len(self.readings) < 4:
            self.readings.append(Reading(Reader(self.records), self.records.position))

    @invariant()
    def a_mark_that_is_reserved_holds_readers_back(self) -> None:
        for reading in self.readings:
            first = max(reading.started.mark, self.records.oldest.mark)
            waiting = [number for number in self.reserved if number >= first]
            assert not waiting or reading.reader.position.mark <= min(waiting)

    def teardown(self) -> None:
        for number, mark in self.reserved.items():
            self.marks[number - 1] = (self.marks[number - 1][0], "late")
            self.records.complete(mark, note("late"))
        super().teardown()


Readers.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestReaders = Readers.TestCase


# The archive.


class ScriptedArchive:
    """Holds what a test puts into it, and answers when the test says so."""

    oldest: Point = (0, 1)
    end: Point = (0, 1)

    def __init__(self) -> None:
        self.asked: list[tuple[Point, Point]] = []
        self._waiting: list[Callable[[list[Page]], None]] = []

    def find(self, sought: Sought, give: Callable[[Point | None], None]) -> None:
        raise NotImplementedError

    def forget(self, point: Point, output: int) -> None:
        self.oldest = self.end = point
        self.forgotten_output = output

    def fetch(self, start: Point, stop: Point, *, timed: bool, give: Callable[[list[Page]], None]) -> None:
        assert not timed
        self.asked.append((start, stop))
        self._waiting.append(give)

    def answer(self, *pages: Page) -> None:
        self._waiting.pop(0)(list(pages))


class Bench:
    """A console of which the ring holds ten bytes, and one reader of it from its beginning."""

    def __init__(self, **options: Any) -> None:
        self.archive = ScriptedArchive()
        self.records = Sequence(HANDLE, MemoryStore(10), _unobserved, self.archive)
        self.woken = 0
        self.cursor = Cursor(0, 1, self._wake, **options)

    def _wake(self) -> None:
        self.woken += 1

    def take(self) -> Output | MarkMessage | Gap | Time | None:
        frame = self.records.take(self.cursor)
        if frame is None:
            return None
        (decoded,) = Decoder(frozenset({MESSAGE, OUTPUT})).feed(frame)
        taken = decode_server_message(decoded.payload) if isinstance(decoded, Message) else decoded
        assert isinstance(taken, Output | MarkMessage | Gap | Time)
        return taken


def page(offset: int, data: bytes, mark: int = 1) -> Page:
    return Page(encode_output(HANDLE, offset, data), offset + len(data), mark)


def test_what_the_ring_holds_no_more_comes_from_the_archive_and_then_from_the_ring() -> None:
    bench = Bench()
    append(bench.records, b"0123456789abcdefghij")

    assert bench.take() is None
    assert bench.archive.asked == [((0, 1), (10, 1))]
    bench.archive.answer(page(0, b"0123"), page(4, b"456789"))

    assert bench.woken == 1
    assert [bench.take() for _ in range(4)] == [
        Output(HANDLE, 0, b"0123"),
        Output(HANDLE, 4, b"456789"),
        Output(HANDLE, 10, b"abcdefghij"),
        None,
    ]


def test_a_reader_that_waits_for_the_archive_is_not_woken_by_what_comes() -> None:
    bench = Bench()
    append(bench.records, b"0123456789abcdefghij")

    assert bench.take() is None
    assert bench.cursor.fetching
    append(bench.records, b"more")

    assert (bench.take(), bench.woken, len(bench.archive.asked)) == (None, 0, 1)


def test_what_the_archive_does_not_have_either_is_a_gap() -> None:
    bench = Bench()
    append(bench.records, b"0123456789abcdefghij")

    bench.take()
    bench.archive.answer(page(0, b"0123"))
    assert bench.take() == Output(HANDLE, 0, b"0123")
    assert bench.take() is None
    bench.archive.answer()

    assert bench.take() == Gap(HANDLE, 4, 1, 10, 1)
    assert bench.take() == Output(HANDLE, 10, b"abcdefghij")


def test_what_the_archive_got_since_it_had_nothing_is_no_gap() -> None:
    bench = Bench()
    append(bench.records, b"0123456789abcdefghij")
    bench.take()
    append(bench.records, b"kl")
    bench.archive.answer()

    assert bench.take() == Gap(HANDLE, 0, 1, 10, 1)
    assert bench.take() is None
    assert bench.archive.asked[1:] == [((10, 1), (12, 1))]
    bench.archive.answer(page(10, b"ab"))
    assert [bench.take(), bench.take()] == [Output(HANDLE, 10, b"ab"), Output(HANDLE, 12, b"cdefghijkl")]


def test_bytes_are_asked_for_up_to_the_next_mark() -> None:
    bench = Bench()
    append(bench.records, b"01234")
    bench.records.mark(note())
    append(bench.records, b"56789abcdefghij")

    bench.take()

    assert bench.archive.asked == [((0, 1), (5, 1))]


def test_marks_that_are_forgotten_here_come_from_the_archive() -> None:
    bench = Bench()
    for _ in range(MAX_MARKS + 2):
        append(bench.records, b"x")
        bench.records.mark(note())

    bench.take()

    assert bench.archive.asked == [((0, 1), (3, 3))]


# Readers that lag.


SECOND = 10**9


def lagging(*, leaves: bool = False) -> Bench:
    return Bench(lag=Lag(100, 5 * SECOND, leaves))


def test_a_reader_that_lags_by_too_many_bytes_goes_on_half_of_the_limit_behind() -> None:
    bench = lagging()
    bench.records = Sequence(HANDLE, MemoryStore(), _unobserved)
    append(bench.records, bytes(101))

    assert bench.take() == Gap(HANDLE, 0, 1, 51, 1)
    assert bench.take() == Output(HANDLE, 51, bytes(50))


def test_a_reader_that_lags_by_too_much_time_goes_on_half_of_the_limit_behind() -> None:
    bench = lagging()
    bench.records = Sequence(HANDLE, MemoryStore(), _unobserved)
    for second in range(8):
        bench.records.append(b"x", (second + 1) * SECOND)

    assert bench.take() == Gap(HANDLE, 0, 1, 5, 1)


def test_a_reader_within_its_limits_gets_all() -> None:
    bench = lagging()
    bench.records = Sequence(HANDLE, MemoryStore(), _unobserved)
    for second in range(6):
        bench.records.append(b"x", (second + 1) * SECOND)

    assert bench.take() == Output(HANDLE, 0, b"xxxxxx")


def test_a_reader_that_lags_too_far_is_given_every_mark() -> None:
    bench = lagging()
    bench.records = Sequence(HANDLE, MemoryStore(), _unobserved)
    append(bench.records, bytes(10))
    bench.records.mark(note("one"))
    append(bench.records, bytes(200))
    bench.records.mark(note("two"))

    taken = [bench.take() for _ in range(5)]

    assert [type(each) for each in taken] == [Gap, MarkMessage, Gap, Output, MarkMessage]


def test_what_a_reader_replays_is_no_lag() -> None:
    records = Sequence(HANDLE, MemoryStore(), _unobserved)
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


def test_a_reader_for_whom_a_thousand_marks_wait_has_to_leave() -> None:
    bench = Bench()
    for _ in range(999):
        bench.records.mark(note())
    assert bench.records.too_slow(bench.cursor) is None

    bench.records.mark(note())

    assert bench.records.too_slow(bench.cursor) == "1000 marks wait, and at most 1000 may"


# Readers that want to know when.


def test_a_timed_reader_is_told_when_output_came_where_that_changes() -> None:
    bench = Bench(timed=True)
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


# Those who write down.


def test_a_recorder_is_called_at_each_publish_or_only_from_an_offset_on() -> None:
    records, called = sequence(), list[int]()
    records.record_at(0, lambda: called.append(records.end))
    append(records, b"a")
    records.record_at(3, lambda: called.append(records.end))
    append(records, b"b")
    append(records, b"c")
    records.record_at(0, None)
    append(records, b"d")

    assert called == [1, 3]


def test_marks_are_final_up_to_the_first_that_is_reserved() -> None:
    records = sequence()
    first = records.mark(note())
    reserved = records.reserve(ended())
    last = records.mark(note())
    assert records.final_marks(1) == [first]

    records.complete(reserved, ended())

    assert records.final_marks(2) == [reserved, last]


def test_what_is_forgotten_is_a_gap_to_readers_and_its_addresses_are_not_used_again() -> None:
    records = sequence()
    reader = Reader(records)
    append(records, b"secret")
    records.mark(note("secret"))

    records.forget()
    append(records, b"on")

    assert reader.all() == [Gap(HANDLE, 0, 1, 0, 2), Gap(HANDLE, 0, 2, 6, 2), Output(HANDLE, 6, b"on")]


def test_an_end_whose_reason_is_not_known_yet_is_not_forgotten() -> None:
    records = sequence()
    reader = Reader(records)
    records.mark(note("secret"))
    append(records, b"secret")
    reserved = records.reserve(ended())
    append(records, b"behind")
    last = records.mark(note())

    records.forget()
    assert reader.all() == [Gap(HANDLE, 0, 1, 0, 2), Gap(HANDLE, 0, 2, 6, 2)]
    records.complete(reserved, ended(Cause.GUEST_CRASHED))

    assert reader.all() == [
        MarkMessage(HANDLE, 6, 2, ended(Cause.GUEST_CRASHED)),
        Gap(HANDLE, 6, 3, 12, 3),
        MarkMessage(HANDLE, 12, 3, note()),
    ]
    assert records.final_marks(1) == [reserved, last]


def test_what_is_not_forgotten_is_found_in_the_store_after_a_crash() -> None:
    store = MemoryStore()
    records = Sequence(HANDLE, store, _unobserved)
    records.mark(note("secret"))
    append(records, b"secret")
    records.reserve(ended())

    records.forget()
    found = Sequence(HANDLE, store.reopened(), _unobserved)
    found.recover()

    assert found.last_end == ended()
    assert found.nearest == Position(store.history, 6, 2)


def test_the_archive_is_told_what_is_forgotten_and_no_more() -> None:
    bench = Bench()
    append(bench.records, b"secret")
    bench.records.reserve(ended())
    append(bench.records, b"too")

    bench.records.forget()

    assert (bench.archive.oldest, bench.archive.forgotten_output) == ((6, 1), 9)
