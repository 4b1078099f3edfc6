"""What may go to a person's terminal."""

import pytest
from hypothesis import given

from tests.harness.terminal_output import ANYTHING, SEQUENCES, TEXT, split
from virtmux.escapes import MAX_SEQUENCE
from virtmux.sanitize import Sanitizer, printable


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("web1", "web1"),
        ("gäste-客", "gäste-客"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x9b31m", "\\x9b31m"),
        ("ab\u202ecd", "ab\\u202ecd"),
    ],
)
def test_nothing_from_outside_acts_on_a_terminal(raw: str, shown: str) -> None:
    assert printable(raw) == shown


def sanitized(*pieces: bytes) -> str:
    sanitizer = Sanitizer()
    return "".join(map(sanitizer.feed, pieces)) + sanitizer.close()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\ttext\n", "plain\ttext\n"),
        ("Grüße, 客人 😀".encode(), "Grüße, 客人 😀"),
        (b"\x1b[1;32m[  OK  ]\x1b[0m Started.\r\n", "[  OK  ] Started.\n"),
        (b"\x1b]0;title\x07a\x1b]0;title\x1b\\b\x1bPq\xc2\x9cc\x9d0;t\x9cd", "abcd"),
        (b"\x1b(B\x1b7\x1bc\x1b[?25l", ""),
        (b"a\x00\x07\x08\x0b\x0c\x0e\x7fb", "ab"),
        (b"\x85\xc2\x85", "\\x85\\x85"),
        (b"\xff\xe5\xae", "\\xff\\xe5\\xae"),
        ("a\u202eb\u2066c\u200bd\u00a0".encode(), "a\\u202eb\\u2066c\\u200bd\\xa0"),
    ],
)
def test_only_text_is_left(data: bytes, text: str) -> None:
    assert sanitized(data) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\r\nb\r\r\nc\r\x1b[0m\r\nd", "a\nb\nc\nd"),
        (b" 10%\r 20%\r\x1b[K 30%\r\n", " 10%\n 20%\n 30%\n"),
        (b"\r\n\rlogin: \r", "\nlogin: \n"),
        (b"\r\r\xff\r\x07", "\\xff\n"),
        (b"MAX\rMIX", "MAX\nMIX"),
    ],
)
def test_a_carriage_return_ends_a_line_that_is_open(data: bytes, text: str) -> None:
    assert sanitized(data) == text


def test_what_a_carriage_return_means_is_told_by_what_comes_next_also_in_another_piece() -> None:
    assert sanitized(b"a\r", b"\nb\r", b"c") == "a\nb\nc"
    assert sanitized(b"a\n", b"\rb") == "a\nb"


@pytest.mark.parametrize("introducer", [b"\x1b[", b"\x1b]", b"\x1bP", b"\xc2\x9d"])
def test_what_the_kernel_writes_within_a_sequence_is_text(introducer: bytes) -> None:
    sanitizer = Sanitizer()
    shown = sanitizer.feed(introducer + b"0;1\r\n")
    assert shown.endswith("0;1\n")
    assert sanitizer.feed(b"panic\n") == "panic\n"


def test_a_sequence_that_never_ends_does_not_hide_what_follows() -> None:
    text = "1" * (MAX_SEQUENCE + 1)
    assert sanitized(b"\x1b]" + text.encode()) == text


def test_a_sequence_that_is_open_at_the_end_is_dropped() -> None:
    assert sanitized(b"a\x1b]0;tit") == "a"
    assert sanitized(b"a\x1b[3") == "a"


def test_a_new_stream_goes_on_in_the_same_line() -> None:
    sanitizer = Sanitizer()
    assert sanitizer.feed(b"a\x1b[3") + sanitizer.close() == "a"
    assert sanitizer.feed(b"1\r2") == "1\n2"


def test_a_carriage_return_at_the_end_of_a_stream_has_ended_its_line() -> None:
    sanitizer = Sanitizer()
    assert sanitizer.feed(b"a\r") + sanitizer.close() == "a\n"
    assert sanitizer.feed(b"\rb") + sanitizer.close() == "b"


@given(ANYTHING)
def test_nothing_that_comes_out_acts_on_a_terminal(data: bytes) -> None:
    assert sanitized(data).replace("\n", "").replace("\t", "").isprintable()


@given(split())
def test_it_does_not_matter_how_the_stream_is_cut(parts: tuple[bytes, list[bytes]]) -> None:
    data, pieces = parts
    assert sanitized(*pieces) == sanitized(data)


@given(TEXT, SEQUENCES, TEXT)
def test_a_sequence_leaves_nothing(before: bytes, sequence: bytes, after: bytes) -> None:
    if b"\n" not in sequence:
        assert sanitized(before, sequence, after) == sanitized(before, after)
