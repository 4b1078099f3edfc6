"""Keys by name, as terminals send them."""

import re

import pytest

from virtmux_cli.automation.keys import parse_key


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("enter", b"\r"), ("Enter", b"\r"), ("esc", b"\x1b"), ("tab", b"\t"), ("space", b" "), ("backspace", b"\x7f"),
        ("BSpace", b"\x7f"), ("shift-tab", b"\x1b[Z"), ("up", b"\x1b[A"), ("left", b"\x1b[D"), ("home", b"\x1b[H"),
        ("del", b"\x1b[3~"), ("pgup", b"\x1b[5~"), ("PageDown", b"\x1b[6~"), ("f1", b"\x1bOP"), ("f4", b"\x1bOS"),
        ("f5", b"\x1b[15~"), ("f10", b"\x1b[21~"), ("f12", b"\x1b[24~"), ("f20", b"\x1b[34~"),
        ("x", b"x"), ("-", b"-"), ("^", b"^"), ("ü", "ü".encode()),
        ("ctrl-c", b"\x03"), ("Ctrl-C", b"\x03"), ("C-c", b"\x03"), ("^C", b"\x03"), ("ctrl-]", b"\x1d"),
        ("ctrl-space", b"\x00"), ("ctrl-@", b"\x00"), ("ctrl-?", b"\x7f"),
        ("alt-x", b"\x1bx"), ("M-x", b"\x1bx"), ("ctrl-alt-x", b"\x1b\x18"), ("alt-enter", b"\x1b\r"), ("C--", None),
    ],
)  # fmt: skip
def test_a_key_is_what_xterm_sends(name: str, data: bytes | None) -> None:
    if data is None:
        with pytest.raises(ValueError, match="no key"):
            parse_key(name)
    else:
        assert parse_key(name) == data


@pytest.mark.parametrize(
    ("terminal", "name", "data"),
    [
        ("linux", "f1", b"\x1b[[A"), ("linux", "f5", b"\x1b[[E"), ("linux", "f6", b"\x1b[17~"),
        ("linux", "home", b"\x1b[1~"), ("linux", "end", b"\x1b[4~"), ("linux", "up", b"\x1b[A"),
        ("vt100", "f2", b"\x1bOQ"), ("vt100", "backspace", b"\x08"), ("vt100", "ctrl-c", b"\x03"),
    ],
)  # fmt: skip
def test_other_terminals_differ(terminal: str, name: str, data: bytes) -> None:
    assert parse_key(name, terminal) == data


@pytest.mark.parametrize(
    ("name", "terminal"), [("f21", "xterm"), ("", "xterm"), ("ctrl-", "xterm"), ("ctrl-f2", "xterm"), ("f5", "vt100")]
)
def test_what_it_does_not_have_is_said_with_what_there_is(name: str, terminal: str) -> None:
    text = f"a terminal of kind {terminal} has no key {name!r} (expected for example enter, f2"
    with pytest.raises(ValueError, match=re.escape(text)):
        parse_key(name, terminal)
