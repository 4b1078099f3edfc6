"""What a guest may say that acts on a terminal, or on a program before it; and what a person may be shown instead."""

import re

#: What some terminal answers.
REQUESTS = [
    b"\x1b[6n", b"\x1b[?6n", b"\x1b[5n", b"\x1b[c", b"\x1b[>c", b"\x1b[=0c", b"\x9b6n", b"\xc2\x9b6n", b"\x1b[18t",
    b"\x1b[21t", b"\x1b[?2004$p", b"\x1b[>q", b"\x1b[>0q", b"\x1b[?u", b"\x1b[x", b"\x1bP$qm\x1b\\",
    b"\x1b[1;1;1;1;9;9*y", b"\x1bP+q544e\x1b\\", b"\x1b]10;?\x07", b"\x1b]4;1;?\x1b\\", b"\x1b]52;c;?\x07", b"\x1bZ",
    b"\x9a", b"\xc2\x9a", b"\x05", b"\x1b[?1;1;0S", b"\x1b[?4m", b"\x1b[#|", b"\x1b[1$w", b"\x1b['|", b"\x1b[\"v",
    b"\x1b[&u", b"\x1b[5i", b"\x1b_Gi=31,a=q;AAAA\x1b\\", b"\x1b]1337;ReportCellSize\x07", b"\x1b]52;c;aGk=\x07",
]  # fmt: skip
#: What reaches beyond the screen: windows, printers, keys, the clipboard, lines that are kept, other programs, ears.
ACTIONS = [
    b"\x1b[8;1;1t", b"\x1b[2t", b"\x1b[22;0t", b"\x1b[4i", b"\x1b[?5i", b"\x1b[?46h", b"\x1b[?38h", b"\x1b[?3h",
    b"\x1bP0;1|17/63616c\x1b\\", b"\x1b]52;c;aGk=\x1b\\", b"\x9d52;c;aGk=\x9c", b"\x1b]9;4;1;50\x07",
    b"\x1b]9;7;calc\x07", b"\x1b]7;file://host/tmp\x07", b"\x1b]777;notify;a;b\x07", b"\x1b]1337;StealFocus\x07",
    b"\x1b]50;#+1\x07", b"\x1b_Ga=d\x1b\\", b"\x1b^private\x1b\\", b"\x1bXstart\x1b\\", b"\x1b[2h",
    b"\x1b[?1004h", b"\x1b[?1049;1004h", b"\x1b[?2031h", b"\x1b[?2048h", b"\x1b[?1001h", b"\x1b[1;1;1;2;2T", b"\x1b[3J",
    b"\x1b[?3J", b"\x07", b"\x18", b"\x1a", b"\x13", b"\x00", b"\x7f",
    b"\x1b]0;t\x9c", b"\x1b]0;t\xc2\x9c", b"\x9d0;t\x07", b"\x1bPq#0\x07", b"\x1b\\",
]  # fmt: skip
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def is_harmless(shown: bytes, *, colours: bool = False, forged: str = "\0") -> bool:
    """Whether it is lines of text, of which none begins with `forged`. `colours`: with colours in it."""
    text = shown.decode().replace("\r\n", "\n").replace("\t", " ")
    lines = (_COLOURS.sub("", text) if colours else text).split("\n")
    return all(line.isprintable() and not line.startswith(forged) for line in lines)
