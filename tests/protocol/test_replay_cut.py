"""Where a replay begins."""

import time
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.terminal_output import PIECES, TEXT
from virtmux.escapes import MAX_SEQUENCE
from virtmux.replay_cut import CONTEXT, cut_in, first_cut


@pytest.mark.parametrize(
    ("data", "at", "cut"),
    [
        (b"one\ntwo\nthree", 0, 0),
        (b"one\ntwo\nthree", 1, 4),
        (b"one\ntwo\nthree", 4, 4),
        (b"one\ntwo\nthree", 5, 8),
        (b"one\ntwo\nthree", 9, 9),
        (b"one\ntwo\n", 5, 5),
        (b"one\ntwo\n", 8, 8),
        (b"one\x1b]0;a\nb\x07two\nthree", 1, 15),
        (b"one\x1b[1\nmtwo", 4, 8),
        (b"one\x1b]0;title\x1b\\two", 9, 14),
        (b"one\x1b]0;title", 5, 12),
        (b"one\ntwo\nx", 5, 8),
        (b"one\n\x1b[mtwo\nthree", 4, 4),
        (b"\n\x1b[mone\ntwo", 1, 1),
        (b"a\x9b", 1, 1),
        ("a客人".encode(), 2, 4),
        (b"", 0, 0),
        (b"", 3, 0),
    ],
)
def test_it_is_at_the_next_line_or_else_between_characters(data: bytes, at: int, cut: int) -> None:
    assert first_cut(data, at) == cut


@given(PIECES, st.data())
def test_it_is_never_within_a_sequence_or_a_character(pieces: list[bytes], drawn: st.DataObject) -> None:
    data = b"".join(pieces)
    at = drawn.draw(st.integers(0, len(data)))
    ends = [0, *accumulate(map(len, pieces))]
    boundaries, lines = set(ends), {0}
    for start, piece in zip(ends, pieces, strict=False):
        if is_text(piece):
            text = piece.decode()
            inner = [start + size for size in accumulate(len(char.encode()) for char in text)]
            boundaries.update(inner)
            lines.update(end for end, char in zip(inner, text, strict=True) if char == "\n" and end < len(data))
    later = sorted(line for line in lines if line >= at)
    assert first_cut(data, at) == (later[0] if later else min(place for place in boundaries if place >= at))


def is_text(piece: bytes) -> bool:
    try:
        return piece[0] != 0x1B and not "\x80" <= piece.decode()[0] <= "\x9f"
    except UnicodeDecodeError:
        return False


@given(st.binary(max_size=20), TEXT)
def test_context_tells_it_for_sure_wherever_it_begins(rubbish: bytes, text: bytes) -> None:
    output = b"x" * CONTEXT + b"\x1b]0;a\nb\x07" + text + b"\nend"
    cut = first_cut(rubbish + output, len(rubbish) + CONTEXT + 1) - len(rubbish)
    assert output[cut - 1 : cut] == b"\n"
    assert cut > CONTEXT + output[CONTEXT:].index(b"\x07")


def test_a_sequence_that_does_not_end_is_none() -> None:
    data = b"\x1b]0;" + b"a\n" * MAX_SEQUENCE
    assert first_cut(data, 3) == 6


@pytest.mark.parametrize("unit", [b"\x1b", b"\x1b[m", b"\x9b", b"\xc3"])
def test_among_many_sequences_a_line_is_looked_for_in_the_next_ones_alone(unit: bytes) -> None:
    assert first_cut(b"x" + unit * 2046 + b"x\nend", 1) == 1 + 2046 * len(unit) + 2
    assert first_cut(b"x" + unit * 2047 + b"x\nend", 1) == 1
    began = time.process_time()
    for _ in range(10):
        assert first_cut(b"x" + unit * 60_000 + b"x\nend", 1) == 1
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(("at", "cut"), [(0, 100), (100, 100), (101, 104), (6000, 6001), (200_000, 200_000)])
def test_it_is_sought_in_the_output_around_an_offset(at: int, cut: int) -> None:
    output = b"one\n" + b"x" * 5896 + b"\n" + b"y" * 300_000
    asked: list[tuple[int, int]] = []

    def read(begin: int, end: int) -> bytes:
        asked.append((begin, end))
        return output[begin - 100 : end - 100]

    assert cut_in(read, 100, at) == cut
    assert asked == [(max(100, at - CONTEXT), at + 65536)]
