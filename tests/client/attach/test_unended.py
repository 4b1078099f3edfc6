"""What a terminal is in the midst of, and what it does not show meanwhile."""

import pytest

from virtmux.escapes import MAX_SEQUENCE, Scanner
from virtmux_cli.attach.unended import Unended

LONG = b"1" * (MAX_SEQUENCE + 1)
END = b"\x18\x1b\\"
STRINGS = [b"\x1b]", b"\x1bP", b"\x1bX", b"\x1b^", b"\x1b_", b"\x9d", b"\xc2\x90", b"\x1b\x00]"]


def after(*pieces: bytes) -> tuple[bytes, bytes]:
    """What ends it now, and what was to be seen of the text."""
    scanner, unended = Scanner(), Unended()
    units = [unit for piece in pieces for unit in scanner.feed(piece)]
    seen = b"".join([unended.take(unit) if unended.concerns(unit) else unit.data for unit in units])
    return unended.end, seen


@pytest.mark.parametrize("begin", [*STRINGS, b"\x1b[", b"\x9b"])
def test_a_sequence_that_is_too_long_goes_on(begin: bytes) -> None:
    assert after(b"a", begin + LONG, b"1")[0] == END


def test_so_does_an_escape_that_is_followed_by_nothing() -> None:
    assert after(b"\x1b" + b"\x00" * (MAX_SEQUENCE + 1))[0] == END


@pytest.mark.parametrize("begin", [b"\x1b", b"\x1b(", b"\x1b[", b"\x1b[3", b"\x1b[\x001;"])
@pytest.mark.parametrize("behind", [b"\xff", "é".encode(), b"\x85"])
def test_what_is_broken_off_by_a_character_may_go_on(begin: bytes, behind: bytes) -> None:
    assert after(b"a", begin + behind + b"a")[0] == END
    assert after(b"a", begin + behind, b"\x1b[m")[0] == b""
    assert after(b"a", begin + b"\x18a")[0] == b""


@pytest.mark.parametrize("behind", [b"\x18", b"\x1a", b"\x1b[m", b"\x85"])
def test_so_may_a_string_that_is_broken_off(behind: bytes) -> None:
    assert after(b"\x1b]0;t" + behind, b"a")[0] == after(b"\x1bPq" + behind, b"a")[0] == END


@pytest.mark.parametrize("string", [b"\x1b]0;t\x9c", b"\x1b]0;t\xc2\x9c", b"\x1bPq\x07", b"\x1b_a\x07", b"\x1bPq\x9c"])
def test_nor_are_those_ends_of_a_string_that_not_every_terminal_knows(string: bytes) -> None:
    assert after(string, b"\x1b[mb") == (END, string + b"\x1b[mb")


@pytest.mark.parametrize("begin", STRINGS)
def test_what_a_string_holds_is_not_seen_up_to_its_end(begin: bytes) -> None:
    assert after(b"a", begin + LONG, b"\xff1\x1b\\b") == (b"", b"a" + begin + b"\x1b\\b")


def test_a_bell_ends_a_command_and_no_other_string() -> None:
    assert after(b"\x1b]" + LONG + b"\x07b") == (b"", b"\x1b]b")
    assert after(b"\x1bP" + LONG + b"\x07b") == (END, b"\x1bP")


def test_another_sequence_shows_what_follows_but_a_string_may_go_on() -> None:
    assert after(b"\x1bP" + LONG, b"\x1b[mb") == (END, b"\x1bP\x1b[mb")
    assert after(b"\x1b[" + LONG, b"\x1b[m") == (b"", b"\x1b[" + LONG + b"\x1b[m")


@pytest.mark.parametrize("whole", [b"\x1b[m", b"\x1b]0;t\x07", b"\x1bPq\x1b\\", b"\x1b7", b"\x1b(B", b"\x85", b"\xff"])
def test_none_is_begun_by_what_has_an_end(whole: bytes) -> None:
    assert after(whole + b"a") == (b"", whole + b"a")
