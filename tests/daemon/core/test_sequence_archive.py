"""The record sequence where the store holds no more: the archive, and what is forgotten."""

from tests.harness.archived import Archived
from tests.harness.memory_store import MemoryStore
from tests.harness.reading import Reader
from tests.harness.records import HANDLE, append, ended, note, sequence, unobserved
from virtmux.messages import Gap, MarkMessage
from virtmux.reasons import Cause
from virtmux.records import Position
from virtmux.wire import Output, encode_output
from virtmuxd.core.archive import Page
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.store import MAX_MARKS


def page(offset: int, data: bytes, mark: int = 1) -> Page:
    return Page(encode_output(HANDLE, offset, data), offset + len(data), mark)


def test_what_the_ring_holds_no_more_comes_from_the_archive_and_then_from_the_ring() -> None:
    bench = Archived()
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
    bench = Archived()
    append(bench.records, b"0123456789abcdefghij")

    assert bench.take() is None
    assert bench.cursor.fetching
    append(bench.records, b"more")

    assert (bench.take(), bench.woken, len(bench.archive.asked)) == (None, 0, 1)


def test_what_the_archive_does_not_have_either_is_a_gap() -> None:
    bench = Archived()
    append(bench.records, b"0123456789abcdefghij")

    bench.take()
    bench.archive.answer(page(0, b"0123"))
    assert bench.take() == Output(HANDLE, 0, b"0123")
    assert bench.take() is None
    bench.archive.answer()

    assert bench.take() == Gap(HANDLE, 4, 1, 10, 1)
    assert bench.take() == Output(HANDLE, 10, b"abcdefghij")


def test_what_the_archive_got_since_it_had_nothing_is_no_gap() -> None:
    bench = Archived()
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
    bench = Archived()
    append(bench.records, b"01234")
    bench.records.mark(note())
    append(bench.records, b"56789abcdefghij")

    bench.take()

    assert bench.archive.asked == [((0, 1), (5, 1))]


def test_marks_that_are_forgotten_here_come_from_the_archive() -> None:
    bench = Archived()
    for _ in range(MAX_MARKS + 2):
        append(bench.records, b"x")
        bench.records.mark(note())

    bench.take()

    assert bench.archive.asked == [((0, 1), (3, 3))]


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
    records = Sequence(HANDLE, store, unobserved)
    records.mark(note("secret"))
    append(records, b"secret")
    records.reserve(ended())

    records.forget()
    found = Sequence(HANDLE, store.reopened(), unobserved)

    assert found.last_end == ended()
    assert found.nearest == Position(store.history, 6, 2)


def test_the_archive_is_told_what_is_forgotten_and_no_more() -> None:
    bench = Archived()
    append(bench.records, b"secret")
    bench.records.reserve(ended())
    append(bench.records, b"too")

    bench.records.forget()

    assert (bench.archive.oldest, bench.archive.forgotten_output) == ((6, 1), 9)
