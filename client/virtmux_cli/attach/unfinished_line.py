"""The line of output that has no end yet, such as a prompt and what was typed behind it, to be written again. Pure."""

import re

from virtmux_cli.attach.modes import match_csi
from virtmux_cli.attach.pen import PLAIN, Pen

#: So many bytes of it are kept; of a longer one the last.
MOST = 4096
_SEEN = re.compile(rb"[^\x00-\x1f\x7f]")
_ANSWERED_OR_RUNG = b"\x05\x07"
_CONTINUATION = re.compile(rb"[\x80-\xbf]*")


class UnfinishedLine:
    """The bytes since the last newline: text, colours and moves within the line."""

    def __init__(self, pen: Pen = PLAIN) -> None:
        self._pen = pen
        self._parts: list[bytes] = []
        self._size = 0
        self.is_open = False
        """Whether something is to be seen of it."""

    def add_text(self, text: bytes) -> None:
        """Text without a newline. What makes a terminal answer or ring is left out."""
        if kept := text.translate(None, _ANSWERED_OR_RUNG):
            self.add_sequence(kept)
        self.is_open = self.is_open or _SEEN.search(text) is not None

    def add_sequence(self, sequence: bytes) -> None:
        """A sequence that moves, erases or colours within the line."""
        self._parts.append(sequence)
        self._size += len(sequence)
        if self._size > 2 * MOST:
            self._shorten()

    def go_on_with(self, pen: Pen) -> None:
        """What is added from now on is written with this pen, whatever it was: the guest has had it back."""
        if pen != self._pen or any(b"\x1b" in part or b"\x0e" in part for part in self._parts):
            self.add_sequence(pen.whole())

    def again(self) -> bytes:
        """What writes it again at the start of a line, with the pen plain before it."""
        if not self.is_open:
            return b""
        self._shorten()
        return self._pen.redo() + b"".join(self._parts)

    def _shorten(self) -> None:
        """Drop from the front what is too much."""
        while self._size > MOST:
            too_much = self._size - MOST
            first = self._parts.pop(0)
            self._size -= len(first)
            if found := match_csi(first):
                self._pen = self._pen.with_attributes(found[1]) if found[3] == b"m" else self._pen
            elif len(first) > too_much:
                cut = _CONTINUATION.match(first, too_much)
                self._parts.insert(0, first[cut.end() if cut else too_much :])
                self._size += len(self._parts[0])
