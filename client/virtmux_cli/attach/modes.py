"""What a guest has switched on in the terminal, or off, so that it can be undone, and done again. Pure.

The terminal is taken to be as it is after a reset: a shell leaves it so while a command runs. What the guest never
touched, or has put back itself, is left alone. Sequences are xterm's (ctlseqs) and kitty's (keyboard protocol).
"""

import re
from functools import lru_cache

from virtmux_cli.attach.pen import PLAIN

#: Modes that are off by default: `?` DEC's private ones, among them mouse, focus and paste, and ANSI's.
_OFF = {
    *(
        b"?%d" % number
        for number in (1, 5, 6, 9, 12, 45, 66, 69, *range(1000, 1007), 1015, 1016, 2004, 2026, 2031, 2048)
    ),
    b"2",
    b"4",
    b"20",
}
#: Those that are on.
_ON = {b"?7", b"?8", b"?25", b"12"}
#: Those that switch to the alternate screen.
_SCREENS = {b"?47", b"?1047", b"?1049"}
_ORIGIN = b"?6"
#: Off, the terminal is a VT52 until it is told otherwise, in a VT52's way.
_ANSI_SEQUENCES = b"?2"
SWITCHED = _OFF | _ON | _SCREENS
"""The modes that are known, `?` before DEC's private ones."""
#: What a soft reset (DECSTR) leaves as it is.
_BEYOND_SOFT_RESET = re.compile(rb"\?(9|1\d\d\d|2\d\d\d)")
_CONTROLS = re.compile(rb"[\x00-\x1a\x1c-\x1f\x7f]")
_CSI = re.compile(rb"(?:\x1b\[|\xc2?\x9b)([<-?]?)([0-9;:]*)([ -/]*)([@-~])")
_OSC = re.compile(rb"(?:\x1b\]|\xc2?\x9d)(\d+)(?:;([^\x07\x1b]*))?", re.DOTALL)
_MOST_KEYBOARDS = 32
#: How keys are told (XTMODKEYS): which of them have a format.
_MOST_KEY_FORMAT = 7


