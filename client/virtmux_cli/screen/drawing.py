"""A screen's cells as text, with or without colours, and as what repaints them on a terminal. Pure.

A repaint draws and sets what the guest's next output relies on: cursor, colours, margins, character sets, the modes of
cursor and keys. It asks nothing, sets no title, and pushes what the terminal shows into its scrollback.
"""

from collections.abc import Iterator, Mapping

from pyte import graphics
from pyte.charsets import MAPS
from pyte.modes import DECAWM, DECOM, IRM, LNM
from pyte.screens import Char, Cursor, Savepoint, wcwidth

from virtmux_cli.screen.emulator import Emulator
from virtmux_cli.screen.terminal_screen import TerminalScreen

Lines = Mapping[int, Mapping[int, Char]]
"""The cells of pyte's buffer, by line and column from 0."""

_DEFAULT = Char(" ")
_FG = {name: code for table in (graphics.FG_AIXTERM, graphics.FG_ANSI) for code, name in table.items()}
_BG = {name: code for table in (graphics.BG_AIXTERM, graphics.BG_ANSI) for code, name in table.items()}
_PALETTE = {colour: number for number, colour in reversed(list(enumerate(graphics.FG_BG_256)))}
_CODES = {"bold": 1, "italics": 3, "underscore": 4, "blink": 5, "reverse": 7, "strikethrough": 9}
#: pyte 0.8.0 knows no `blink`.
_ATTRIBUTES = {name: code for name, code in _CODES.items() if name in Char._fields}
_PLAIN = "\x1b[m"
_NORMAL = "\x1b[m\x1b[r\x1b[?6l\x1b[4l\x1b[20l\x1b[?5l\x1b(B\x1b)B\x0f"


