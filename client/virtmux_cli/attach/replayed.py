"""Output of the past, as it may be shown on a terminal: without what would make that answer. Pure.

A terminal answers some sequences with input, and what it says now would reach a guest that asked long ago.
"""

import re
from typing import NamedTuple

from virtmux.escapes import Kind, Scanner

#: Requests for the cursor's place, the terminal's kind, colours, settings, titles, the clipboard: what xterm answers.
_REQUEST = re.compile(
    rb"(?:\x1b\[|\xc2?\x9b)(?:[\x20-\x3f]*[nctx]|[\x20-\x3f]*\$p|>[\x20-\x3f]*q|\?[\x20-\x3f]*u)"
    rb"|(?:\x1bP|\xc2?\x90)[$+]q.*"
    rb"|(?:\x1b\]|\xc2?\x9d)[^?]*\?.*"
    rb"|\x1bZ",
    re.DOTALL,
)
_ENQUIRY = b"\x05"


class Shown(NamedTuple):
    """A piece of output, and whether it is of the past."""

    data: bytes
    replayed: bool


class RequestFilter:
    """Takes requests out of what is replayed; what comes behind it passes unchanged."""

    def __init__(self) -> None:
        self._scanner = Scanner()

    def show(self, shown: Shown) -> bytes:
        """What of the next piece is to be shown."""
        if not shown.replayed:
            return self._scanner.close() + shown.data
        return b"".join(
            unit.data.replace(_ENQUIRY, b"")
            for unit in self._scanner.feed(shown.data)
            if unit.kind is not Kind.SEQUENCE or not _REQUEST.fullmatch(unit.data)
        )

    def caught_up(self) -> bytes:
        """What is to be shown once all of the past has come: nothing more."""
        return b""


def split(offset: int, data: bytes, live_from: int) -> list[Shown]:
    """A piece of output as what is of the past, up to `live_from`, and what is not."""
    past = max(0, min(len(data), live_from - offset))
    return [Shown(part, replayed) for part, replayed in ((data[:past], True), (data[past:], False)) if part]
