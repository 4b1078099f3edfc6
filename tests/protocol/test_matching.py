"""What is found in a stream of bytes, however it is cut, and how much of it is kept."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtmux.matching import MOST_BEFORE, Found, Search


def search(patterns: list[bytes], pieces: list[bytes], window: int = 8192) -> Found | None:
    looking = Search(list(patterns), window)
    return next(filter(None, map(looking.feed, pieces)), None)


def test_the_first_match_in_the_stream_wins_whatever_the_order_of_the_patterns() -> None:
    found = search([b"late", b"early"], [b"... early late"])
    assert found is not None
    assert (found.index, found.match[0], found.end) == (1, b"early", 9)


def test_where_two_begin_at_the_same_byte_the_first_pattern_wins() -> None:
    found = search([b"log", b"login: "], [b"web1 login: "])
    assert found is not None
    assert (found.index, found.match[0]) == (0, b"log")


def test_a_match_may_span_pieces_and_groups_tell_its_parts() -> None:
    found = search([rb"address (\S+)\r\n"], [b"addr", b"ess 10.0", b".0.1\r", b"\n# "])
    assert found is not None
    assert (found.match[1], found.end) == (b"10.0.0.1", 18)


def test_what_is_looked_ahead_at_is_behind_the_match() -> None:
    found = search([b"fo+(?=bar)"], [b"fo", b"ob", b"ar"])
    assert found is not None
    assert (found.match[0], found.end) == (b"foo", 3)


def test_compiled_patterns_keep_their_flags() -> None:
    assert Search(re.compile(b"LOGIN", re.IGNORECASE)).feed(b"login") is not None


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(1, 20), max_size=30))
def test_a_literal_is_found_at_the_same_place_however_the_stream_is_cut(data: bytes, sizes: list[int]) -> None:
    wanted = data[len(data) // 2 :][:5] or data[-1:]
    pieces, rest = [], data
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    found = search([re.escape(wanted)], [*pieces, rest])
    assert found is not None
    assert found.end == data.index(wanted) + len(wanted)


def test_no_more_is_kept_than_is_said_and_the_offsets_stay_right() -> None:
    looking = Search(b"here", window=100)
    for _ in range(40):
        assert looking.feed(bytes(65536)) is None
    assert looking.settled == 40 * 65536 - 100
    found = looking.feed(b"here!")
    assert found is not None
    assert found.end == 40 * 65536 + 4
    assert MOST_BEFORE <= len(found.match.string) <= MOST_BEFORE + 200 + 65536


def test_a_match_that_is_longer_than_the_window_is_not_found_across_pieces() -> None:
    pieces = [b"a" + b"." * 50, b"b"]
    assert search([b"a.{50}b"], pieces, window=20) is None
    found = search([b"a.{50}b|b"], pieces, window=20)
    assert found is not None
    assert (found.match[0], found.end) == (b"b", 52)


@pytest.mark.parametrize(("more", "origin"), [(0, 0), (1, 1), (5, 5)])
def test_as_many_bytes_before_the_window_are_kept_as_is_said(more: int, origin: int) -> None:
    found = search([b"here"], [bytes(MOST_BEFORE + 100 + more), b"here"], window=100)
    assert found is not None
    assert (found.origin, found.end) == (origin, MOST_BEFORE + 100 + more + 4)


def test_the_bytes_that_came_last_can_be_seen() -> None:
    looking = Search(b"here", window=4)
    assert (looking.is_new, looking.seen) == (True, b"")
    for piece in (b"ab", b"cdef"):
        looking.feed(piece)
    assert (looking.is_new, looking.seen) == (False, b"cdef")


def test_after_a_restart_no_match_spans_both_sides() -> None:
    looking = Search(b"ab")
    assert looking.feed(b"a") is None
    looking.restart()
    assert looking.feed(b"b") is None
    found = looking.feed(b"ab")
    assert found is not None
    assert found.end == 3


@pytest.mark.parametrize("pattern", [b"", b"x*", b"$", b"(?m)^", rb"\A\Z"])
def test_a_pattern_that_matches_nothing_is_refused(pattern: bytes) -> None:
    with pytest.raises(ValueError, match="would always be found"):
        Search(pattern)


def test_what_is_no_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not a regular expression: b'\(': missing \), unterminated subpattern"):
        Search(b"(")
    with pytest.raises(ValueError, match="no pattern"):
        Search([])


def test_a_pattern_of_text_is_refused_with_what_is_meant() -> None:
    for text in ("login: ", re.compile("login: ")):
        with pytest.raises(TypeError, match="a pattern is bytes, as rb'login: ', and not 'login: '"):
            Search([text])  # type: ignore[list-item]
        with pytest.raises(TypeError, match="a pattern is bytes"):
            Search(text)  # type: ignore[arg-type]
