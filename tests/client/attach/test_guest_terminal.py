"""What a guest's output has made of the terminal: what undoes it, and when a line of ours may stand in between."""

import gc
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import virtmux
import virtmux_cli
from tests.harness.emulator import Emulator, Facts
from tests.harness.terminal_output import split
from virtmux.escapes import MAX_SEQUENCE
from virtmux_cli.attach.guest_terminal import GuestTerminal
from virtmux_cli.attach.modes import match_csi
from virtmux_cli.attach.pen import Pen

#: What is allocated there, and not by the tests or by another thread.
OURS = [tracemalloc.Filter(True, f"{package.__path__[0]}/*") for package in (virtmux, virtmux_cli)]
SWITCHES = [
    *(b"\x1b[?%d%s" % (mode, how) for mode in (1, 5, 7, 25, 1000, 1003, 1004, 1006, 2004) for how in (b"h", b"l")),
    *(
        b"\x1b[%s" % how
        for how in (b"4h", b"4l", b"2;10r", b"r", b"5 q", b"0 q", b">4;1m", b">4m", b">1u", b"<u", b"<9u")
    ),
    *(b"\x1b[%sm" % how for how in (b"31", b"1;4", b"38;5;9", b"0", b"39;22;24", b"48;2;1;2;3", b"")),
    *(b"\x1b[?%d%s" % (mode, how) for mode in (47, 1047, 1049) for how in (b"h", b"l")),
    *(b"\x1b[?%d%s" % (mode, how) for mode in (1000, 25, 1049) for how in (b"s", b"r")),
    *(b"\x1b%s" % how for how in (b"=", b">", b"(0", b"(B", b")0", b")B")),
    *(b"\x1b[?1;25;2004l", b"\x0e", b"\x0f", b"\x1bn", b"\x1bo", b"\x1b[?6h", b"\x1b[?6l"),
    *(b"\x1b]%s\x07" % text for text in (b"0;title", b"2;other", b"8;;http://e.org", b"8;;", b"10;red", b"110")),
    *(b"\x1b7", b"\x1b8"),
    *(b"\x1b[22;0t", b"\x1b[23;0t", b"\x1b[3;3H", b"\x1b[H\x1b[2J", b"\n", b"text", b"\r\n"),
]
OUTPUT = st.lists(st.sampled_from(SWITCHES), max_size=25).map(b"".join)


def shown(*pieces: bytes) -> Facts:
    emulator = Emulator()
    for piece in pieces:
        emulator.write(piece)
    return emulator.facts


@given(OUTPUT)
@example(b"\x1bntext")
@example(b"\x1bo\x1b[31mtext\x0f")
def test_undoing_leaves_the_terminal_as_it_was_and_doing_it_again_as_the_guest_had_it(output: bytes) -> None:
    guest = GuestTerminal()
    written = guest.feed(output)
    assert shown(written, guest.undo()) == shown()
    assert shown(written, guest.undo(), guest.redo()) == shown(written)


@given(split())
def test_however_it_is_cut_what_is_written_is_what_the_guest_said(cut: tuple[bytes, list[bytes]]) -> None:
    data, pieces = cut
    whole, guest = GuestTerminal(), GuestTerminal()
    assert b"".join(map(guest.feed, pieces)) == whole.feed(data)
    assert (guest.undo(), guest.full_screen, guest.go_on()) == (whole.undo(), whole.full_screen, whole.go_on())


@pytest.mark.parametrize(
    "output",
    [
        b"login: root\r\n\x1b[1;32mweb1\x1b[0m:~# ",
        b"\x1b[?2004h# ls\r\n\x1b[?2004l\r\x1b[31mred\x1b[39m \x1b(B\x1b[m\x0f\r\n",  # bash and readline
        b"\x1b[?25l 10%\r 20%\r\x1b[?25h\x1b[K",
        b"\x1b[H\x1b[2J\x1b[3J# ",  # clear
        b"\x1b7\x1b[r\x1b[999;999H\x1b[6n\x1b8# ",  # a shell measures the screen
        b"\x1b[?1049h\x1b[22;0;0t\x1b[?1h\x1b=\x1b[2;5Htext\x1b[?1l\x1b>\x1b[23;0;0t\x1b[?1049l# ",  # vi
        b"\x1b]0;mine\x07\x1bc",
        b"\x1b[4:3munder\x1b[4:0mline \x1b[38:2::1:2:3mcolour\x1b[39m",
    ],
)
def test_what_the_guest_puts_back_itself_is_left_alone(output: bytes) -> None:
    guest = GuestTerminal()
    guest.feed(output)
    assert guest.undo().replace(b"\x1b[23;0t", b"") == b""
    assert not guest.full_screen


