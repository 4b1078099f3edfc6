"""What terminal output consists of: text, escape sequences and control functions (ECMA-48), in UTF-8. Pure.

    text        ASCII but ESC, and characters of more bytes
    sequence    ESC ...; CSI ...; OSC, DCS, SOS, PM or APC up to ST, BEL, CAN or SUB, or to an ESC or C1 that aborts it
    c1          any other control function from U+0080 to U+009F, encoded or as one byte
    invalid     a byte that is none of this and belongs to no UTF-8 character

A byte from 0x80 to 0x9f is a control function only where it belongs to no UTF-8 character. As in terminals, control
characters within a sequence are executed and do not end it. What is not ended within `MAX_SEQUENCE` characters is no
sequence: its first two bytes stand alone, and text follows, so that a stray ESC does not swallow what comes after it.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import NamedTuple

MAX_SEQUENCE = 4096
"""Characters of a sequence, beyond its introducer. A character has at most 4 bytes."""

#: A character of two to four bytes that is no C1 control function, and one of which the end is missing.
_CHARACTER = (
    rb"(?:\xc2[\xa0-\xbf]|[\xc3-\xdf][\x80-\xbf]"
    rb"|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})"
)
_PARTIAL = (
    rb"(?:[\xc2-\xdf]|\xe0[\xa0-\xbf]?|[\xe1-\xec\xee\xef][\x80-\xbf]?|\xed[\x80-\x9f]?"
    rb"|\xf0(?:[\x90-\xbf][\x80-\xbf]?)?|[\xf1-\xf3][\x80-\xbf]{0,2}|\xf4(?:[\x80-\x8f][\x80-\xbf]?)?)\Z"
)
PARTIAL_CHARACTER = re.compile(_PARTIAL)
"""The first bytes of a character, at the end of the data, where more may follow."""

_MOST = b"{0,%d}" % MAX_SEQUENCE
#: Text is matched in runs of so many alternations of ASCII and other characters, which bounds what `re` remembers.
_RUN = b"{1,1024}"


class Kind(StrEnum):
    """What a unit is; see the module."""

    TEXT = "text"
    SEQUENCE = "sequence"
    C1 = "c1"
    INVALID = "invalid"


class Unit(NamedTuple):
    """Consecutive bytes of one kind. Text is valid UTF-8, a run of any length; the others are one of a kind."""

    kind: Kind
    data: bytes


#: Control characters that are executed within a sequence, as a class of `re`: all but CAN, SUB and ESC; BEL and newline
#: are left out here.
EXECUTED = rb"\x00-\x06\x08\x09\x0b-\x17\x19\x1c-\x1f\x7f"


EXECUTED_WITHIN = re.compile(rb"[\n" + EXECUTED + rb"]|\x07(?!\Z)")
"""Finds them in a sequence, with newlines and BEL, but for a BEL that is its end."""

STRICT = rb"\n"
"""As a terminal reads it: a newline is executed within a sequence."""
LINES = b""
"""A newline within a sequence shows that it is none: something else, such as the kernel, has written in its midst."""


@cache
def _grammar(newline: bytes) -> re.Pattern[bytes]:
    """The units; `newline` is `STRICT` or `LINES`. Made when it is needed: it takes as long as a small command.

    At each byte one alternative of a repetition fits, so that `re` never tries in vain; `open` may go on behind the end
    of the data.
    """
    in_string = EXECUTED + newline
    executed = rb"\x07" + in_string
    esc = rb"\x1b[" + executed + b"]" + _MOST
    csi = rb"(?:" + esc + rb"\[|\xc2?\x9b)[\x20-\x3f" + executed + b"]" + _MOST
    escape = rb"\x1b[\x20-\x2f" + executed + b"]" + _MOST
    stray = rb"(?!" + _CHARACTER + b"|" + _PARTIAL + rb")(?:\xc2(?![\x80-\x9f])|[\xa0-\xc1\xc3-\xff])"
    body = rb"(?:[\x20-\x7e" + in_string + b"]|" + _CHARACTER + b"|" + stray + b")" + _MOST
    string = rb"(?:" + esc + rb"[\]PX^_]|\xc2?[\x90\x98\x9d-\x9f])" + body
    aborted = rb"[\x18\x1a]|(?=[\x1b\x80-\xff])"
    string_aborted = rb"[\x18\x1a]|(?=\xc2?[\x80-\x9f]|" + esc + rb"[^\\" + executed + b"])"
    alternatives = (
        rb"(?P<text>(?:[\x00-\x1a\x1c-\x7f]+|" + _CHARACTER + b")" + _RUN + b")",
        rb"(?P<sequence>" + csi + rb"(?:[\x40-\x7e]|" + aborted + b")"
        rb"|" + string + rb"(?:\x07|\xc2?\x9c|" + esc + rb"\\|" + string_aborted + b"))",
        rb"(?P<open>(?:" + csi + b"|" + string + b"(?:" + esc + b")?|" + escape + rb")\Z"
        rb"|(?:" + string + b")?" + _PARTIAL + b")",
        rb"(?P<escape>" + escape + rb"(?:[\x30-\x7e]|" + aborted + rb")|\x1b)",
        rb"(?P<c1>\xc2?[\x80-\x9f])",
        rb"(?P<invalid>[\xa0-\xff])",
    )
    return re.compile(b"|".join(alternatives))


#: By the names of the groups of a grammar.
_KINDS = {**{str(kind): kind for kind in Kind}, "escape": Kind.SEQUENCE}


class Scanner:
    """Splits a stream that comes in pieces into its units, the same ones however it is cut."""

    def __init__(self, newline: bytes = STRICT) -> None:
        """`newline`: `STRICT` or `LINES`."""
        self._newline = newline
        self._held = b""

    @property
    def held(self) -> int:
        """How many of the last bytes are still open: 0 where the stream is between characters now, and never more than
        a few times `MAX_SEQUENCE`."""
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[Unit]:
        """The units that end in `data`; the first may have begun before it. To be taken to the end, or never again."""
        data, self._held = self._held + data, b""
        for match in _grammar(self._newline).finditer(data):
            name = str(match.lastgroup)
            if name == "open":
                self._held = match[0]
            else:
                yield Unit(_KINDS[name], match[0])

    def close(self) -> bytes:
        """The bytes that were open as the stream ended. The next `feed` begins another stream."""
        held, self._held = self._held, b""
        return held
