"""What the windows of consoles are called, and by what they are found again. Pure.

tmux expands formats in the names that it is given, and `#(...)` runs a command; `.` and `:` separate the parts of its
targets. So a name holds nothing but what is known to be harmless, and is never what a window is found by.
"""

from typing import NamedTuple, Self
from urllib.parse import quote, unquote

from virtmux.reasons import Cause, ConsoleId
from virtmux.sanitize import printable

#: Characters of a window's name.
MAX_NAME = 48
_HARMLESS = frozenset("-_+@~")
#: The devices that a domain's name alone means.
_FIRST_DEVICES = frozenset({"serial0", "console0"})
#: Nothing of tmux, and no blank.
_UNQUOTED = "/:@+=&?,"
_HERE = "-"


class Key(NamedTuple):
    """Which console a window is for. `host` is None where it is one of this host."""

    host: str | None
    uri: str
    uuid: str
    device: str

    @classmethod
    def of(cls, host: str | None, console: ConsoleId) -> Self:
        """The key of a console of `host`."""
        return cls(host, console.uri, console.uuid, console.device)

    def __str__(self) -> str:
        """As it stands in an option of tmux: ASCII, four words."""
        host = _HERE if self.host is None else quote(self.host, _UNQUOTED)
        return " ".join((host, *(quote(word, _UNQUOTED) for word in self[1:])))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` gave.

        Raises:
            ValueError: it is something else.
        """
        host, uri, uuid, device = text.split(" ")
        return cls(None if host == _HERE else unquote(host), unquote(uri), unquote(uuid), unquote(device))


def safe_name(text: str) -> str:
    """`text` as a name for tmux: letters, digits and few signs, the rest as `_`; not empty, and not too long."""
    name = "".join(char if char.isalnum() or char in _HARMLESS else "_" for char in text)
    if len(name) > MAX_NAME:
        name = f"{name[: MAX_NAME - 1]}~"
    return name if name[:1].isalnum() else f"_{name[1:]}"


def window_name(key: Key, domain: str, cause: Cause | None) -> str:
    """The name of a console's window: the domain, with what tells it from others, and why the console ended."""
    device = "" if key.device in _FIRST_DEVICES else f"-{key.device}"
    host = "" if key.host is None else f"@{key.host}"
    name = safe_name(f"{domain}{device}{host}")
    return name if cause is None else f"{name} ({cause.value})"


def real_name(key: Key, domain: str) -> str:
    """The console's name as it can be given to `attach`."""
    return printable(f"{domain}:{key.device}" + ("" if key.host is None else f" at {key.host}"))


def session_name(text: str) -> str:
    """`text`, where tmux takes it as a session's name as it is.

    Raises:
        ValueError: it would be something else to tmux.
    """
    if text != safe_name(text):
        raise ValueError(f"not a session's name: {text!r} (expected letters, digits and {' '.join(sorted(_HARMLESS))})")
    return text
