"""What a terminal shows after a guest's bytes: virtmux's own scanner, and the screen that it drives. Pure but for pyte.

The scanner tells text from sequences as a terminal does, so that titles, reports and what else pyte does not know never
show as text.
"""

import re
from collections.abc import Callable

from virtmux.escapes import Kind, Scanner
from virtmux_cli.screen.terminal_screen import KEYPAD, TerminalScreen

_MOST = 9999

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
        return KEYPAD in self.screen.flags

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
            (self.screen.flags.add if final == "=" else self.screen.flags.discard)(KEYPAD)
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