class Modes:
    """Everything but the title and the text. `pen` writes; `screen` is the mode that leads to the alternate screen."""

    def __init__(self) -> None:
        self.pen = PLAIN
        self.screen = b""
        self.region = b""
        self._saved = self._entered = PLAIN
        """The pens that were saved with the cursor, and with it as the alternate screen was entered."""
        self._changed: dict[bytes, bytes] = {}
        """Modes that are not as they were, and the final byte that made them so: `h` or `l`."""
        self._kept: dict[bytes, bool] = {}
        """Whether modes were on as the guest had the terminal save them (XTSAVE)."""
        self._keypad = False
        self._shape = b""
        self._protected = self._is_not_utf8 = self._is_vt52 = False
        self._colours: dict[int, bytes] = {}
        self._link = b""
        self._status_line: dict[bytes, bytes] = {}
        """Whether there is one (`$~`, DECSSDT), and whether it is written to and not the screen (`$}`, DECSASD)."""
        self._key_formats: dict[int, bytes] = {}
        self._keyboards: tuple[list[bytes], list[bytes]] = ([], [])
        """The keyboard modes that were pushed on the main and on the alternate screen."""
        self._keyboard_set: list[bytes] = [b"", b""]

    @property
    def origin(self) -> bool:
        """Whether lines are counted within the scroll region."""
        return _ORIGIN in self._changed

    def take(self, sequence: bytes) -> None:
        """The next sequence."""
        if csi := match_csi(sequence):
            self._take_csi(*csi)
        elif command := _OSC.match(sequence):
            self._take_command(int(command[1]), command[2] or b"")
        else:
            self._take_escape(_CONTROLS.sub(b"", sequence))

    def shift(self, *, out: bool) -> None:
        """SO or SI."""
        self.pen = self.pen._replace(shift=b"\x0e" if out else b"")

    def undo(self) -> bytes:
        """What brings the terminal back to where it was. The cursor stays in its place, but where the screen or the
        origin is another one."""
        changed = {mode: b"l" if final == b"h" else b"h" for mode, final in self._changed.items()}
        undone = [b"\x1b<"] if self._is_vt52 else []
        undone += [b"\x1b[0" + final for final in self._status_line]
        undone += [self._undo_keyboard(1)] if self.screen else []
        undone += [b"\x1b[r" if self.screen else b"\x1b7\x1b[r\x1b8"] if self.region else []
        undone += [_csi(mode, final) for mode, final in changed.items()]
        undone += [_csi(self.screen, b"l")] if self.screen else []
        undone += [self._undo_keyboard(0), *(b"\x1b[>%dm" % which for which in self._key_formats)]
        undone += [b"\x1b>"] if self._keypad else []
        undone += [b"\x1b%G"] if self._is_not_utf8 else []
        undone += [b"\x1b[0 q"] if self._shape else []
        undone += [b'\x1b[0"q'] if self._protected else []
        undone += [b"\x1b]8;;\x1b\\"] if self._link else []
        undone += [b"\x1b]%d\x1b\\" % (100 + which) for which in self._colours]
        pen = self.pen.and_also(self._entered) if self.screen else self.pen
        return b"".join([*undone, pen.undo()])

    def redo(self) -> bytes:
        """What brings it to where the guest had it, after `undo`. What was on the alternate screen is gone."""
        done = [self._redo_keyboard(0)]
        done += [b"\x1b[" + which + final for final, which in self._status_line.items()]
        if self.screen:
            done += [self._entered.redo(), _csi(self.screen, b"h"), self._entered.undo(), self._redo_keyboard(1)]
        done += [b"\x1b7\x1b[%sr\x1b8" % self.region] if self.region else []
        done += [_csi(mode, final) for mode, final in self._changed.items()]
        done += [b"\x1b[>%d;%sm" % each for each in self._key_formats.items()]
        done += [b"\x1b="] if self._keypad else []
        done += [b"\x1b%@"] if self._is_not_utf8 else []
        done += [b"\x1b[%s q" % self._shape] if self._shape else []
        done += [b'\x1b[1"q'] if self._protected else []
        done += [b"\x1b]8;%s\x1b\\" % self._link] if self._link else []
        done += [b"\x1b]%d;%s\x1b\\" % each for each in self._colours.items()]
        return b"".join([*done, self.pen.redo(), b"\x1b[?2l" if self._is_vt52 else b""])

    def _take_csi(self, prefix: bytes, parameters: bytes, between: bytes, final: bytes) -> None:
        match prefix, between, final:
            case b"", b"", b"m":
                self.pen = self.pen.with_attributes(parameters)
            case (b"", b"", b"h" | b"l") | (b"?", b"", b"h" | b"l" | b"r" | b"s"):
                for number in parameters.split(b";"):
                    self._take_mode(prefix + number, final)
            case b"", b"", b"r":
                self.region = parameters if numbers(parameters) not in {(1, 0), (0, 0)} else b""
            case b"", b"", b"s":
                self._saved = self.pen
            case b"", b"", b"u":
                self.pen = self._saved
            case b"", b" " | b"!" | b'"' | b"$", _:
                self._take_further(parameters, between + final)
            case b">", b"", b"m":
                self._format_keys(numbers(parameters)[0], parameters.partition(b";")[2])
            case (b"<" | b">" | b"=", b"", b"u"):
                self._take_keyboard(prefix, parameters)
            case _:
                pass

    def _take_further(self, parameters: bytes, final: bytes) -> None:
        """A control sequence with an intermediate byte."""
        match final:
            case b" q":
                self._shape = parameters.strip(b"0")
            case b'"q':
                self._protected = parameters == b"1"
            case b"!p":
                self._reset_softly()
            case b"$~" | b"$}":
                self._status_line.pop(final, None)
                self._status_line |= {final: parameters} if parameters.strip(b"0") else {}
            case _:
                pass

    def _take_mode(self, mode: bytes, final: bytes) -> None:
        match final:
            case b"s":
                if mode in SWITCHED:
                    self._kept[mode] = self._is_on(mode)
            case b"r":  # xterm takes what was never saved for off
                self._switch(mode, b"h" if self._kept.get(mode) else b"l")
            case _:
                self._switch(mode, final)

    def _is_on(self, mode: bytes) -> bool:
        return bool(self.screen) if mode in _SCREENS else (mode in _ON) != (mode in self._changed)

    def _switch(self, mode: bytes, final: bytes) -> None:
        if mode in _SCREENS:
            self._switch_screen(mode, final)
        elif mode == _ANSI_SEQUENCES:
            self._is_vt52 = final == b"l"
        elif mode in _OFF or mode in _ON:
            if (mode in _OFF) == (final == b"h"):
                self._changed[mode] = final
            else:
                self._changed.pop(mode, None)

    def _switch_screen(self, mode: bytes, final: bytes) -> None:
        if final == b"h" and not self.screen:
            self.screen, self._entered = mode, self.pen
        elif final == b"l" and self.screen:
            self.screen = b""
            self._keyboards[1].clear()
            self._keyboard_set[1] = b""
            self.pen = self._entered if mode == b"?1049" else self.pen

    def _reset_softly(self) -> None:
        self.pen = self._saved = PLAIN
        self._keypad = self._protected = False
        self.region = b""
        self._changed = {mode: how for mode, how in self._changed.items() if _BEYOND_SOFT_RESET.fullmatch(mode)}

    def _format_keys(self, which: int, value: bytes) -> None:
        """modifyOtherKeys and its like; without a value it is as at first."""
        if value.strip(b"0") and which <= _MOST_KEY_FORMAT:
            self._key_formats[which] = value
        else:
            self._key_formats.pop(which, None)

    def _take_keyboard(self, prefix: bytes, parameters: bytes) -> None:
        pushed = self._keyboards[bool(self.screen)]
        first = parameters.split(b";")[0]
        match prefix:
            case b">" if len(pushed) < _MOST_KEYBOARDS:
                pushed.append(first or b"0")
            case b"<":
                del pushed[max(0, len(pushed) - (numbers(first)[0] or 1)) :]
            case b"=" if pushed:
                pushed[-1] = first
            case b"=":
                self._keyboard_set[bool(self.screen)] = first.strip(b"0")
            case _:
                pass

    def _undo_keyboard(self, screen: int) -> bytes:
        pushed = self._keyboards[screen]
        undone = b"\x1b[<%du" % len(pushed) if pushed else b""
        return undone + (b"\x1b[=0u" if self._keyboard_set[screen] else b"")

    def _redo_keyboard(self, screen: int) -> bytes:
        was_set = self._keyboard_set[screen]
        done = b"\x1b[=%su" % was_set if was_set else b""
        return done + b"".join(b"\x1b[>%su" % flags for flags in self._keyboards[screen])

    def _take_command(self, number: int, text: bytes) -> None:
        """An operating system command: colours, links."""
        match number:
            case 4 | 5 | 10 | 11 | 12 | 13 | 14 | 15 | 16 | 17 | 18 | 19 if text and b"?" not in text:
                self._colours[number] = text
            case 104 | 105 | 110 | 111 | 112 | 113 | 114 | 115 | 116 | 117 | 118 | 119 if not text:
                self._colours.pop(number - 100, None)
            case 8:
                self._link = text if text.partition(b";")[2] else b""
            case _:
                pass

    def _take_escape(self, sequence: bytes) -> None:
        match sequence[1:]:
            case b"<":
                self._is_vt52 = False
            case b"=":
                self._keypad = True
            case b">":
                self._keypad = False
            case b"%@" | b"%G" as coding:
                self._is_not_utf8 = coding == b"%@"
            case b"n" | b"o":  # G2 or G3, to which the terminal keeps a set of its own
                self.pen = self.pen._replace(shift=sequence)
            case b"7":
                self._saved = self.pen
            case b"8":
                self.pen = self._saved
            case _ if len(sequence) == 3 and sequence[1:2] in {b"(", b")"}:
                self.pen = self.pen.with_set(b"()".index(sequence[1]), sequence[2:])
            case _:
                pass