@pytest.mark.parametrize(
    "output",
    [
        b"\x1b[?1049h",
        b"\x1b[?47h\r\n\r\n\r\n",
        b"\x1b[5;20r\r\n\r\n",
        b"\x1b[1;10r",
        b"\x1b[10;1Hmenu",
        b"\x1b[3dmenu\r\n",
        b"\x1b[2;1H\x1b7\x1b[r\x1b[999;999H\x1b8",
        b"\x1b[3Alayer\x1b[3B",
        b"\x1b[?6h\r\n\r\n",
    ],
)
def test_where_things_are_put_onto_the_screen_no_line_may_come_between(output: bytes) -> None:
    guest = GuestTerminal()
    guest.feed(output)
    assert guest.full_screen


@pytest.mark.parametrize("output", [b"\r\n# \r\n# ", b"\x1b[H\x1b[2J# ", b"\x1b[H\x1b[J", b"\x1bc", b"\x1b[2J\x1b[H"])
def test_text_that_flows_again_ends_that(output: bytes) -> None:
    guest = GuestTerminal()
    guest.feed(b"\x1b[10;1Hmenu" + output)
    assert not guest.full_screen


@pytest.mark.parametrize(
    ("output", "again"),
    [
        (b"login: ", b"login: "),
        (b"one\r\n\x1b[32m# \x1b[0mls", b"\x1b[32m# \x1b[0mls"),
        (b"\x1b[32mone\r\ntwo", b"\x1b[32mtwo"),
        (b"\x1b[32mone\r\ntwo\x1b[0m", b"\x1b[32mtwo\x1b[0m"),
        (b"\x1b[32mone\r\n", b"\x1b[32m"),
        (b"# \x1b[6n\x1b[c\x1b]0;t\x07\x05ls\x07", b"# ls"),
        (b"# lx\x08\x1b[Ks", b"# lx\x08\x1b[Ks"),
        (b" 10%\r 20%", b" 10%\r 20%"),
        (b"done\n\r", b""),
        (b"old\x1b[H\x1b[2J# ", b"# "),
        (b"\x0eqq\n\x1b(0", b""),
    ],
)
def test_the_unfinished_line_is_written_again_without_what_asks_or_rings(output: bytes, again: bytes) -> None:
    guest = GuestTerminal()
    guest.feed(output)
    assert guest.go_on() == (again or guest._modes.pen.redo())
    assert guest.line_open == bool(again.replace(b"\x1b[32m", b""))


@pytest.mark.parametrize(
    "line",
    [
        b"login: ",
        b"plain \x1b[31mred",
        b"\x1b[31mred \x1b[0;44mblue",
        b"ab\x08c\rx \x1b[K",
        b"\x1b[7m\xc3\xa9\xff$ \x0f",
    ],
)
def test_it_looks_as_before_behind_a_line_of_ours_and_behind_a_stop(line: bytes) -> None:
    for before in (b"", b"\x1b[35mone\r\n", b"\x1b[1mtwo\x1b[0m\r\n"):
        guest = GuestTerminal()
        written = guest.feed(before + line)
        interrupted = written + guest.interrupt() + b"\r\nours\r\n" + guest.go_on()
        stopped = written + guest.undo() + b"\r\nours\r\n" + guest.redo()
        assert last_line(interrupted) == last_line(stopped) == last_line(written)
        assert shown(interrupted) == shown(stopped) == shown(written)


def last_line(written: bytes) -> tuple[list[object], int]:
    emulator = Emulator()
    emulator.write(written)
    line, column = emulator.cursor
    return emulator.cells[line], column


def test_of_a_line_without_end_its_last_part_is() -> None:
    guest = GuestTerminal()
    for _ in range(100):
        guest.feed("\x1b[31mé".encode() * 100)
    assert 3000 < len(guest.go_on()) <= 4096 + 10
    assert guest.go_on().startswith((b"\x1b[31m", "é".encode()))
    guest.feed(b"x" * 100_000)
    assert guest.go_on() == b"\x1b[31m" + b"x" * 4096


