"""Output of the past, as it may be shown on a terminal: without what would make that answer or act. Pure.

A terminal answers some sequences with input, and what it says now would reach a guest that asked long ago, or one that
means to have it type. Others reach beyond its screen: to the clipboard, a printer, the lines that it keeps, whoever
hears it ring. No list of those is complete, so it is the others that are known: what moves, erases, colours and
switches. A sequence of any other kind is left out, and so is one that was broken off, which may be the beginning of one
once something behind it is left out. One that begins in the past is of the past, wherever it ends.
"""

import re
from typing import NamedTuple

from virtmux.escapes import EXECUTED_WITHIN, Kind, Scanner, Unit
from virtmux_cli.attach.modes import SWITCHED, Modes

#: Strings begin and end as all terminals have it: one that goes on elsewhere hides what is behind it.
_CSI, _OSC, _DCS, _ST = rb"(?:\x1b\[|\xc2?\x9b)", rb"\x1b\]", rb"\x1bP", rb"\x1b\\"
_END = rb"(?:\x07|" + _ST + rb")"
#: Of what a guest may switch: what locks the keyboard, and what is told at once by a terminal that is to tell of it
#: (focus, colours, its size), or is to be answered by the guest (a marked text).
_NOT_AGAIN = {b"2", b"?1001", b"?1004", b"?2031", b"?2048"}
_ANSI, _DEC = (
    b"(?:%s)" % b"|".join(sorted(mode.strip(b"?") for mode in SWITCHED - _NOT_AGAIN if (mode[:1] == b"?") is private))
    for private in (False, True)
)
#: xterm's ctlseqs, without reports, media copy (`i`), windows (`t`), rectangles, what erases the lines that are kept
#: (`3J`), OSC 7 and 9 (a directory, notifications), and OSC 52, the clipboard.
_HARMLESS = re.compile(
    b"|".join(
        [
            _CSI + rb"[0-9:;]*[@A-IK-MPSXZ`abdefgmrsu]",
            _CSI + rb"(?:[0-2]?J|[0-9]*T|%s(?:;%s)*[hl])" % (_ANSI, _ANSI),
            _CSI + rb"\?(?:[0-2]?[JK]|%s(?:;%s)*[hlrs])" % (_DEC, _DEC),
            _CSI + rb"(?:>[0-9;]*[mu]|[<=][0-9;]*u|[0-9;]*(?: q|!p|\"q))",
            _OSC + rb"[0128](?:;.*)?" + _END,
            _OSC + rb"(?:[45]|1[0-9]|10[45]|11[0-9])(?:;[^?]*)?" + _END,
            _DCS + rb"[0-9;]*q.*" + _ST,  # a picture (sixel)
            rb"\x1b(?:[78=>DEHMNO]|[#()*+./-][\x20-\x2f]?[0-~])",
        ]
    ),
    re.DOTALL,
)
_RESET = b"\x1bc"
#: What is shown instead, behind what undoes all that was switched: a reset also takes the lines that are kept.
_SOFT_RESET = b"\x1b[!p\x1b[H\x1b[2J"
#: C1 control functions that stand alone: IND, NEL, HTS, RI, SS2, SS3.
_C1 = b"\x84\x85\x88\x8d\x8e\x8f"
#: Those that do more than move and shift. CAN begins a transfer of files (ZMODEM).
_LEFT_OUT = bytes(set(range(0x20)) - set(b"\b\t\n\v\f\r\x0e\x0f\x1b")) + b"\x7f"


class Shown(NamedTuple):
    """A piece of output, and whether it is of the past."""

    data: bytes
    replayed: bool


class PastFilter:
    """Takes what a terminal might answer, or what would act, out of what is replayed; what comes behind it passes
    unchanged."""

    def __init__(self) -> None:
        self._scanner = Scanner()
        self._modes = Modes()

    def show(self, shown: Shown) -> bytes:
        """What of the next piece is to be shown."""
        if shown.replayed:
            return b"".join(map(self._harmless, self._scanner.feed(shown.data)))
        return self._finish(shown.data) if self._scanner.held else shown.data

    def caught_up(self) -> bytes:
        """What is to be shown once all of the past has come: nothing more."""
        return b""

    def _finish(self, data: bytes) -> bytes:
        """Show what comes now behind a sequence or character that began in the past, once that has ended."""
        units = list(self._scanner.feed(data))
        if not units:
            return b""
        first, *others = units
        begun = first.data if first.kind is Kind.TEXT else self._harmless(first)
        return begun + b"".join([unit.data for unit in others]) + self._scanner.close()

    def _harmless(self, unit: Unit) -> bytes:
        """What of a unit of the past is shown. What is executed within a sequence is executed without it."""
        match unit.kind:
            case Kind.SEQUENCE:
                executed, sequence = EXECUTED_WITHIN.findall(unit.data), EXECUTED_WITHIN.sub(b"", unit.data)
                return b"".join(executed).translate(None, _LEFT_OUT) + self._sequence(sequence)
            case Kind.C1:
                return unit.data if unit.data[-1:] in _C1 else b""
            case _:
                return unit.data.translate(None, _LEFT_OUT)

    def _sequence(self, sequence: bytes) -> bytes:
        if sequence == _RESET:
            undone, self._modes = self._modes.undo(), Modes()
            return undone + _SOFT_RESET
        if not _HARMLESS.fullmatch(sequence):
            return b""
        self._modes.take(sequence)
        return sequence


def split(offset: int, data: bytes, live_from: int) -> list[Shown]:
    """A piece of output as what is of the past, up to `live_from`, and what is not."""
    past = max(0, min(len(data), live_from - offset))
    return [Shown(part, replayed) for part, replayed in ((data[:past], True), (data[past:], False)) if part]
