"""Names of keys and their numbers in Linux's input-event-codes.h, as virDomainSendKey takes them. Pure."""

import difflib
import re
from itertools import chain

_ROWS = {2: "1234567890", 16: "qwertyuiop", 30: "asdfghjkl", 44: "zxcvbnm"}
_KEYPAD = chain(range(71, 74), range(75, 78), range(79, 83))
#: By number: the names, the first of which is the usual one.
_NAMED = {
    1: ("esc", "escape"),
    12: ("minus",),
    13: ("equal",),
    14: ("backspace",),
    15: ("tab",),
    26: ("leftbrace",),
    27: ("rightbrace",),
    28: ("enter", "return"),
    29: ("ctrl", "control", "leftctrl"),
    39: ("semicolon",),
    40: ("apostrophe",),
    41: ("grave",),
    42: ("shift", "leftshift"),
    43: ("backslash",),
    51: ("comma",),
    52: ("dot",),
    53: ("slash",),
    54: ("rightshift",),
    55: ("kpasterisk",),
    56: ("alt", "leftalt"),
    57: ("space",),
    58: ("capslock",),
    **{59 + at: (f"f{1 + at}",) for at in range(10)},
    69: ("numlock",),
    70: ("scrolllock",),
    **{code: (f"kp{digit}",) for code, digit in zip(_KEYPAD, "7894561230", strict=True)},
    74: ("kpminus",),
    78: ("kpplus",),
    83: ("kpdot",),
    86: ("102nd",),
    87: ("f11",),
    88: ("f12",),
    96: ("kpenter",),
    97: ("rightctrl",),
    98: ("kpslash",),
    99: ("sysrq", "print", "printscreen"),
    100: ("rightalt", "altgr"),
    102: ("home",),
    103: ("up",),
    104: ("pageup", "pgup"),
    105: ("left",),
    106: ("right",),
    107: ("end",),
    108: ("down",),
    109: ("pagedown", "pgdn"),
    110: ("insert", "ins"),
    111: ("delete", "del"),
    113: ("mute",),
    114: ("volumedown",),
    115: ("volumeup",),
    116: ("power",),
    119: ("pause", "break"),
    125: ("meta", "leftmeta", "super", "win"),
    126: ("rightmeta",),
    127: ("menu", "compose"),
    142: ("sleep",),
    143: ("wakeup",),
    **{183 + at: (f"f{13 + at}",) for at in range(12)},
}

#: Every name, with its number.
KEYS: dict[str, int] = {
    **{name: code for first, row in _ROWS.items() for code, name in enumerate(row, first)},
    **{name: code for code, names in _NAMED.items() for name in names},
}

#: What libvirt takes at once.
MOST = 16


def parse_chord(text: str) -> list[int]:
    """The numbers of the keys that are pressed together: `ctrl-alt-delete`, `f2`, also `KEY_LEFTCTRL-KEY_C`.

    Raises:
        ValueError: a key has no such name, or there are too many.
    """
    codes = [_code(name, text) for name in re.split("[-+]", text)]
    if len(codes) > MOST:
        raise ValueError(f"{len(codes)} keys in {text!r}, and at most {MOST} can be pressed together")
    return codes


def _code(name: str, chord: str) -> int:
    known = name.lower().removeprefix("key_")
    if known in KEYS:
        return KEYS[known]
    where = f" in {chord!r}" if name != chord else ""
    close = difflib.get_close_matches(known, KEYS, 1, 0.5)
    hint = f"did you mean {close[0]!r}?" if close else "keys are for example ctrl, alt, sysrq, f2, enter, up, a, 1"
    raise ValueError(f"no key {name!r}{where}; {hint}")
