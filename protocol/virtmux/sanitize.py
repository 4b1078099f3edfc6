"""What a guest said, as text that cannot act on a terminal. Pure.

Text and nothing else comes out: printable characters, newlines and tabs.

    escape sequences            dropped as a whole, colours too, so that `grep` and `less` see words
    control characters          dropped, but for these three
    CR before a newline         is the newline
    another CR                  is a newline where the line is open: each state of a progress bar has a line
    C1 control functions,       \\x9b, as an escape
      bytes that are no UTF-8
    bidi overrides and other    \\u202e
      unprintable characters

A sequence that is still open at a newline, or after `MAX_SEQUENCE` characters, was none: only its introducer is
dropped. The kernel writes in the midst of what a program writes, and what it says must not vanish in a window's title.
"""

import re

from virtmux.escapes import LINES, PARTIAL_CHARACTER, Kind, Scanner, Unit

_UNUSUAL = re.compile(r"[^\t\n\r\x20-\x7e]+")
_CONTROLS = dict.fromkeys([*range(0x20), 0x7F])
_RETURNS = re.compile(r"\r+(\n?)")


def printable(text: str) -> str:
    """`text` with everything that could act on a terminal written as an escape (`\\x1b`)."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class Sanitizer:
    """Takes a stream in pieces; what comes out is the same however it is cut."""

    def __init__(self) -> None:
        self._scanner = Scanner(LINES)
        self._line_open = False
        self._returned = False
        """The stream so far ended in CR: what follows tells what it means."""

    def feed(self, data: bytes) -> str:
        """The text that `data` adds. A sequence or character that is still open, and a CR at the end, are held back."""
        return self._lines("".join([_text(unit) for unit in self._scanner.feed(data)]))

    def close(self) -> str:
        """The text that the end of the stream adds; a sequence that is open is dropped. The next `feed` begins another
        stream, which goes on in the same line."""
        held = self._scanner.close()
        text = self._lines(_escaped(held)) if PARTIAL_CHARACTER.match(held) else ""
        if self._returned and self._line_open:
            text, self._line_open = "\n", False  # nothing has come behind the CR
        self._returned = False
        return text

    def _lines(self, text: str) -> str:
        """`text` with what its carriage returns mean."""
        if self._returned:
            text = f"\r{text}"
        lines = text.rstrip("\r")
        self._returned = len(lines) < len(text)
        if "\r" in lines:
            # The pattern takes these too, but they are most of all, and this takes a sixth less of the time for a text.
            lines = _RETURNS.sub(self._newline, lines.replace("\r\n", "\n"))
        if lines:
            self._line_open = not lines.endswith("\n")
        return lines

    def _newline(self, returns: re.Match[str]) -> str:
        begin = returns.start()
        is_open = returns.string[begin - 1] != "\n" if begin else self._line_open
        return "\n" if returns[1] or is_open else ""


def _text(unit: Unit) -> str:
    if unit.kind is Kind.TEXT:
        return _UNUSUAL.sub(_harmless, unit.data.decode())
    return "" if unit.kind is Kind.SEQUENCE else _escaped(unit.data[-1:])


def _harmless(unusual: re.Match[str]) -> str:
    return printable(unusual[0].translate(_CONTROLS))


def _escaped(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)
