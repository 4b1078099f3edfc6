"""A repaint makes a terminal show the same, and go on the same, and does nothing else."""

import re

import pyte
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from virtmux.escapes import Kind, Scanner
from virtmux_cli.screen.drawing import coloured_lines, repaint, text_lines
from virtmux_cli.screen.emulator import Emulator

SIZE = 20, 6
#: What guests send, in pieces.
PIECES = [
    b"text", b"\r\n", b"\n", b"\r", b"\t", b"\b", "ü".encode(), b"x" * 21, b"\x1b[H", b"\x1b[3;4H", b"\x1b[6;20H",
    b"\x1b[20G", b"\x1b[1;31m", b"\x1b[44m", b"\x1b[38;5;200m", b"\x1b[48;2;1;2;3m", b"\x1b[7m", b"\x1b[m", b"\x1b[2J",
    b"\x1b[J", b"\x1b[K", b"\x1b[1K", b"\x1b[2;4r", b"\x1b[r", b"\x1b[?6h", b"\x1b[?6l", b"\x1b[?7l", b"\x1b[?7h",
    b"\x1b[?25l", b"\x1b[?25h", b"\x1b[4h", b"\x1b[4l", b"\x1b[20h", b"\x1b[20l", b"\x1b[?1h", b"\x1b[?1l", b"\x1b=",
    b"\x1b>", b"\x1b7", b"\x1b8", b"\x1b(0", b"\x1b(B", b"\x1b)0", b"\x0e", b"\x0f", b"\x1b[?5h", b"\x1b[?5l",
    b"\x1b[L", b"\x1b[M", b"\x1b[@", b"\x1b[P", b"\x1bM", b"\x1bD", b"\x1b[S", b"\x1b[T", b"\x1b#8", b"\x1b[95;105m",
    b"\x1b]0;title\x07", b"\x1b[6n", b"\x1b[c",
]  # fmt: skip
SCREENS = [b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?47h", b"\x1b[?47l", b"\x1bc", b"\x1b[!p"]


def look(emulator: Emulator) -> tuple[object, ...]:
    """All that a person sees, and that what comes next relies on."""
    screen = emulator.screen
    return (
        [[screen.buffer[y][x] for x in range(SIZE[0])] for y in range(SIZE[1])],
        (screen.cursor.x, screen.cursor.y, screen.cursor.hidden),
        screen.flags,
        screen.primary is not None,
    )


def fed(*pieces: bytes) -> Emulator:
    emulator = Emulator(*SIZE)
    emulator.feed(b"".join(pieces))
    return emulator


@given(st.lists(st.sampled_from([*PIECES, *SCREENS]), max_size=25), st.lists(st.sampled_from(PIECES), max_size=10))
@example([b"\x1b[?25l", b"\x1b7"], [b"\x1b8"])
@example([b"\x1b[1;31m", b"\x1b[?1049h"], [b"\x1b8", b"text"])
@example([b"\x1b(0", b"\x1b[?1049h"], [b"\x1b8", b"text"])
@example([b"\x1b[?1049h"], [b"\x1b[?7l", b"\x1b8", b"x" * 21])
def test_a_terminal_that_is_repainted_shows_the_same_now_and_after_what_comes_next(
    before: list[bytes], after: list[bytes]
) -> None:
    guest = fed(*before)
    terminal = fed(b"what the person did before\r\n", repaint(guest))
    assert look(terminal) == look(guest)
    for emulator in (guest, terminal):
        emulator.feed(b"".join(after))
    assert look(terminal) == look(guest)


@given(st.lists(st.sampled_from([*PIECES, "漢".encode()]), max_size=25))
def test_another_terminal_shows_the_same_text(before: list[bytes]) -> None:
    guest = fed(*before)
    screen = pyte.Screen(*SIZE)
    pyte.ByteStream(screen).feed(repaint(guest))
    expected = [line.ljust(SIZE[0] - wide(line)) for line in text_lines(guest.screen)]
    assert screen.display[: len(expected)] == expected
    assert (screen.cursor.x, screen.cursor.y) == (guest.screen.cursor.x, guest.screen.cursor.y)


def wide(line: str) -> int:
    return line.count("漢")


@given(st.lists(st.sampled_from([*PIECES, *SCREENS]), max_size=25))
def test_a_repaint_only_draws_and_sets_modes(before: list[bytes]) -> None:
    drawing = re.compile(rb"\x1b\[(\?[0-9]+[hl]|[0-9;]*[HmrhlJ])|\x1b[()][0B]|\x1b[78=>]")
    for unit in Scanner().feed(repaint(fed(*before))):
        if unit.kind is Kind.SEQUENCE:
            assert drawing.fullmatch(unit.data), unit.data
        else:
            assert unit.kind is Kind.TEXT
            assert not re.search(rb"[\x00-\x09\x0b-\x0d\x10-\x1f\x7f]", unit.data), unit.data


def test_the_person_s_screen_goes_into_the_scrollback() -> None:
    screen = pyte.HistoryScreen(*SIZE, history=100)
    stream = pyte.ByteStream(screen)
    stream.feed(b"$ make\r\n$ virtmux attach web1\r\n" + repaint(fed(b"menu")))
    lines = ["".join(line[x].data for x in range(SIZE[0])).rstrip() for line in screen.history.top]
    assert lines[:2] == ["$ make", "$ virtmux attach web"]
    assert screen.display[0].rstrip() == "menu"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"plain  ", "plain"),
        (b"\x1b[1;31mred\x1b[m plain", "\x1b[m\x1b[1;31mred\x1b[m plain"),
        (b"\x1b[38;5;200;48;2;1;2;3mx", "\x1b[m\x1b[38;5;200;48;2;1;2;3mx\x1b[m"),
        (b"\x1b[7m \x1b[m", "\x1b[m\x1b[7m \x1b[m"),
    ],
)
def test_lines_with_colours_begin_and_end_without(data: bytes, line: str) -> None:
    assert coloured_lines(fed(data).screen) == [line]
