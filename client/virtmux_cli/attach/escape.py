"""The escape key: how it is written, and how it is found in what is typed. Pure."""

#: The key that leaves, as virsh has it.
DEFAULT = "^]"


def parse_escape(text: str) -> bytes | None:
    """The byte that `^X`, a single character, or `none` stands for, as virsh reads it (tools/vsh.c).

    Raises:
        ValueError: it is none of them.
    """
    if text == "none":
        return None
    if text == "^?":
        return b"\x7f"
    if len(text) == 2 and text[0] == "^" and "@" <= text[1].upper() <= "_":
        return bytes([ord(text[1].upper()) & 0x1F])
    if len(text) == 1 and text.isascii():
        return text.encode()
    raise ValueError(f"not an escape key: {text!r} (expected ^X, one character, or none)")


def describe_escape(escape: bytes) -> str:
    """Name the key as virsh does: `^] (Ctrl + ])`."""
    code = escape[0]
    if code == 0x7F:
        return "^? (Ctrl + ?)"
    if code < 0x20:
        return f"^{chr(code | 0x40)} (Ctrl + {chr(code | 0x40)})"
    return chr(code)


def until_escape(data: bytes, escape: bytes | None) -> tuple[bytes, bool]:
    """The input before the escape key, and whether the key was there; what follows it is not input."""
    if escape is None:
        return data, False
    before, found, _ = data.partition(escape)
    return before, bool(found)
