"""What a guest's output has made of the terminal that shows it: a state machine, output in, bytes for it out. Pure.

    in lines        text flows: a line of ours may stand between the guest's, and its unfinished one is written again
    full-screen     the guest says where on the screen things are: the alternate screen, a scroll region, the cursor put
                    into another line than the first, or moved up; a line of ours would stand in the midst of that

Of programs that put the cursor somewhere and switch nothing on, nothing says when they end: two newlines without any
such thing do, or a screen that is made empty. What lies between a saved and a restored cursor does not count: a shell
measures the screen so. A scroll region that reaches from the first line to the last of the guest's is none. The guest
does not say how many it has: 24, or more where it has used more.

Sequences come out whole, but for those that are too long. Before the guest sets a title, or may do so, the terminal is
told to keep its own.
"""

import re

from virtmux.escapes import Kind, Scanner, Unit
from virtmux_cli.attach.clipboard import may_reach_clipboard
from virtmux_cli.attach.modes import Modes, is_title, keeps_title, match_csi, numbers
from virtmux_cli.attach.unended import END, Unended
from virtmux_cli.attach.unfinished_line import UnfinishedLine

_KEEP_TITLE = b"\x1b[22;0t"
_FORMER_TITLE = b"\x1b[23;0t"
#: Below all that is on the screen.
_BOTTOM = b"\x1b[999;1H"
_NEWLINES = (b"\n", b"\x0b", b"\x0c")
_NEWLINE = re.compile(b"|".join(_NEWLINES))
_SHIFT_OUT, _SHIFT_IN = b"\x0e", b"\x0f"
#: Newlines after which text flows again.
_FLOWING = 2
_USUAL_ROWS, _MOST_ROWS = 24, 300
#: Titles that the terminal is had to keep, of which each takes one to be undone; xterm keeps ten.
_MOST_TITLES = 32
#: Control sequences that move, erase and colour within a line, and those that move or shift it.
_WITHIN = frozenset({b"@", b"C", b"D", b"G", b"J", b"K", b"P", b"X", b"a", b"b", b"`"})
_ELSEWHERE = frozenset({b"A", b"F", b"L", b"M", b"S", b"T"})


