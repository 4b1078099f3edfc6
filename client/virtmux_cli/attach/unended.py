"""A sequence whose end a terminal still waits for, whatever comes meanwhile. Pure.

Too long to be held back, broken off, or a string that not every terminal takes for ended: by a bell, or by ST as a C1
control function. Of a string that is too long nothing is seen; of the others a terminal may show what follows, or not.
"""

import re
from enum import Enum

from virtmux.escapes import EXECUTED, Kind, Unit

_CONTROLS = re.compile(rb"[\x07\n" + EXECUTED + rb"]")
_STRING = re.compile(rb"(?:(?P<command>\x1b\]|\xc2?\x9d)|\x1b[PX^_]|\xc2?[\x90\x98\x9e\x9f])(?P<text>.*)", re.DOTALL)
_WITHOUT_FINAL = re.compile(rb"\x1b[\x20-\x2f]*|(?:\x1b\[|\xc2?\x9b)[\x20-\x3f]*")
_FINAL = ord("@")
_BELL, _ST = b"\x07", b"\x1b\\"
END = b"\x18\x1b\\"
"""Cancels whatever has not ended, or ends it where the terminal does not take that for a reason."""


class _Open(Enum):
    """What has not ended: an operating system command, which a bell ends too, another string, or no string."""

    COMMAND = "command"
    STRING = "string"
    CONTROL = "control"


class Unended:
    """The sequence that the terminal may be in the midst of."""

    def __init__(self) -> None:
        self._open: _Open | None = None
        self._hides = False

    @property
    def end(self) -> bytes:
        """What ends it; nothing where there is none."""
        return b"" if self._open is None else END

    @property
    def is_command(self) -> bool:
        """Whether it is an operating system command, such as a title."""
        return self._open is _Open.COMMAND

    def concerns(self, unit: Unit) -> bool:
        """Whether a unit is to be taken. Where nothing is open text need not be, nor a control sequence that ends."""
        if self._open is not None:
            return True
        data = unit.data
        return unit.kind is not Kind.TEXT and (data[1:2] != b"[" or len(data) < 3 or data[-1] < _FINAL)

    def take(self, unit: Unit) -> bytes:
        """The next unit; gives what of it the terminal does not hide."""
        if unit.kind in {Kind.TEXT, Kind.INVALID}:
            return self._take_text(unit.data)
        self._hides = False
        sequence = _CONTROLS.sub(b"", unit.data)
        if string := _STRING.match(sequence):
            is_command = string["command"] is not None
            ended = unit.data.endswith((_BELL, _ST) if is_command else _ST)
            self._open = None if ended else _Open.COMMAND if is_command else _Open.STRING
            self._hides = not string["text"] and not ended
        elif _WITHOUT_FINAL.fullmatch(sequence):
            self._open = self._open or _Open.CONTROL
        elif sequence == _ST or (self._open is _Open.CONTROL and sequence.startswith(b"\x1b")):
            self._open = None
        return unit.data

    def _take_text(self, text: bytes) -> bytes:
        hid = self._hides
        if self.is_command and _BELL in text:
            self._open, self._hides = None, False
            return text.partition(_BELL)[2] if hid else text
        return b"" if hid else text
