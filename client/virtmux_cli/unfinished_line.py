"""The line of output that has no end yet, such as a prompt and what was typed behind it, to be written again. Pure."""

import re

from virtmux_cli.modes import match_csi
from virtmux_cli.pen import PLAIN, Pen

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

    def add(self, part: bytes) -> None:
        """Text without a newline, or a sequence. What makes a terminal answer or ring is left out."""
        part = part.translate(None, _ANSWERED_OR_RUNG)
        self._parts.append(part)
        self._size += len(part)
        self.is_open = self.is_open or _is_seen(part)
        if self._size > 2 * MOST:
            self._shorten()

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


def _is_seen(part: bytes) -> bool:
    return not part.startswith(b"\x1b") and match_csi(part) is None and _SEEN.search(part) is not None
