"""What a terminal shows after a guest's bytes: pyte's screen, driven by virtmux's own scanner. Pure but for pyte.

The scanner tells text from sequences as a terminal does, so that titles, reports and what else pyte does not know never
show as text. Added to pyte are the alternate screen, line drawing in UTF-8, erasing in colour, scrolling by request,
repetition, tabs backwards; left out is what changes the width. No sequence costs more than a screen's lines.
"""

import re
import unicodedata
from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple

from pyte.charsets import MAPS
from pyte.modes import DECAWM, DECOM, IRM
from pyte.screens import Char, Cursor, Margins, Savepoint, Screen, StaticDefaultDict, wcwidth

from virtmux.escapes import Kind, Scanner

#: Combining characters that a cell takes: some guests send nothing else.
_MOST_COMBINED = 8
_MOST = 9999
_COLOURED_CELLS = 512

_CSI = re.compile(r"(?:\x1b\[|\x9b)([<=>?]?)([0-9:;]*)([ -/]*)([@-~])")
_ESCAPE = re.compile(r"\x1b([ -/]*)([0-~])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_RUNS = re.compile(r"([^\x00-\x1f\x7f]+)|(\n+)|([\x07-\x0f])")

_CONTROLS = {
    "\b": "backspace",
    "\t": "tab",
    "\n": "linefeed",
    "\v": "linefeed",
    "\f": "linefeed",
    "\r": "carriage_return",
    "\x0e": "shift_out",
    "\x0f": "shift_in",
}
_ESCAPES = {
    "7": "save_cursor",
    "8": "restore_cursor",
    "D": "index",
    "E": "next_line",
    "H": "set_tab_stop",
    "M": "reverse_index",
    "c": "reset",
}
_C1 = {0x84: "index", 0x85: "next_line", 0x88: "set_tab_stop", 0x8D: "reverse_index"}
#: The final byte of a CSI sequence: the method, and how many parameters it takes.
_FUNCTIONS = {
    "@": ("insert_characters", 1),
    "A": ("cursor_up", 1),
    "B": ("cursor_down", 1),
    "C": ("cursor_forward", 1),
    "D": ("cursor_back", 1),
    "E": ("cursor_down1", 1),
    "F": ("cursor_up1", 1),
    "G": ("cursor_to_column", 1),
    "H": ("cursor_position", 2),
    "I": ("tab_forward", 1),
    "J": ("erase_in_display", 1),
    "K": ("erase_in_line", 1),
    "L": ("insert_lines", 1),
    "M": ("delete_lines", 1),
    "P": ("delete_characters", 1),
    "S": ("scroll_up", 1),
    "T": ("scroll_down", 1),
    "X": ("erase_characters", 1),
    "Z": ("tab_back", 1),
    "`": ("cursor_to_column", 1),
    "a": ("cursor_forward", 1),
    "b": ("repeat", 1),
    "d": ("cursor_to_line", 1),
    "e": ("cursor_down", 1),
    "f": ("cursor_position", 2),
    "g": ("clear_tab_stop", 1),
    "r": ("set_margins", 2),
    "s": ("save_cursor", 0),
    "u": ("restore_cursor", 0),
}
_WITH_CURSOR = 1049
_ALTERNATE = frozenset({47, 1047, _WITH_CURSOR})
_KEYPAD = -1
#: Modes that are told to pyte, and those that are kept for the repaint alone.
_SCREEN_MODES = frozenset({6, 7, 25})
_KEPT_MODES = frozenset({1, 5})


class Primary(NamedTuple):
    """The screen that is behind the alternate one, and the mode that has put it there."""

    mode: int
    buffer: Any
    cursor: Cursor
    saved: Savepoint | None


class TerminalScreen(Screen):
    """pyte's screen with what it lacks."""

    def __init__(self, columns: int, lines: int) -> None:
        self.primary: Primary | None = None
        self.flags: set[int] = set()
        """Modes that only a terminal itself needs to know: keys, a reversed screen."""
        self._cells: dict[Char, dict[str, Char]] = {}
        self._last = " "
        super().__init__(columns, lines)

    @property
    def saved(self) -> Savepoint | None:
        """The cursor that was saved."""
        return self.savepoints[-1] if self.savepoints else None

    def reset(self) -> None:
        super().reset()
        self.g1_charset = self.g0_charset
        self.savepoints.clear()
        self.primary = None
        self.flags = set()

    # Text.

    def draw(self, data: str) -> None:
        plain = data.isascii() and MAPS["B"] is (self.g1_charset if self.charset else self.g0_charset)
        if plain and IRM not in self.mode and DECAWM in self.mode:
            self._draw_plain(data)
        else:
            for char in data:
                self._draw_char(char)
        self._last = data[-1]

    def _draw_plain(self, data: str) -> None:
        attrs = self.cursor.attrs
        cells = self._cells.get(attrs)
        if cells is None:
            if len(self._cells) >= _COLOURED_CELLS:
                self._cells.clear()
            cells = self._cells[attrs] = {}
        for char in set(data) - cells.keys():
            cells[char] = attrs._replace(data=char)
        at = 0
        while at < len(data):
            if self.cursor.x == self.columns:
                self.carriage_return()
                self.linefeed()
            x = self.cursor.x
            run = data[at : at + self.columns - x]
            self.buffer[self.cursor.y].update(zip(range(x, x + len(run)), map(cells.__getitem__, run), strict=True))
            self.cursor.x = x + len(run)
            at += len(run)

    def _draw_char(self, char: str) -> None:
        if unicodedata.combining(char):
            if len(self._before().data) < _MOST_COMBINED:
                super().draw(char)
        elif wcwidth(char) > 0:
            super().draw(char if char.isprintable() else "\ufffd")

    def _before(self) -> Char:
        if self.cursor.x:
            return self.buffer[self.cursor.y][self.cursor.x - 1]
        return self.buffer[max(0, self.cursor.y - 1)][self.columns - 1]

    def repeat(self, count: int | None = None) -> None:
        """REP: the last character again, in a line at most."""
        self.draw(self._last * min(count or 1, self.columns))

    def insert_characters(self, count: int | None = None) -> None:
        self._shift(lambda cells, blanks: (blanks + cells)[: len(cells)], count)

    def delete_characters(self, count: int | None = None) -> None:
        self._shift(lambda cells, blanks: cells[len(blanks) :] + blanks, count)

    def _shift(self, shifted: Callable[[list[Char], list[Char]], list[Char]], count: int | None) -> None:
        line, x = self.buffer[self.cursor.y], self.cursor.x
        cells = [line[at] for at in range(x, self.columns)]
        line.update(enumerate(shifted(cells, [self.blank] * min(count or 1, len(cells))), x))

    # Erasing, in the background's colour.

    @property
    def blank(self) -> Char:
        """What is erased."""
        return Char(" ", bg=self.cursor.attrs.bg)

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - pyte's
        ranges = {0: range(self.cursor.x, self.columns), 1: range(min(self.cursor.x + 1, self.columns))}
        self._fill(self.cursor.y, ranges.get(how, range(self.columns)))

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - pyte's
        lines = {0: range(self.cursor.y + 1, self.lines), 1: range(self.cursor.y), 2: range(self.lines)}.get(how, ())
        for y in lines:
            self.buffer[y] = StaticDefaultDict(self.blank)
        if how in {0, 1}:
            self.erase_in_line(how)

    def erase_characters(self, count: int | None = None) -> None:
        self._fill(self.cursor.y, range(self.cursor.x, min(self.cursor.x + (count or 1), self.columns)))

    def _fill(self, y: int, columns: range) -> None:
        self.buffer[y].update(dict.fromkeys(columns, self.blank))

    def alignment_display(self) -> None:
        for y in range(self.lines):
            self.buffer[y] = StaticDefaultDict(Char("E"))
        self.margins = None
        self.cursor_position()

    # Lines.

    def next_line(self) -> None:
        """NEL."""
        self.carriage_return()
        self.index()

    def index(self) -> None:
        top, bottom = self.margins or Margins(0, self.lines - 1)
        if self.cursor.y == bottom:
            self._scroll(top, bottom, 1)
        elif self.cursor.y < self.lines - 1:
            self.cursor.y += 1

    def reverse_index(self) -> None:
        top, bottom = self.margins or Margins(0, self.lines - 1)
        if self.cursor.y == top:
            self._scroll(top, bottom, -1)
        elif self.cursor.y:
            self.cursor.y -= 1

    def scroll_up(self, count: int | None = None) -> None:
        """SU."""
        self._scroll(*(self.margins or Margins(0, self.lines - 1)), count or 1)

    def scroll_down(self, count: int | None = None) -> None:
        """SD."""
        self._scroll(*(self.margins or Margins(0, self.lines - 1)), -(count or 1))

    def _scroll(self, top: int, bottom: int, count: int) -> None:
        """Move the lines up; a negative count: down."""
        height = bottom - top + 1
        count = max(-height, min(count, height))
        lines = [self.buffer.pop(y, None) for y in range(top, bottom + 1)]
        blank = self.blank
        fresh: list[StaticDefaultDict[int, Char] | None]
        fresh = [StaticDefaultDict(blank) if blank.bg != "default" else None for _ in range(abs(count))]
        moved = lines[count:] + fresh if count > 0 else fresh + lines[:count]
        for y, line in enumerate(moved, top):
            if line is not None:
                self.buffer[y] = line

    def set_margins(self, top: int | None = None, bottom: int | None = None) -> None:
        super().set_margins(top or None, bottom or None)
        self.cursor_position()

    # The cursor.

    def save_cursor(self) -> None:
        self.savepoints.clear()
        super().save_cursor()

    def restore_cursor(self) -> None:
        saved = self.saved
        super().restore_cursor()
        if saved is not None:
            self.cursor = copy(saved.cursor)
            self.savepoints.append(saved)

    def cursor_to_line(self, line: int | None = None) -> None:
        self.cursor_position(line, self.cursor.x + 1)

    def tab_forward(self, count: int | None = None) -> None:
        """CHT."""
        for _ in range(min(count or 1, self.columns)):
            self.tab()

    def tab_back(self, count: int | None = None) -> None:
        """CBT."""
        stops = sorted((stop for stop in self.tabstops if stop < self.cursor.x), reverse=True)
        self.cursor.x = (stops + [0] * (count or 1))[(count or 1) - 1]

    # Modes.

    def private_modes(self, modes: list[int], *, on: bool) -> None:
        """DECSET and DECRST, as far as they change what is shown."""
        for mode in modes:
            if mode in _SCREEN_MODES:
                (self.set_mode if on else self.reset_mode)(mode, private=True)
            elif mode in _KEPT_MODES:
                (self.flags.add if on else self.flags.discard)(mode)
            elif mode == 1048:
                (self.save_cursor if on else self.restore_cursor)()
            elif mode in _ALTERNATE:
                self._alternate(mode, on=on)

    def _alternate(self, mode: int, *, on: bool) -> None:
        if on and self.primary is None:
            if mode == _WITH_CURSOR:
                self.save_cursor()
            self.primary = Primary(mode, self.buffer, copy(self.cursor), self.saved)
            self.buffer = type(self.buffer)(self.buffer.default_factory)  # type: ignore[attr-defined]
        elif not on and self.primary is not None:
            primary, self.primary = self.primary, None
            self.buffer = primary.buffer
            if mode == _WITH_CURSOR:
                self.savepoints = [primary.saved] if primary.saved is not None else []
                self.restore_cursor()

    def soft_reset(self) -> None:
        """DECSTR."""
        self.mode = {mode for mode in self.mode if mode not in {IRM, DECOM}} | {DECAWM}
        self.private_modes([25], on=True)
        self.margins, self.flags = None, self.flags - {1, _KEYPAD}
        self.cursor.attrs = self.default_char
        self.g0_charset, self.charset = MAPS["B"], 0
        self.savepoints.clear()


class Emulator:
    """A terminal of some size that is fed a guest's bytes, in pieces."""

    def __init__(self, columns: int, lines: int) -> None:
        self.screen = TerminalScreen(columns, lines)
        self._scanner = Scanner()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        for kind, unit in self._scanner.feed(data):
            if kind is Kind.TEXT:
                self._text(unit.decode())
            elif kind is Kind.SEQUENCE:
                self._sequence(unit.decode(errors="replace"))
            elif kind is Kind.C1:
                self._call(_C1.get(unit[-1]))
            else:
                self.screen.draw("\ufffd")

    def close(self) -> bytes:
        """The bytes that belong to a character or sequence which is still open."""
        return self._scanner.close()

    @property
    def keypad(self) -> bool:
        """Whether the keypad sends application sequences."""
        return _KEYPAD in self.screen.flags

    def _text(self, text: str) -> None:
        for run, newlines, control in _RUNS.findall(text):
            if run:
                self.screen.draw(run)
            elif control:
                self._call(_CONTROLS.get(control))
            for _ in newlines[: 2 * self.screen.lines]:  # more of them change nothing
                self.screen.linefeed()

    def _sequence(self, text: str) -> None:
        if text[0] == "\x1b" and _CONTROL.search(text, 1):
            self._text("".join(_CONTROL.findall(text[1:])))
            text = text[0] + _CONTROL.sub("", text[1:])
        if csi := _CSI.fullmatch(text):
            self._csi(*csi.groups())
        elif escape := _ESCAPE.fullmatch(text):
            self._escape(*escape.groups())

    def _csi(self, private: str, parameters: str, intermediate: str, final: str) -> None:
        if intermediate:
            if (private, intermediate, final) == ("", "!", "p"):
                self.screen.soft_reset()
        elif private == "?" and final in "hl":
            self.screen.private_modes(_numbers(parameters), on=final == "h")
        elif private:
            pass
        elif final == "m":
            self._guarded(self.screen.select_graphic_rendition, *_rendition(parameters))
        elif final in "hl":
            modes = [mode for mode in _numbers(parameters) if mode in {4, 20}]
            self._guarded(self.screen.set_mode if final == "h" else self.screen.reset_mode, *modes)
        elif final in _FUNCTIONS:
            name, count = _FUNCTIONS[final]
            numbers = _numbers(parameters)[:count]
            self._guarded(getattr(self.screen, name), *numbers)

    def _escape(self, intermediate: str, final: str) -> None:
        if intermediate in {"(", ")"}:
            self.screen.define_charset({"A": "B"}.get(final, final), intermediate)
        elif intermediate == "#" and final == "8":
            self.screen.alignment_display()
        elif not intermediate and final in "=>":
            (self.screen.flags.add if final == "=" else self.screen.flags.discard)(_KEYPAD)
        elif not intermediate:
            self._call(_ESCAPES.get(final))

    def _call(self, name: str | None) -> None:
        if name is not None:
            self._guarded(getattr(self.screen, name))

    def _guarded(self, call: Callable[..., object], *arguments: int) -> None:
        """pyte trips over some parameters, of which a terminal makes nothing either."""
        try:
            call(*arguments)
        except (TypeError, ValueError, LookupError, AssertionError, UnboundLocalError):
            self.screen.ensure_hbounds()
            self.screen.ensure_vbounds()


def _numbers(parameters: str) -> list[int]:
    return [min(int(each.partition(":")[0][:5] or 0), _MOST) for each in parameters.split(";")] if parameters else []


def _rendition(parameters: str) -> list[int]:
    """The parameters of SGR. Colours may be written with colons; `4:0` is no underline, and `4:3` is one."""
    numbers: list[int] = []
    for each in parameters.split(";"):
        parts = each.split(":")
        if len(parts) > 2 and parts[0] in {"38", "48"}:
            colour = [part for part in parts[2:] if part] if parts[1] != "2" else parts[-3:]
            numbers += [int(parts[0]), *_numbers(";".join([parts[1], *colour]))]
        elif parts[:2] == ["4", "0"]:
            numbers.append(24)
        else:
            numbers += _numbers(parts[0]) or [0]
    return numbers