def text_lines(screen: TerminalScreen) -> list[str]:
    """The lines without blanks at their ends, and without empty ones at the end."""
    lines = ["".join(cell.data for cell in _cells(screen, screen.buffer, y)).rstrip() for y in range(screen.lines)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def coloured_lines(screen: TerminalScreen) -> list[str]:
    """The same with colours; each line begins and ends without any."""
    lines = [_line(screen, screen.buffer, y) for y in range(screen.lines)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def repaint(emulator: Emulator) -> bytes:
    """What makes a terminal of the same size show this, and go on from there."""
    screen = emulator.screen
    parts = [_NORMAL, f"\x1b[{screen.lines};1H", "\n" * screen.lines, "\x1b[?7l"]
    if screen.primary is not None:
        parts += _painted(screen, screen.primary.buffer)
        parts.append(_place(screen.primary.cursor, screen))
        if screen.primary.mode == 1049 and screen.primary.saved is not None:  # it saves the cursor
            parts += ["\x1b[?7h", *_to_save(screen.primary.saved, screen)]
        parts.append(f"\x1b[?{screen.primary.mode}h{_NORMAL}\x1b[?7l\x1b[2J")
    parts += _painted(screen, screen.buffer)
    parts += ["\x1b[?7h", *_state(emulator)]
    return "".join(parts).encode()


def _painted(screen: TerminalScreen, buffer: Lines) -> Iterator[str]:
    for y in range(screen.lines):
        if line := _line(screen, buffer, y):
            yield f"\x1b[{y + 1};1H{line}"


def _state(emulator: Emulator) -> Iterator[str]:
    """All that what comes next relies on. The cursor comes after what moves it."""
    screen = emulator.screen
    if 5 in screen.flags:
        yield "\x1b[?5h"
    if screen.margins is not None:
        yield f"\x1b[{screen.margins.top + 1};{screen.margins.bottom + 1}r"
    saved = screen.saved
    by_screen = screen.primary is not None and screen.primary.mode == 1049 and saved is screen.primary.saved
    if saved is not None and not by_screen:
        yield from _to_save(saved, screen)
        yield "\x1b7" + _PLAIN
    if DECOM in screen.mode:
        yield "\x1b[?6h"
    yield _cursor(screen)
    yield from _charsets(screen.g0_charset, screen.g1_charset, screen.charset)
    if DECAWM not in screen.mode:
        yield "\x1b[?7l"
    for mode, sequence in ((IRM, "\x1b[4h"), (LNM, "\x1b[20h")):
        if mode in screen.mode:
            yield sequence
    yield "\x1b[?1h" if 1 in screen.flags else "\x1b[?1l"
    yield "\x1b=" if emulator.keypad else "\x1b>"
    yield "\x1b[?25l" if screen.cursor.hidden else "\x1b[?25h"


def _to_save(saved: Savepoint, screen: TerminalScreen) -> Iterator[str]:
    """What a terminal is to be in when it saves its cursor."""
    yield _place(saved.cursor, screen) + _rendition(saved.cursor.attrs)
    yield from _charsets(saved.g0_charset, saved.g1_charset, saved.charset)


def _cursor(screen: TerminalScreen) -> str:
    """Where it is. Behind the last column, where the next character wraps, it comes by writing there."""
    cursor = screen.cursor
    top = screen.margins.top if screen.margins is not None and DECOM in screen.mode else 0
    if cursor.x < screen.columns:
        return _place(cursor, screen, top=top) + _rendition(cursor.attrs)
    cells = _cells(screen, screen.buffer, cursor.y)
    x = screen.columns - (1 if cells[-1].data else 2)  # the second half of a wide character is empty
    last = cells[x]
    return (
        _place(Cursor(x, cursor.y), screen, top=top) + _rendition(last) + last.data + _PLAIN + _rendition(cursor.attrs)
    )


def _place(cursor: Cursor, screen: TerminalScreen, *, top: int = 0) -> str:
    return f"\x1b[{cursor.y - top + 1};{min(cursor.x, screen.columns - 1) + 1}H"


def _charsets(g0: str, g1: str, shifted: int) -> Iterator[str]:
    for which, charset in (("(", g0), (")", g1)):
        yield f"\x1b{which}{'0' if charset is MAPS['0'] else 'B'}"
    yield "\x0e" if shifted else "\x0f"


def _cells(screen: TerminalScreen, buffer: Lines, y: int) -> list[Char]:
    """A line. Where a half of a wide character was overwritten, the other half is blank."""
    line = buffer[y]
    cells = [line[x] for x in range(screen.columns)]
    for x, cell in enumerate(cells):
        if _is_half(cells, x):
            cells[x] = cell._replace(data=" ")
    return cells


def _is_half(cells: list[Char], x: int) -> bool:
    data = cells[x].data
    if not data:
        return x == 0 or not _is_wide(cells[x - 1])
    return _is_wide(cells[x]) and (x + 1 == len(cells) or bool(cells[x + 1].data))


def _is_wide(cell: Char) -> bool:
    return not cell.data.isascii() and wcwidth(cell.data[0]) > 1


def _line(screen: TerminalScreen, buffer: Lines, y: int) -> str:
    cells = _cells(screen, buffer, y)
    while cells and cells[-1] == _DEFAULT:
        cells.pop()
    parts: list[str] = []
    now = _DEFAULT
    for cell in cells:
        look = cell._replace(data=" ")
        if look != now:
            parts.append(_PLAIN + _rendition(look))
            now = look
        parts.append(cell.data)
    return "".join(parts) + (_PLAIN if now != _DEFAULT else "")


def _rendition(cell: Char) -> str:
    codes = [code for name, code in _ATTRIBUTES.items() if getattr(cell, name)]
    text = ";".join([*map(str, codes), *_colour(cell.fg, _FG, 38), *_colour(cell.bg, _BG, 48)])
    return f"\x1b[{text}m" if text else ""


def _colour(name: str, named: dict[str, int], extended: int) -> Iterator[str]:
    if name == "default":
        return
    if name in named:
        yield str(named[name])
    elif name in _PALETTE:
        yield f"{extended};5;{_PALETTE[name]}"
    elif len(name) == 6:
        red, green, blue = (int(name[at : at + 2], 16) for at in (0, 2, 4))
        yield f"{extended};2;{red};{green};{blue}"
