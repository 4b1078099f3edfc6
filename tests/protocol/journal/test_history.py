"""The records of a history: read from any position they are those that are held, and what is missing is named."""

import gc
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.journal_reading import ID, at, everything, only
from tests.harness.journal_writer import EPOCH, SECOND, JournalWriter
from virtmux.journal.entries import Marked
from virtmux.journal.history import MAX_MARKS, Incarnation, Missing
from virtmux.journal.segment import Piece
from virtmux.records import Attached, Note, rfc3339


@pytest.fixture
def writer(tmp_path: Path) -> JournalWriter:
    return JournalWriter(tmp_path)


def test_a_mark_comes_before_the_byte_at_its_offset_also_where_it_was_written_late(writer: JournalWriter) -> None:
    writer.begin()
    writer.batch(0, b"one two", [(4, 0), (3, 20)])
    writer.rotate()
    writer.begin(offset=7, mark=1)
    writer.mark(1, 4)
    history = only(writer.directory)

    records, after = history.read(history.oldest, 100)

    assert [record if isinstance(record, Piece) else record.offset for record in records] == [
        Piece(0, b"one ", ((4, EPOCH),)),
        4,
        Piece(4, b"two", ((3, EPOCH + 20_000_000),)),
    ]
    assert after == history.end == at(7, 2)


def test_bytes_that_are_lost_are_named_with_the_reason(writer: JournalWriter) -> None:
    writer.begin()
    writer.batch(0, b"one")
    writer.lost(3, 8, "the disk was full")
    writer.batch(8, b"two")
    history = only(writer.directory)

    assert everything(history, at(1, 1)) == [
        Piece(1, b"ne", ((2, EPOCH),)),
        Missing(3, 1, 8, 1, "the disk was full"),
        Piece(8, b"two", ((3, EPOCH),)),
    ]


def test_several_reasons_of_one_gap_are_all_named(writer: JournalWriter) -> None:
    writer.begin()
    for offset, to_offset, why in ((0, 4, "full"), (4, 6, "moved"), (6, 8, "full"), (8, 8, "appended to")):
        writer.lost(offset, to_offset, why)
    writer.batch(8, b"two")

    history = only(writer.directory)
    assert everything(history, at(0, 1))[0] == Missing(0, 1, 8, 1, "full; moved")
    assert everything(history, at(4, 1))[0] == Missing(4, 1, 8, 1, "moved; full")


def test_marks_without_their_bytes_are_held_with_gaps_around_them(writer: JournalWriter) -> None:
    writer.begin()
    writer.batch(0, b"lost")
    writer.mark(1, 2)
    writer.rotate()
    writer.begin(offset=4, mark=2)
    writer.batch(4, b"held")
    writer.log(0).unlink()
    history = only(writer.directory)

    records = everything(history, at(0, 1))

    assert [type(record) for record in records] == [Missing, Marked, Missing, Piece]
    assert history.oldest == at(2, 1)


def test_marks_that_are_missing_are_named_at_once(writer: JournalWriter) -> None:
    writer.begin(mark=3)
    writer.batch(0, b"bytes")
    writer.mark(3, 5)

    records = everything(only(writer.directory), at(0, 1))

    assert records[:2] == [Missing(0, 1, 0, 3, None), Piece(0, b"bytes", ((5, EPOCH),))]


def test_a_mark_that_stands_before_the_one_before_it_is_not_believed(writer: JournalWriter) -> None:
    writer.begin()
    writer.batch(0, b"0123456789")
    for number, offset in ((1, 5), (2, 3), (3, 7)):
        writer.mark(number, offset)

    records = everything(only(writer.directory), at(0, 1), size=100)

    assert [record.number for record in records if isinstance(record, Marked)] == [1, 3]
    assert [record for record in records if isinstance(record, Missing)] == [Missing(5, 2, 5, 3, None)]


def test_its_size_is_that_of_its_files(writer: JournalWriter) -> None:
    writer.begin()
    writer.batch(0, b"one")
    writer.rotate()
    writer.begin(offset=3)
    writer.mark(1, 3)

    assert only(writer.directory).size == sum(file.stat().st_size for file in writer.home.iterdir())


