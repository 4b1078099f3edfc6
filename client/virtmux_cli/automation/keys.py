"""The bytes that a terminal sends for a key. Pure.

By name, in any case: `enter`, `tab`, `esc`, `f1` to `f20`, `up`, `pgdn`, a character, `ctrl-c`, `alt-x`, `ctrl-alt-x`;
as in tmux also `C-c` and `M-x`. `xterm` is what nearly every terminal emulator sends, `linux` the Linux console, and
`vt100` a real terminal without the keys that came later.
"""

import re

#: Whose keys are known.
TERMINALS = ("xterm", "linux", "vt100")

_XTERM = {
    "enter": b"\r",
    "tab": b"\t",
    "esc": b"\x1b",
    "space": b" ",
    "backspace": b"\x7f",
    "shift-tab": b"\x1b[Z",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
    "home": b"\x1b[H",
    "end": b"\x1b[F",
    "insert": b"\x1b[2~",
    "delete": b"\x1b[3~",
    "pgup": b"\x1b[5~",
    "pgdn": b"\x1b[6~",
    **{f"f{number}": b"\x1bO" + bytes([ord("P") + number - 1]) for number in range(1, 5)},
    **{
        f"f{number}": b"\x1b[%d~" % code
        for number, code in enumerate((15, 17, 18, 19, 20, 21, 23, 24, 25, 26, 28, 29, 31, 32, 33, 34), start=5)
    },
}
_LINUX = {
    "home": b"\x1b[1~",
    "end": b"\x1b[4~",
    **{f"f{number}": b"\x1b[[" + bytes([ord("A") + number - 1]) for number in range(1, 6)},
}
_VT100 = {"backspace": b"\x08", **{f"f{number}": _XTERM[f"f{number}"] for number in range(1, 5)}}
_VT100_HAS = ("enter", "tab", "esc", "space", "backspace", "up", "down", "right", "left", "f1", "f2", "f3", "f4")

_KEYS = {
    "xterm": _XTERM,
    "linux": {**_XTERM, **_LINUX},
    "vt100": {name: {**_XTERM, **_VT100}[name] for name in _VT100_HAS},
}
_OTHER_NAMES = {
    "return": "enter",
    "cr": "enter",
    "escape": "esc",
    "bs": "backspace",
    "bspace": "backspace",
    "btab": "shift-tab",
    "ins": "insert",
    "ic": "insert",
    "del": "delete",
    "dc": "delete",
    "pageup": "pgup",
    "ppage": "pgup",
    "pagedown": "pgdn",
    "npage": "pgdn",
}
_MODIFIER = re.compile(r"(ctrl|c|alt|meta|m)-(?=.)|(\^)(?=.)", re.IGNORECASE)


def parse_key(name: str, terminal: str = "xterm") -> bytes:
    """The bytes of a key.

    Raises:
        ValueError: this terminal has no such key.
    """
    control, alt, rest = False, False, name
    while (modifier := _MODIFIER.match(rest)) is not None:
        is_alt = (modifier[1] or "").lower() in {"alt", "meta", "m"}
        control, alt, rest = control or not is_alt, alt or is_alt, rest[modifier.end() :]
    data = _plain(rest, terminal)
    if data is not None and control:
        data = _controlled(data)
    if data is None:
        raise ValueError(
            f"a terminal of kind {terminal} has no key {name!r} "
            f"(expected for example enter, f2, up, x, ctrl-c or alt-x; it has {', '.join(_KEYS[terminal])})"
        )
    return b"\x1b" + data if alt else data


def _plain(name: str, terminal: str) -> bytes | None:
    if len(name) == 1 and name.isprintable():
        return name.encode()
    known = name.lower()
    return _KEYS[terminal].get(_OTHER_NAMES.get(known, known))


def _controlled(data: bytes) -> bytes | None:
    """With the control key: as a keyboard of ASCII makes it."""
    if data == b"?":
        return b"\x7f"
    upper = data.upper()
    if len(upper) == 1 and (0x40 <= upper[0] <= 0x5F or upper == b" "):
        return bytes([upper[0] & 0x1F])
    return None
