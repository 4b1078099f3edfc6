"""Lines counted back."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtmux.lines import lines_back, newline_back

MIB = 1 << 20


@given(st.lists(st.sampled_from([b"\n", b"x", b"line"]), max_size=20).map(b"".join), st.data())
def test_it_is_the_newline_with_so_many_less_one_behind_it(text: bytes, chosen: st.DataObject) -> None:
    end = chosen.draw(st.integers(0, len(text)))
    newlines = [index for index in range(end) if text[index] == ord("\n")]
    for count, index in enumerate(reversed(newlines), start=1):
        assert newline_back(text, count, end) == index
    assert newline_back(text, len(newlines) + 1, end) == -1


@pytest.mark.parametrize(
    ("data", "number", "expected"),
    [(b"", 1, 0), (b"a\nb\nc", 1, 4), (b"a\nb\nc\n", 1, 4), (b"a\nb\nc", 2, 2), (b"a\n\n", 1, 2), (b"\n\n", 2, 0)],
)
def test_a_line_that_is_not_finished_counts(data: bytes, number: int, expected: int) -> None:
    assert lines_back(data, number) == expected


def test_many_short_lines_take_no_longer_than_a_few_long_ones() -> None:
    text = b"\n" * (16 * MIB)
    began = time.process_time()
    for count in (1, MIB, 15 * MIB, 2**63):
        assert newline_back(text, count, len(text)) == max(-1, 16 * MIB - count)
    assert time.process_time() - began < 1
