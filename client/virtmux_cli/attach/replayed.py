"""Output of the past, as it may be shown on a terminal: without what would make that answer. Pure.

A terminal answers some sequences with input, and what it says now would reach a guest that asked long ago, or one that
means to have it type. No list of those is complete, so it is the others that are known: what moves, erases, colours and
switches. A sequence of any other kind is left out, and so is one that was broken off, which may be the beginning of one
once something behind it is left out.
"""

import re
from typing import NamedTuple

from virtmux.escapes import EXECUTED, Kind, Scanner, Unit

_CSI, _OSC, _DCS = rb"(?:\x1b\[|\xc2?\x9b)", rb"(?:\x1b\]|\xc2?\x9d)", rb"(?:\x1bP|\xc2?\x90)"
_END = rb"(?:\x07|\xc2?\x9c|\x1b\\)"
#: xterm's ctlseqs, without reports, media copy (`i`), windows (`t`), rectangles, and OSC 52, the clipboard.
_HARMLESS = re.compile(
    b"|".join(
        [
            _CSI + rb"[0-9:;]*[@A-MPSTXZ`abdefghlmrsu]",
            _CSI + rb"(?:\?[0-9;]*[hlrsJK]|>[0-9;]*[mu]|[<=][0-9;]*u|[0-9;]*(?: q|!p|\"q))",
            _OSC + rb"(?:[012789]|133)(?:;.*)?" + _END,
            _OSC + rb"(?:[45]|1[0-9]|10[45]|11[0-9])(?:;[^?]*)?" + _END,
            _DCS + rb"[0-9;]*q.*" + _END,  # a picture (sixel)
            rb"\x1b(?:[78=>DEHMNOc]|[#()*+./-][\x20-\x2f]?[0-~])",
        ]
    ),
    re.DOTALL,
)
#: C1 control functions that stand alone: IND, NEL, HTS, RI, SS2, SS3.
_C1 = b"\x84\x85\x88\x8d\x8e\x8f"
#: Control characters that are executed within a sequence; a BEL at its end is the end.
_EXECUTED = re.compile(rb"[\n" + EXECUTED + rb"]|\x07(?!\Z)")
_ENQUIRY = b"\x05"


class Shown(NamedTuple):
    """A piece of output, and whether it is of the past."""

    data: bytes
    replayed: bool


class RequestFilter:
    """Takes what a terminal might answer out of what is replayed; what comes behind it passes unchanged."""

    def __init__(self) -> None:
        self._scanner = Scanner()

    def show(self, shown: Shown) -> bytes:
        """What of the next piece is to be shown."""
        if not shown.replayed:
            return self._scanner.close() + shown.data
        return b"".join(map(_harmless, self._scanner.feed(shown.data)))

    def caught_up(self) -> bytes:
        """What is to be shown once all of the past has come: nothing more."""
        return b""


def _harmless(unit: Unit) -> bytes:
    """What of a unit of the past is shown. What is executed within a sequence is executed without it."""
    match unit.kind:
        case Kind.SEQUENCE:
            executed, sequence = _EXECUTED.findall(unit.data), _EXECUTED.sub(b"", unit.data)
            shown = b"".join([*executed, sequence if _HARMLESS.fullmatch(sequence) else b""])
        case Kind.C1:
            shown = unit.data if unit.data[-1:] in _C1 else b""
        case _:
            shown = unit.data
    return shown.replace(_ENQUIRY, b"")


def split(offset: int, data: bytes, live_from: int) -> list[Shown]:
    """A piece of output as what is of the past, up to `live_from`, and what is not."""
    past = max(0, min(len(data), live_from - offset))
    return [Shown(part, replayed) for part, replayed in ((data[:past], True), (data[past:], False)) if part]
