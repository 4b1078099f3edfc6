"""One segment: what its index says and what of it is really there, while files grow, move and are damaged."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.journal_writer import EPOCH, SECOND, JournalWriter
from virtmux.journal import files
from virtmux.journal.entries import Batch, Opened, encode
from virtmux.journal.segment import Piece, Segment


@pytest.fixture
def writer(tmp_path: Path) -> JournalWriter:
    made = JournalWriter(tmp_path)
    made.begin()
    return made


def load(writer: JournalWriter, number: int | None = None) -> Segment:
    segment = Segment.load(writer.index(number))
    assert segment
    return segment


def data(segment: Segment, offset: int = 0, size: int = 1 << 24) -> bytes | None:
    piece = segment.read(offset, size)
    return piece.data if piece else None


def replace(path: Path, content: bytes) -> None:
    """Put another file in the place of one."""
    new = path.with_name("new")
    new.write_bytes(content)
    new.rename(path)


def test_a_piece_has_the_times_of_its_bytes_over_batches(writer: JournalWriter) -> None:
    writer.batch(0, b"abcd", [(2, 0), (2, 30)])
    writer.at += SECOND
    writer.batch(4, b"efgh")

    piece = load(writer).read(1, 5)

    assert piece == Piece(1, b"bcdef", ((1, EPOCH), (2, EPOCH + 30_000_000), (2, EPOCH + SECOND)))
    assert piece.end == 6


def test_it_knows_what_its_index_says(writer: JournalWriter) -> None:
    writer.renamed("web2")
    writer.mark(1, 0)
    writer.lost(0, 5, "full")
    writer.stopped(5, 2)
    segment = load(writer)

    assert (segment.head.history, segment.names) == ("a" * 32, ["web1", "web2"])
    assert ([mark.number for mark in segment.marks], [loss.why for loss in segment.losses]) == ([1], ["full"])
    assert (segment.stopped is not None, segment.boot, segment.last_at) == (True, "b" * 32, EPOCH)
    assert segment.end == (5, 2)

    writer.opened(boot="d" * 32)
    writer.rotate("rotated")
    segment.path = writer.index(0)
    assert segment.refresh()
    assert (segment.stopped, segment.boot, segment.closed and segment.closed.why) == (None, "d" * 32, "rotated")


@pytest.mark.parametrize("content", [b"", b"\0" * 100, encode(Opened("b", 1)), b"ffffffff {}\n"])
def test_an_index_that_does_not_begin_like_one_is_none(writer: JournalWriter, content: bytes) -> None:
    writer.index().write_bytes(content)

    assert Segment.load(writer.index()) is None


def test_an_index_of_another_format_is_none(writer: JournalWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virtmux.journal.segment.FORMAT", 2)

    assert Segment.load(writer.index()) is None


def test_there_is_none_where_there_is_no_file_or_no_regular_one(writer: JournalWriter) -> None:
    writer.index().rename(writer.index(0))
    assert Segment.load(writer.index()) is None
    writer.index().symlink_to(writer.index(0))
    assert Segment.load(writer.index()) is None


def test_what_is_no_record_has_no_end(writer: JournalWriter) -> None:
    new = JournalWriter(writer.directory, uuid="new")
    new.at = 0
    new.begin(mark=0)
    new.opened()
    assert (load(new).end, load(new).last_at) == ((0, 0), 0)
    new.lost(0, 5, "full")
    new.renamed("web2")
    assert load(new).end == (5, 0)


def test_an_index_is_read_up_to_a_batch_that_cannot_stand_there(writer: JournalWriter) -> None:
    writer.batch(5, b"one")
    writer.batch(2, b"two")
    writer.batch(8, b"three")

    assert data(load(writer), 5) == b"one"
    assert load(writer).end == (8, 1)


@pytest.mark.parametrize("there", range(6))
def test_a_last_batch_is_there_as_far_as_the_log_reaches(writer: JournalWriter, there: int) -> None:
    writer.batch(0, b"one")
    writer.batch(3, b"three", there=there)
    segment = load(writer)

    assert data(segment) == b"one" + b"three"[:there]
    assert data(segment, 3) == (b"three"[:there] or None)
    assert segment.end == (3 + there, 1)
    assert segment.end_before(99) == 3 + there


def test_of_a_finished_segment_all_that_is_not_in_the_log_is_missing(writer: JournalWriter) -> None:
    writer.batch(0, b"three", there=2)
    writer.rotate()

    assert load(writer, 0).end == (5, 1)


def test_behind_what_is_there_of_a_last_batch_nothing_is_found(writer: JournalWriter) -> None:
    writer.batch(0, b"one")
    writer.batch(3, b"three", there=2)

    assert [load(writer).seek(offset) for offset in (4, 5)] == [4, None]


def test_bytes_that_no_batch_tells_of_are_not_there(writer: JournalWriter) -> None:
    writer.log().write_bytes(b"foreign")
    segment = load(writer)

    assert (segment.end, segment.seek(0), data(segment)) == ((0, 1), None, None)


def test_a_batch_whose_bytes_changed_is_not_there(writer: JournalWriter) -> None:
    for offset, text in ((0, b"one"), (3, b"two"), (6, b"three")):
        writer.batch(offset, text)
    segment = load(writer)
    with writer.log().open("r+b") as log:
        log.seek(4)
        log.write(b"X")

    assert [data(segment, offset) for offset in (0, 3, 5, 6)] == [b"one", None, None, b"three"]
    assert [segment.seek(offset) for offset in (0, 3, 7, 11)] == [0, 6, 7, None]


def test_a_part_of_a_batch_behind_damage_is_not_taken_for_true(writer: JournalWriter) -> None:
    writer.batch(0, b"one")
    writer.batch(3, b"three", there=2)
    segment = load(writer)
    writer.log().write_bytes(b"foreign"[:5])

    assert data(segment, 3) is None


def test_a_large_batch_is_read_in_pieces(writer: JournalWriter) -> None:
    large = os.urandom(300_000)
    writer.batch(0, b"one")
    writer.batch(3, large)
    writer.batch(300_003, b"two")
    segment = load(writer)

    pieces = [data(segment, offset, 70_000) or b"" for offset in range(3, 300_006, 70_000)]

    assert b"".join(pieces) == large + b"two"
    assert data(segment, 0, 10) == b"one" + large[:7]


def test_no_more_of_a_log_is_read_than_is_asked_for_and_a_large_batch_once(
    writer: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.batch(0, b"one")
    writer.batch(3, b"two")
    writer.batch(6, b"x" * 70_000)
    writer.batch(70_006, b"three", there=0)
    segment = load(writer)
    pread, read = os.pread, []

    def recording(file: int, size: int, offset: int) -> bytes:
        if size:
            read.append((offset, size))
        return pread(file, size, offset)

    monkeypatch.setattr(os, "pread", recording)
    assert (data(segment, 0, 0), data(segment, 4, 1), data(segment, 5, 1)) == (None, b"w", b"o")
    assert [data(segment, offset, 10) for offset in (6, 60_000)] == [b"x" * 10] * 2
    assert data(segment, 70_006) is None
    assert read == [(3, 3), (3, 3), (6, 70_000)]


def test_what_was_read_of_an_index_stays_where_that_is_damaged_later(writer: JournalWriter) -> None:
    writer.batch(0, b"one")
    writer.batch(3, b"two")
    segment = load(writer)
    writer.batch(6, b"three")
    writer.batch(2, b"cannot stand there")
    assert segment.refresh()
    with writer.index().open("r+b") as index:
        index.write(b"damage")

    assert segment.refresh()
    assert data(segment) == b"onetwothree"


def test_what_was_added_is_read_alone(writer: JournalWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(100):
        writer.batch(number, b"x")
    segment = load(writer)
    read = []
    monkeypatch.setattr(segment.batches, "add", lambda batch: read.append(batch.offset))
    writer.mark(1, 100)
    writer.batch(100, b"y")

    assert segment.refresh()

    assert read == [100]
    assert [mark.number for mark in segment.marks] == [1]


def test_a_line_that_is_being_written_is_read_once_it_is_whole(writer: JournalWriter) -> None:
    segment = load(writer)
    line = encode(Batch(0, 3, 0x11223344, EPOCH, ((3, 0),)))
    for byte in line[:-1]:
        with writer.index().open("ab") as index:
            index.write(bytes([byte]))
        assert segment.refresh()
        assert len(segment.batches) == 0
    with writer.index().open("ab") as index:
        index.write(b"\n")
    assert segment.refresh()
    assert len(segment.batches) == 1


def _cut(writer: JournalWriter) -> None:
    lines = writer.index().read_bytes().splitlines(keepends=True)
    writer.index().write_bytes(b"".join(lines[:2]))
    writer.log().write_bytes(b"on")


def _replaced(writer: JournalWriter) -> None:
    lines = writer.index().read_bytes().splitlines(keepends=True)
    replace(writer.index(), b"".join(lines[:1]))
    writer.log().write_bytes(b"")
    writer.batch(0, b"onetw")


def _last_batch_replaced(writer: JournalWriter) -> None:
    lines = writer.index().read_bytes().splitlines(keepends=True)
    os.truncate(writer.index(), len(b"".join(lines[:2])))
    os.truncate(writer.log(), 3)
    writer.batch(3, b"TWO")
    writer.batch(6, b"three")


@pytest.mark.parametrize(
    ("change", "expected"), [(_cut, b"on"), (_replaced, b"onetw"), (_last_batch_replaced, b"oneTWOthree")]
)
def test_an_index_that_was_changed_is_read_anew(
    writer: JournalWriter, change: Callable[[JournalWriter], None], expected: bytes
) -> None:
    writer.batch(0, b"one")
    writer.batch(3, b"two")
    segment = load(writer)
    assert data(segment) == b"onetwo"

    change(writer)
    assert segment.refresh()

    assert data(segment) == expected


def test_a_log_is_found_under_any_name_by_its_inode(writer: JournalWriter) -> None:
    writer.batch(0, b"one")
    segment = load(writer)
    writer.log().rename(writer.log().with_name("serial0.log-20260131"))
    writer.log().write_bytes(b"another")

    assert data(segment) == b"one"
    assert data(load(writer)) == b"one"


@pytest.mark.parametrize("first", [b"one", b"1"])
def test_a_log_in_a_copied_tree_is_found_by_its_number_and_followed(writer: JournalWriter, first: bytes) -> None:
    writer.batch(0, first)
    replace(writer.log(), writer.log().read_bytes())
    segment = load(writer)

    assert data(segment) == first
    writer.log().rename(writer.log().with_name("serial0.log-20260131"))
    assert data(segment) == first


def test_a_log_in_a_copied_tree_that_has_only_a_part_of_its_first_batch_is_not_taken(writer: JournalWriter) -> None:
    writer.batch(0, b"a long batch", there=6)
    replace(writer.log(), writer.log().read_bytes())
    segment = load(writer)

    assert (data(segment), segment.end) == (None, (0, 1))


def test_in_a_copied_tree_a_log_that_has_the_inode_of_another_is_not_taken_for_it(writer: JournalWriter) -> None:
    writer.batch(0, b"one")
    writer.rotate()
    writer.begin(offset=3)
    writer.batch(3, b"two")
    one, two = writer.log(0), writer.log()
    swap = one.with_name("swap")
    one.rename(swap)
    two.rename(one)
    swap.rename(two)
    for path, content in ((one, b"one"), (two, b"two")):
        path.write_bytes(content)

    assert (data(load(writer, 0)), data(load(writer), 3)) == (b"one", b"two")


def test_a_log_that_took_over_the_inode_of_a_deleted_one_is_not_taken_for_it(writer: JournalWriter) -> None:
    writer.batch(0, b"a long batch")
    writer.rotate()
    writer.log(0).rename(writer.log())
    for content in (b"short", b"something that is longer"):
        writer.log().write_bytes(content)
        assert data(load(writer, 0)) is None


def test_damage_at_the_beginning_of_a_log_leaves_the_rest(writer: JournalWriter) -> None:
    writer.batch(0, b"one")
    writer.batch(3, b"two")
    replace(writer.log(), b"Xnetwo")
    segment = load(writer)

    assert [data(segment, offset) for offset in (0, 3)] == [None, b"two"]


def test_a_log_that_is_gone_has_nothing(writer: JournalWriter) -> None:
    writer.batch(0, b"one")
    writer.mark(1, 3)
    segment = load(writer)
    writer.log().unlink()

    assert (data(segment), segment.seek(0), segment.refresh()) == (None, None, True)
    assert (segment.end_before(9), segment.offset_at(0), segment.end) == (None, None, (3, 2))


def test_an_index_that_is_gone_is_said_and_what_was_known_stays(writer: JournalWriter) -> None:
    writer.batch(0, b"one")
    segment = load(writer)
    writer.index().unlink()

    assert not segment.refresh()
    assert data(segment) == b"one"


def test_a_part_of_a_first_batch_is_not_believed_without_its_index(writer: JournalWriter) -> None:
    writer.batch(0, b"a long batch", there=6)
    segment = load(writer)
    assert data(segment) == b"a long"
    writer.index().unlink()

    assert data(segment) is None


def test_a_rotation_between_any_two_steps_of_reading_does_no_harm(
    writer: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.batch(0, b"one")
    open_file, opened = files.open_file, []
    segment = load(writer)

    def rotating(path: Path) -> object:
        opened.append(path)
        if len(opened) in (1, 2):
            writer.shift()
        return open_file(path)

    monkeypatch.setattr(files, "open_file", rotating)
    assert data(segment) == b"one"
    assert data(segment) == b"one"
    assert writer.log(1).exists()


def test_a_later_segment_that_took_over_name_and_inode_of_the_log_is_not_taken_for_it(writer: JournalWriter) -> None:
    writer.batch(0, b"a long batch", there=6)
    segment = load(writer)
    assert data(segment) == b"a long"
    writer.index().unlink()
    kept = writer.log().rename(writer.log().with_name("kept"))
    writer.begin(offset=12)
    kept.rename(writer.log())
    writer.log().write_bytes(b"later")

    assert data(segment) is None