class GuestTerminal:
    """See the module. It begins as the terminal is after a reset, with the cursor at the start of a line."""

    def __init__(self, *, clipboard: bool = True) -> None:
        """`clipboard`: whether what is for the terminal's clipboard comes out too."""
        self._clipboard = clipboard
        self._scanner = Scanner()
        self._unended = Unended()
        self._modes = Modes()
        self._line = UnfinishedLine()
        self._newlines = _FLOWING
        """Since the cursor was put somewhere."""
        self._saved = self._main = UnfinishedLine(), _FLOWING
        """Those that were saved with the cursor, and those of the main screen while the alternate one is shown."""
        self._rows = _USUAL_ROWS
        self._at_home = False
        self._title = b""
        self._kept: list[bytes] = []
        """What sets the title now, nothing where it is the terminal's own; and the same of titles that the terminal
        keeps: first its own, then those that the guest has it keep."""

    @property
    def full_screen(self) -> bool:
        """Whether the guest has the whole screen."""
        return bool(self._modes.screen) or self._is_scribbled

    @property
    def line_open(self) -> bool:
        """Whether there is something in the cursor's line, once the terminal is given back."""
        if self._modes.screen:
            line, newlines = self._main
            return line.is_open or newlines < _FLOWING
        return self._line.is_open or self._is_scribbled

    @property
    def line(self) -> UnfinishedLine:
        """The cursor's line."""
        return self._line

    def feed(self, data: bytes) -> bytes:
        """Take output; gives what is to be written now. What is open at its end comes with the next."""
        if data.isascii() and b"\x1b" not in data and not self._scanner.held:
            return self._pass(Unit(Kind.TEXT, data)) if data else b""
        return b"".join([self._pass(unit) for unit in self._scanner.feed(data)])

    def goes_on_as(self, other: "GuestTerminal") -> None:
        """What was fed last made the terminal what another way would have led to: it is in lines where that is."""
        if not other.full_screen:
            self._line, self._newlines = other.line, _FLOWING

    def undo(self) -> bytes:
        """What gives the terminal back as it was."""
        undone = self._unended.end + self._modes.undo() + _FORMER_TITLE * len(self._kept)
        return undone if self._modes.screen or not self._is_scribbled else undone + _BOTTOM

    def redo(self) -> bytes:
        """What makes it the guest's again after that, but for what was on a screen of the guest's own."""
        titles = b"".join([title + _KEEP_TITLE for title in self._kept]) + self._title
        done = titles + self._modes.redo()
        return done if self.full_screen else done + self.interrupt() + self.go_on()

    def interrupt(self) -> bytes:
        """What goes before a line of ours that stands on one of its own."""
        return self._unended.end + self._modes.pen.undo()

    def go_on(self) -> bytes:
        """What goes behind it, in a line of its own: the guest's unfinished line, and its pen."""
        return self._line.again() or self._modes.pen.redo()

    @property
    def _is_scribbled(self) -> bool:
        """Whether the guest has put things anywhere on this screen."""
        return self._newlines < _FLOWING or self._has_region or self._modes.origin

    @property
    def _has_region(self) -> bool:
        top, bottom = numbers(self._modes.region)
        return bool(self._modes.region) and (top > 1 or 0 < bottom < self._rows)

    def _pass(self, unit: Unit) -> bytes:
        """The next unit; gives what is written for it."""
        if not self._clipboard and unit.kind in {Kind.SEQUENCE, Kind.C1} and may_reach_clipboard(unit.data):
            return END  # what was broken off before it does not go on behind it
        if not self._unended.concerns(unit):
            return self._take(unit)
        was_command = self._unended.is_command
        seen = self._unended.take(unit)
        if self._unended.is_command and not was_command:
            return self._keep_title() + unit.data  # it may be a title
        if seen == unit.data:
            return self._take(unit)
        if seen:
            self._take(Unit(unit.kind, seen))
        return unit.data

    def _take(self, unit: Unit) -> bytes:
        was_home, self._at_home = self._at_home, False
        match unit.kind:
            case Kind.TEXT:
                self._take_text(unit.data)
            case Kind.SEQUENCE if is_title(unit.data):
                kept, self._title = self._keep_title(), unit.data
                return kept + unit.data
            case Kind.SEQUENCE if len(self._kept) >= _MOST_TITLES and keeps_title(unit.data):
                return b""
            case Kind.SEQUENCE:
                return self._take_sequence(unit.data, was_home=was_home) + unit.data
            case Kind.C1:
                self._take_escape(b"\x1b" + bytes([unit.data[-1] - 0x40]))
            case Kind.INVALID:
                self._line.add_text(unit.data)
        return unit.data

    def _take_text(self, text: bytes) -> None:
        end = max(map(text.rfind, _NEWLINES)) + 1
        if end:
            if self._line in (self._saved[0], self._main[0]):  # it may come back
                self._line.add_text(_NEWLINE.split(text, maxsplit=1)[0])
            self._newlines = min(_FLOWING, self._newlines + sum(map(text.count, _NEWLINES)))
            self._shift(text[:end])
            self._line = UnfinishedLine(self._modes.pen)
        if end < len(text):
            self._line.add_text(text[end:])
            self._shift(text[end:])

    def _shift(self, text: bytes) -> None:
        out, back = text.rfind(_SHIFT_OUT), text.rfind(_SHIFT_IN)
        if out != back:
            self._modes.shift(out=out > back)

    def _take_sequence(self, sequence: bytes, *, was_home: bool) -> bytes:
        """The next sequence but a title; gives what is to be written before it."""
        if sequence == b"\x1bc":
            self._modes, self._line, self._newlines = Modes(), UnfinishedLine(), _FLOWING
            return b""
        before = self._modes.screen
        self._modes.take(sequence)
        match match_csi(sequence):
            case None:
                self._take_escape(sequence)
            case b"", _, b"", b"m":
                self._line.add_sequence(sequence)
            case b"", parameters, b"", b"t":
                return self._take_title(parameters)
            case b"", parameters, b"", final:
                self._take_move(sequence, final, parameters, was_home=was_home)
            case b"", _, b"!", b"p":
                self._line.go_on_with(self._modes.pen)
            case b"?", _, b"", _ if bool(before) != bool(self._modes.screen):
                self._switch_screen()
            case _:
                pass
        return b""

    def _take_move(self, sequence: bytes, final: bytes, parameters: bytes, *, was_home: bool) -> None:
        first, second = numbers(parameters)
        match final:
            case b"H" | b"f" | b"d":
                self._at_home = first <= 1 and second <= 1
                self._line = UnfinishedLine(self._modes.pen)
                if first > 1:
                    self._newlines = 0
                    self._rows = max(self._rows, first if first <= _MOST_ROWS else 0)
            case b"r":
                self._at_home = True
                self._line = UnfinishedLine(self._modes.pen)
            case b"J" if first == 2 or (first == 0 and was_home):
                self._at_home = was_home
                self._newlines = _FLOWING
                self._line = UnfinishedLine(self._modes.pen)
            case b"s":
                self._saved = self._line, self._newlines
            case b"u":
                self._restore(self._saved)
            case _ if final in _ELSEWHERE:
                self._newlines = 0
            case _ if final in _WITHIN:
                self._line.add_sequence(sequence)
            case _:
                pass

    def _take_escape(self, sequence: bytes) -> None:
        match sequence[1:2]:
            case b"7":
                self._saved = self._line, self._newlines
            case b"8":
                self._restore(self._saved)
            case b"M":
                self._newlines = 0
            case b"D" | b"E":
                self._take_text(b"\n")
            case b"(" | b")" | b"n" | b"o":
                self._line.add_sequence(sequence)
            case _:
                pass

    def _switch_screen(self) -> None:
        if self._modes.screen:
            self._main = self._line, self._newlines
            self._line, self._newlines = UnfinishedLine(self._modes.pen), _FLOWING
        else:
            self._restore(self._main)

    def _restore(self, saved: tuple[UnfinishedLine, int]) -> None:
        self._line, self._newlines = saved
        self._line.go_on_with(self._modes.pen)

    def _take_title(self, parameters: bytes) -> bytes:
        """The guest has the terminal keep a title, or take one back."""
        match numbers(parameters)[0]:
            case 22:
                own = self._keep_title()
                self._kept.append(self._title)
                return own
            case 23 if self._kept:
                self._title = self._kept.pop()
            case _:
                pass
        return b""

    def _keep_title(self) -> bytes:
        if self._kept:
            return b""
        self._kept.append(self._title)
        return _KEEP_TITLE