def test_where_nothing_more_is_held_nothing_is_given_and_the_end_is_known(writer: JournalWriter) -> None:
    writer.begin()
    writer.batch(0, b"one")
    writer.stopped(9, 4)
    history = only(writer.directory)

    assert everything(history, at(0, 1)) == [Piece(0, b"one", ((3, EPOCH),))]
    assert history.read(at(3, 1), 100) == ([], at(3, 1))
    assert history.end == at(9, 4)


def test_nothing_is_read_at_or_behind_the_given_end(writer: JournalWriter) -> None:
    writer.begin()
    writer.batch(0, b"0123456789")
    writer.mark(1, 5)
    writer.mark(2, 5)
    history = only(writer.directory)

    assert everything(history, at(0, 1), to=at(5, 1)) == [Piece(0, b"01234", ((5, EPOCH),))]
    assert len(everything(history, at(0, 1), to=at(5, 2))) == 2
    assert len(everything(history, at(0, 1), to=at(5, 3))) == 3
    assert history.read(at(7, 3), 9, to=at(2, 1)) == ([], at(7, 3))


def test_what_is_missing_before_the_given_end_is_not_named_where_nothing_is_held_before_it(
    writer: JournalWriter,
) -> None:
    writer.begin()
    writer.batch(0, b"one")
    writer.batch(4, b"two")
    history = only(writer.directory)

    assert history.read(at(3, 1), 9, to=at(4, 1)) == ([], at(3, 1))
    assert history.read(at(3, 1), 9, to=at(5, 1))[0][0] == Missing(3, 1, 4, 1, None)


def test_one_reading_gives_about_so_many_bytes_and_a_bounded_number_of_marks(writer: JournalWriter) -> None:
    writer.begin()
    writer.batch(0, b"x" * 100)
    for number in range(1, MAX_MARKS + 51):
        writer.mark(number, 50)
    history = only(writer.directory)

    assert [history.read(at(0, 1), size)[1] for size in (0, 1, 30)] == [at(0, 1), at(1, 1), at(30, 1)]
    records, after = history.read(at(50, 1), 30)
    assert (len(records), after) == (MAX_MARKS, at(50, MAX_MARKS + 1))


def test_a_position_made_from_an_offset_means_the_first_mark_there(writer: JournalWriter) -> None:
    writer.begin()
    writer.batch(0, b"0123456789")
    for number, offset in ((2, 3), (3, 3), (4, 8)):
        writer.mark(number, offset)
    history = only(writer.directory)

    assert [history.align(at(offset, 0)).mark for offset in (0, 3, 4, 8, 10)] == [2, 2, 4, 4, 5]
    assert history.align(at(2, 9)) == at(2, 2)
    assert history.align(at(0, 1)) == at(0, 1)  # the reader is told which marks it missed
    assert history.read(at(10, 5), 1)[1] == at(10, 5)