@lru_cache(512)
def match_csi(sequence: bytes) -> tuple[bytes, bytes, bytes, bytes] | None:
    """Prefix, parameters, intermediate and final bytes of a control sequence; None of anything else."""
    found = _CSI.fullmatch(_CONTROLS.sub(b"", sequence))
    return None if found is None else (found[1], found[2], found[3], found[4])


def numbers(parameters: bytes) -> tuple[int, int]:
    """The first two parameters, 0 where they are not there."""
    first, _, others = parameters.partition(b";")
    second = others.partition(b";")[0]
    return int(first) if first.isdigit() else 0, int(second) if second.isdigit() else 0


def is_title(sequence: bytes) -> bool:
    """Whether it is a command that sets the window's title or its icon's."""
    if sequence.startswith(b"\x1b[") or (found := _OSC.match(sequence)) is None:
        return False
    return int(found[1]) in {0, 1, 2}


def keeps_title(sequence: bytes) -> bool:
    """Whether it has the terminal keep a title."""
    prefix, parameters, between, final = match_csi(sequence) or (b"", b"", b"", b"")
    return (prefix, between, final) == (b"", b"", b"t") and numbers(parameters)[0] == 22


def _csi(mode: bytes, final: bytes) -> bytes:
    return b"\x1b[" + mode + final
