"""The last lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.scripted_daemon import AT
from virtmux.records import Note
from virtmux_cli.log.records import Chunk, Gap, Marked, Record
from virtmux_cli.log.tail import MOST, Tail

LONG = b"x" * 2 * MOST
NOTE = Marked(4, 1, Note(AT, "paused"))


def tail_of(lines: int, *records: Record) -> tuple[int, list[Record]]:
    tail = Tail(lines)
    for record in records:
        tail.add(record)
    return tail.lines, tail.records()


@pytest.mark.parametrize(
    ("lines", "found", "left"),
    [
        (9, 3, [Chunk(0, b"a\nb\n", 1), NOTE, Chunk(4, b"c", 2)]),
        (3, 3, [Chunk(0, b"a\nb\n", 1), NOTE, Chunk(4, b"c", 2)]),
        (2, 2, [Chunk(2, b"b\n", 1), NOTE, Chunk(4, b"c", 2)]),
        (1, 1, [NOTE, Chunk(4, b"c", 2)]),
        (0, 0, []),
    ],
)
def test_it_begins_where_a_line_does(lines: int, found: int, left: list[Record]) -> None:
    assert tail_of(lines, Chunk(0, b"a\nb\n", 1), NOTE, Chunk(4, b"c", 2)) == (found, left)


def test_marks_behind_the_last_line_are_kept() -> None:
    assert tail_of(1, Chunk(0, b"a\nb\n", 1), NOTE) == (1, [Chunk(2, b"b\n", 1), NOTE])
    assert tail_of(1, NOTE) == (0, [NOTE])


def test_it_holds_no_more_than_it_needs() -> None:
    tail = Tail(2)
    for offset in range(0, 1000, 2):
        tail.add(Chunk(offset, b"x\n", None))
    assert len(tail._records) == 3


def test_of_a_line_that_never_ends_the_last_part_is() -> None:
    tail = Tail(2)
    for number in range(100):
        tail.add(Chunk(number * MOST, b"x" * MOST, None))
        tail.add(Gap(0, 1, 0, 1, None))
    held = [record for record in tail.records() if isinstance(record, Chunk)]
    assert tail.lines == 2
    assert 2 * MOST < sum(len(chunk.data) for chunk in held) <= 4 * MOST
    assert held[-1].offset == 99 * MOST
    assert len(tail._records) < 16


@pytest.mark.parametrize(("lines", "left"), [(1, b"c"), (2, LONG + b"b\nc"), (3, LONG + LONG + b"b\nc")])
def test_a_long_line_counts_anew_where_a_record_begins(lines: int, left: bytes) -> None:
    parts = [b"a\n", b"x" * MOST, b"x" * MOST, b"x" * MOST, b"x" * MOST + b"b\nc"]
    _, records = tail_of(lines, *(Chunk(0, part, None) for part in parts))
    data = b"".join(record.data for record in records if isinstance(record, Chunk))
    assert data == left


@given(st.lists(st.binary(max_size=4).map(lambda data: data.replace(b"\x00", b"\n")), max_size=20), st.integers(1, 9))
def test_it_is_what_tail_gives(pieces: list[bytes], lines: int) -> None:
    data = b"".join(pieces)
    offset = 0
    chunks: list[Record] = []
    for piece in pieces:
        chunks += [Chunk(offset, piece, None), Gap(offset, 1, offset, 1, None)]
        offset += len(piece)
    found, left = tail_of(lines, *chunks)
    every = _lines(data)
    assert found == min(lines, len(every))
    assert b"".join(record.data for record in left if isinstance(record, Chunk)) == b"".join(every[-lines:])


def _lines(data: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]
