"""What the emulated terminal shows, beyond what pyte knows by itself."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtmux_cli.screen.drawing import text_lines
from virtmux_cli.screen.emulator import Emulator


def shown(data: bytes, columns: int = 20, lines: int = 5) -> list[str]:
    emulator = Emulator(columns, lines)
    emulator.feed(data)
    return text_lines(emulator.screen)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"one\r\ntwo", ["one", "two"]),
        (b"one\ntwo", ["one", "   two"]),
        (b"1\r\n2\r\n3\r\n4\r\n5\r\n6", ["2", "3", "4", "5", "6"]),
        (b"abc\x1b[2;3Hxy\x1b[1D!", ["abc", "  x!"]),
        (b"\x1b]0;title\x07\x1bP+q544e\x1b\\\x1b_app\x1b\\text", ["text"]),
        (b"\x1b[>4;2mplain\x1b[?2004h\x1b[2 q", ["plain"]),
        ("größe 漢字".encode(), ["größe 漢字"]),
        (b"a\xff\x9db", ["a\ufffd"]),
        (b"\x1b(0lqk\x1b(Bx\x0eq\x1b)0\x0eq\x0fq", ["┌─┐xq─q"]),
        (b"abc\x1b[1;2H\x1b[4h!", ["a!bc"]),
        (b"x\x1b[5b", ["xxxxxx"]),
        (b"a\tb\x1b[Zc\x1b[2Id", ["a       c          d"]),
        (b"1\r\n2\r\n3\x1b[2S", ["3"]),
        (b"1\r\n2\x1b[T", ["", "1", "2"]),
        (b"a\x85b\x84c", ["a", "b", " c"]),
        (b"keep\x1b7\x1b[3;1H\x1b8!\x1b8?", ["keep?"]),
        (b"abcdefghijklmnopqrstuvwxyz", ["abcdefghijklmnopqrst", "uvwxyz"]),
        (b"\x1b[?7labcdefghijklmnopqrstuvwxyz", ["abcdefghijklmnopqrsz"]),
        (b"1\r\n2\r\n3\x1b[1;2r\x1b[2;1H\n!", ["2", "!", "3"]),
        (b"wide\x1b[?3hstill", ["widestill"]),
        (b"a\x1b[1;\r\n1Hb", ["b"]),
        (b"\x1b[38:5:1mred\x1b[4:3mwave", ["redwave"]),
        (b"\x1b#8\x1b[2J.", ["."]),
        (b"a" + "\u0301".encode() * 100 + b"b", ["á" + "\u0301" * 7 + "b"]),
        ("zero\u200bwidth".encode(), ["zerowidth"]),
    ],
)  # fmt: skip
def test_it_shows(data: bytes, lines: list[str]) -> None:
    assert shown(data) == lines


@pytest.mark.parametrize(("saved", "then"), [(b"\x1b[?25l", b"\x1b[?25h"), (b"\x1b[?25h", b"\x1b[?25l")])
@pytest.mark.parametrize(("save", "restore"), [(b"\x1b7", b"\x1b8"), (b"\x1b[?1049h", b"\x1b[?1049l")])
def test_a_cursor_that_is_restored_stays_as_hidden_as_it_was(
    saved: bytes, then: bytes, save: bytes, restore: bytes
) -> None:
    emulator = Emulator(20, 5)
    emulator.feed(saved + save + then)
    hidden = emulator.screen.cursor.hidden
    emulator.feed(restore)
    assert emulator.screen.cursor.hidden is hidden is (then == b"\x1b[?25l")


def test_the_alternate_screen_hides_the_primary_one_which_comes_back() -> None:
    emulator = Emulator(20, 5)
    emulator.feed(b"shell$ \x1b[?1049h\x1b[Hmenu")
    assert (text_lines(emulator.screen), emulator.screen.primary is not None) == (["menu"], True)
    emulator.feed(b"\x1b[?1049lvi")
    assert (text_lines(emulator.screen), emulator.screen.primary) == (["shell$ vi"], None)


def test_what_is_erased_takes_the_colour_of_the_background() -> None:
    emulator = Emulator(20, 5)
    emulator.feed(b"\x1b[1;7;44m\x1b[2J\x1b[3;1H\x1b[K")
    cells = {emulator.screen.buffer[y][x] for y in range(5) for x in range(20)}
    assert {(cell.data, cell.bg, cell.bold, cell.reverse) for cell in cells} == {(" ", "blue", False, False)}


@given(st.binary(max_size=400), st.integers(1, 60))
def test_no_bytes_break_it_however_they_are_cut(data: bytes, size: int) -> None:
    whole, cut = Emulator(20, 5), Emulator(20, 5)
    whole.feed(data)
    for at in range(0, len(data), size):
        cut.feed(data[at : at + size])
    assert text_lines(whole.screen) == text_lines(cut.screen)
    assert 0 <= whole.screen.cursor.x <= 20
    assert 0 <= whole.screen.cursor.y < 5


@given(st.lists(st.sampled_from("0123456789;:?>!hlmABCDEFGHIJKLMPSTXZ`abdefgrsu@"), max_size=12).map("".join))
def test_no_sequence_breaks_it(sequence: str) -> None:
    emulator = Emulator(20, 5)
    emulator.feed(f"text\r\n\x1b[{sequence}\x1b[{sequence}more\n\x1b[?6h\x1b[{sequence}!".encode())
    assert all(0 <= x <= 20 for y in range(5) for x in emulator.screen.buffer[y])
    assert set(emulator.screen.buffer) <= set(range(5))


@pytest.mark.parametrize("piece", [b"\x1b#8", b"\x1b[9999b", b"\x1b[?5h", b"\x1b[9999@", "\u0301".encode(), b"a\n"])
def test_what_costs_most_costs_little_more_than_text(piece: bytes) -> None:
    emulator = Emulator(80, 24)
    began = time.process_time()
    emulator.feed(b"x" + piece * (26214 // len(piece)))
    assert time.process_time() - began < 2
