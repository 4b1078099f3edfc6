"""Which sequences set or ask for the clipboard of a terminal, or of a tmux in between, however they are written. Pure.

tmux hands on what it is given for the terminal around it (`tmux;`), takes the number of an operating system command
modulo 2**32 and with any zeros before it, passes over bytes that are no ASCII behind an ESC, and leaves a device
control string at its own end alone. So a string passes only if it ends as everybody has it, and says something else.
"""

import re

from virtmux.escapes import EXECUTED_WITHIN

#: What tmux may take for the beginning of such a string, or for what comes before one.
_SUSPECT = re.compile(rb"\x1b[\]P]|\xc2?[\x90\x9d]|\x1b\Z")
#: Those that are surely another one, and have ended.
_OTHER = re.compile(
    rb"(?:\x1b\]|\xc2?\x9d)(?!52(?!\d)|0\d|\d{5}).*(?:\x07|\x1b\\)|(?:\x1bP|\xc2?\x90)(?!.*tmux;).*\x1b\\", re.DOTALL
)


def may_reach_clipboard(sequence: bytes) -> bool:
    """Whether it is one for somebody, or may become one with what comes behind it."""
    sequence = EXECUTED_WITHIN.sub(b"", sequence)
    return _SUSPECT.match(sequence) is not None and _OTHER.fullmatch(sequence) is None
