"""Which sequences set or ask for the clipboard of a terminal, or of a tmux in between, however they are written. Pure.

tmux hands on what it is given for the terminal around it (`tmux;`), takes a number of an operating system command
modulo 2**32 and with any zeros before it, and passes over bytes that are no ASCII behind an ESC.
"""

import re

from virtmux.escapes import EXECUTED

_CONTROLS = re.compile(rb"[\x07\n" + EXECUTED + rb"]")
#: OSC 52, and whatever may be read as that; all that is left of what was too long to be read; what tmux hands on.
_CLIPBOARD = re.compile(
    rb"(?:\x1b\]|\xc2?\x9d)(?:52(?!\d)|0\d|\d{5}|\Z)|(?:\x1bP|\xc2?\x90)(?:.*tmux;|\Z)|\x1b\Z", re.DOTALL
)


def is_for_clipboard(sequence: bytes) -> bool:
    """Whether it may be one, or the beginning of one."""
    return _CLIPBOARD.match(_CONTROLS.sub(b"", sequence)) is not None
