"""pyte's screen with what it lacks. Pure but for pyte.

Added are the alternate screen, line drawing in UTF-8, erasing in colour, scrolling by request, repetition, tabs
backwards; left out is what changes the width. No call costs more than a screen's lines.
"""

import unicodedata
from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple

from pyte.charsets import MAPS
from pyte.modes import DECAWM, DECOM, IRM
from pyte.screens import Char, Cursor, Margins, Savepoint, Screen, StaticDefaultDict, wcwidth

#: Combining characters that a cell takes: some guests send nothing else.
_MOST_COMBINED = 8
_COLOURED_CELLS = 512
_WITH_CURSOR = 1049
_ALTERNATE = frozenset({47, 1047, _WITH_CURSOR})
KEYPAD = -1
"""A flag: the keypad sends application sequences."""
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
        saved, hidden = self.saved, self.cursor.hidden
        super().restore_cursor()
        if saved is not None:
            self.cursor = copy(saved.cursor)
            self.savepoints.append(saved)
        self.cursor.hidden = hidden  # pyte saves that too, DECSC does not

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
        self.margins, self.flags = None, self.flags - {1, KEYPAD}
        self.cursor.attrs = self.default_char
        self.g0_charset, self.charset = MAPS["B"], 0
        self.savepoints.clear()