def test_what_it_tells_of_itself(writer: JournalWriter) -> None:
    writer.begin(domain="web1")
    for name in ("web2", "web1", "web3"):
        writer.renamed(name)
    writer.at += SECOND
    writer.batch(0, b"abc", [(1, 0), (2, 500)])
    before = only(writer.directory)
    writer.at += 9 * SECOND
    writer.rotate("the host was restarted without a clean stop")
    history = only(writer.directory)

    assert (history.id, history.hypervisor, history.uuid, history.device) == (ID, "qemu/system/h", "5f0f", "serial0")
    assert history.domains == ("web2", "web1", "web3")
    assert (history.began_at, history.ended_at) == (EPOCH, EPOCH + SECOND * 3 // 2)
    assert (before.closed, history.closed) == (None, "the host was restarted without a clean stop")


def test_the_starts_of_a_guest_are_where_it_was_attached_first(writer: JournalWriter) -> None:
    writer.begin(offset=10)
    writer.batch(10, b"x" * 30)
    time = rfc3339(EPOCH)
    for number, offset, incarnation in ((1, 10, 4), (2, 20, 4), (3, 30, 5)):
        writer.mark(number, offset, Attached(time, number, incarnation))

    assert only(writer.directory).incarnations() == [
        Incarnation(4, time, at(10, 1)),
        Incarnation(5, time, at(30, 3)),
    ]


@pytest.mark.parametrize(
    ("count", "not_before", "expected"),
    [(0, None, 14), (1, None, 11), (2, None, 4), (3, None, 0), (9, None, 0), (9, 6, 6), (1, 13, 13)],
)
def test_lines_are_counted_back_over_a_gap(
    writer: JournalWriter, count: int, not_before: int | None, expected: int
) -> None:
    writer.begin()
    writer.batch(0, b"one\ntw")
    writer.batch(9, b"o\nend")
    history = only(writer.directory)

    assert history.lines_back(count, None if not_before is None else at(not_before, 1)) == expected


def test_a_newline_begins_a_line_also_at_the_end_of_a_batch_but_for_the_last(writer: JournalWriter) -> None:
    writer.begin()
    writer.batch(0, b"one\n")
    writer.batch(9, b"two\n\n")
    history = only(writer.directory)

    assert [history.lines_back(count) for count in (1, 2, 3)] == [13, 4, 0]


def test_a_time_is_found_by_bytes_and_marks(writer: JournalWriter) -> None:
    writer.begin(mark=2)
    for second, (offset, number) in enumerate(((0, 2), (3, 3), (6, 5))):
        writer.at = EPOCH + 10 * second * SECOND
        writer.batch(offset, b"one")
        writer.at += SECOND
        writer.mark(number, offset + 2)
    writer.stopped(9, 7)
    history = only(writer.directory)

    assert [mark.number for mark in history.marks_since(EPOCH + 11 * SECOND)] == [3, 5]
    assert [history.position_at(EPOCH + second * SECOND) for second in (0, 1, 2, 11, 12, 21, 22)] == [
        at(0, 2),
        at(2, 2),
        at(3, 3),
        at(5, 3),
        at(6, 4),
        at(8, 5),
        at(9, 7),
    ]


def test_a_mark_whose_time_cannot_be_read_is_older_than_any_other(writer: JournalWriter) -> None:
    writer.begin()
    writer.mark(1, 0, Note("yesterday", "rebooted"))
    history = only(writer.directory)

    assert [[mark.number for mark in history.marks_since(since)] for since in (0, 1)] == [[1], []]
    assert [history.position_at(since) for since in (0, 1)] == [at(0, 1), at(0, 2)]


def test_marks_however_many_are_no_matter_to_the_collector_of_garbage(writer: JournalWriter) -> None:
    writer.begin()
    for number in range(1, 4):
        writer.mark(number, 0, Note(rfc3339(EPOCH), "rebooted"))
    marks = only(writer.directory).marks_since(0)

    assert len(marks) == 3
    assert not any(map(gc.is_tracked, marks))


def test_many_lines_are_counted_back_through_many_windows(writer: JournalWriter) -> None:
    writer.begin()
    line = b"x" * 999 + b"\n"
    for number in range(300):
        writer.batch(number * 1000, line)
    history = only(writer.directory)

    assert [history.lines_back(count) for count in (1, 250, 300, 301)] == [299_000, 50_000, 0, 0]


def test_a_history_sees_what_is_written_and_rotated_after_it_was_found(writer: JournalWriter) -> None:
    writer.begin()
    writer.batch(0, b"one")
    history = only(writer.directory)
    writer.batch(3, b"two")
    writer.rotate()
    writer.begin(offset=6)
    writer.batch(6, b"three")

    assert history.bytes(0, 99) == b"one"
    history.refresh()
    assert history.bytes(0, 99) == b"onetwothree"
    assert history.end == at(11, 1)


def test_what_was_read_of_an_index_before_it_was_damaged_is_held(writer: JournalWriter) -> None:
    writer.begin()
    writer.batch(0, b"one")
    writer.batch(3, b"two")
    history = only(writer.directory)
    with writer.index().open("r+b") as index:
        index.write(b"damage")

    history.refresh()

    assert history.bytes(0, 9) == b"onetwo"


def _unlink(path: Path) -> None:
    path.unlink()


def _zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("lose", [_unlink, _zero])
def test_a_history_whose_files_are_gone_or_zeroed_holds_nothing(
    writer: JournalWriter, lose: Callable[[Path], None]
) -> None:
    writer.begin()
    writer.batch(0, b"one")
    writer.mark(1, 2, Note(rfc3339(EPOCH), "paused"))
    history = only(writer.directory)
    for path in list(writer.home.iterdir()):
        lose(path)

    history.refresh()

    assert history.read(at(0, 1), 99) == ([], at(0, 1))
    assert history.oldest == history.end == at(3, 2)
    assert history.marks_since(0) == []
    assert (history.lines_back(3), history.bytes(0, 9), history.position_at(0)) == (3, b"", history.end)
    assert history.domains == ("web1",)
