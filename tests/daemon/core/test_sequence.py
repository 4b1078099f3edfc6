"""The record sequence: what readers are given, in which order, at whatever pace they take it."""

from collections.abc import Callable

import pytest

from tests.harness.memory_store import MemoryStore
from tests.harness.reading import Reader
from tests.harness.records import HANDLE, append, ended, note, sequence, unobserved
from virtmux.messages import Gap, MarkMessage
from virtmux.reasons import Cause
from virtmux.records import Position
from virtmux.wire import MAX_OUTPUT, Output, encode_output
from virtmuxd.core.cursor import Cursor, Lag
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.store import MAX_MARKS

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
    Sequence(HANDLE, store, unobserved).reserve(ended(Cause.GUEST_CRASHED))

    found = store.reopened()
    records = Sequence(HANDLE, found, unobserved)

    assert records.last_end == ended(Cause.GUEST_CRASHED)
    assert [mark.reserved for mark in found.reopened().found_marks()] == [False]


def test_the_number_of_a_mark_that_could_not_be_stored_is_not_used_again() -> None:
    store = MemoryStore()
    records = Sequence(HANDLE, store, unobserved)
    records.mark(note())
    found = store.reopened()
    found.next_mark = 3

    again = Sequence(HANDLE, found, unobserved)

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


def test_a_reader_that_had_all_there_was_is_given_all_that_arrived_together_however_far_it_may_lag() -> None:
    records = sequence()
    taken: list[bytes | None] = []
    cursor = Cursor(0, 1, lambda: taken.append(records.take(cursor)), lag=Lag(100, 1, leaves=False))
    records.park(cursor)

    append(records, bytes(101))

    assert taken == [encode_output(HANDLE, 0, bytes(101))]


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


# Those who look back, or write down.


def test_what_is_held_is_put_together_from_the_pieces_in_which_the_store_has_it() -> None:
    class Pieces(MemoryStore):
        def read(self, offset: int, size: int) -> bytes:
            return super().read(offset, min(size, 3))

    records = Sequence(HANDLE, Pieces(), unobserved)
    append(records, b"0123456789")

    assert (records.held(0, 10), records.held(2, 7), records.held(5, 5)) == (b"0123456789", b"23456", b"")


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