@pytest.mark.parametrize(
    ("output", "undone"),
    [
        (b"\x1b[?2l", b"\x1b<"),
        (b"\x1b[?2l\x1b<", b""),
        (b"\x1b]5;0;red\x07", b"\x1b]105\x1b\\"),
        (b"\x1b]5;0;red\x07\x1b]105\x07", b""),
        (b"\x1b[2$~\x1b[1$}", b"\x1b[0$~\x1b[0$}"),
        (b"\x1b[2$~\x1b[1$}\x1b[$}\x1b[0$~", b""),
    ],
)
def test_a_vt52_special_colours_and_a_status_line_are_undone_too(output: bytes, undone: bytes) -> None:
    guest = GuestTerminal()
    guest.feed(output)
    assert guest.undo().replace(b"\x1b[23;0t", b"") == undone
    assert GuestTerminal().feed(guest.redo()) == guest.redo()


def test_a_region_of_all_lines_is_none_and_undone_all_the_same() -> None:
    guest = GuestTerminal()
    guest.feed(b"\x1b[1;24r# ")
    assert not guest.full_screen
    assert guest.undo() == b"\x1b7\x1b[r\x1b8"
    guest.feed(b"\x1b[50;1H\r\n\r\n")
    assert guest.full_screen


def test_from_another_screen_the_line_of_the_main_one_is_the_one_that_counts() -> None:
    guest = GuestTerminal()
    guest.feed(b"# vi\x1b[?1049h\x1b[2;2Hsomething")
    assert guest.line_open
    guest.feed(b"\x1b[?1049l")
    assert not guest.full_screen
    assert guest.go_on() == b"# vi"


def test_after_something_on_the_main_screen_it_ends_below_all_that() -> None:
    guest = GuestTerminal()
    guest.feed(b"\x1b[5;5Hmenu")
    assert guest.undo() == b"\x1b[999;1H"
    assert guest.line_open


def test_what_was_added_to_a_line_that_comes_back_is_in_it_however_it_was_cut() -> None:
    whole, cut = GuestTerminal(), GuestTerminal()
    whole.feed(b"one \x1b7two\nthree\x1b8")
    for piece in (b"one \x1b7tw", b"o\nthree\x1b8"):
        cut.feed(piece)
    assert whole.go_on() == cut.go_on() == b"one two"


def test_a_line_of_ours_is_not_swallowed_by_a_sequence_without_end() -> None:
    guest = GuestTerminal()
    endless = b"# \x1bP" + b"1" * (MAX_SEQUENCE + 1)
    assert guest.feed(endless) == endless
    assert (guest.interrupt(), guest.undo()) == (b"\x18\x1b\\", b"\x18\x1b\\")
    assert guest.go_on() == b"# "
    assert guest.feed(b"2\x1b\\ls") == b"2\x1b\\ls"
    assert (guest.interrupt(), guest.go_on()) == (b"", b"# ls")


def test_a_title_too_long_to_be_held_is_undone() -> None:
    guest = GuestTerminal()
    title = b"\x1b]0;" + b"t" * MAX_SEQUENCE + b"\x07"
    assert guest.feed(title) == b"\x1b[22;0t" + title
    assert guest.undo() == b"\x1b[23;0t"


@pytest.mark.parametrize(
    "piece",
    [
        b"\x1b[22t",
        b"\x1b]2;%d\x07\x1b[22;2t",
        b"\x1b[>%d;2m",
        b"\x1b]%s4;%s\x07",
        b"\x1b[>%du",
        b"\x05\x1b[?7h",
    ],
    ids=["titles", "other-titles", "key-formats", "colours", "keyboards", "enquiries"],
)
def test_what_a_guest_asks_for_over_and_over_is_not_remembered_as_often(piece: bytes) -> None:
    guest = GuestTerminal()
    for number in range(500):
        guest.feed(made(piece, number))
    tracemalloc.start()
    try:
        for number in range(500, 10_000):
            guest.feed(made(piece, number))
        for cached in (match_csi, Pen.with_attributes):
            cached.cache_clear()
        gc.collect()
        held = tracemalloc.take_snapshot().filter_traces(OURS)
    finally:
        tracemalloc.stop()
    assert sum(each.size for each in held.traces) < 32768
    assert len(guest.undo() + guest.redo()) < 2 * MAX_SEQUENCE


def made(piece: bytes, number: int) -> bytes:
    """The piece with this number in it, or in another way that is another each time."""
    if b"%s" in piece:
        return piece % (b"0" * (number % 1000), b"%d" % number)
    return piece % number if b"%d" in piece else piece
