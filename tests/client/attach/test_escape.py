"""The escape key, as virsh reads it."""

import pytest

from virtmux_cli.attach.escape import describe_escape, parse_escape, until_escape


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("^]", b"\x1d"),
        ("^a", b"\x01"),
        ("^A", b"\x01"),
        ("^@", b"\x00"),
        ("^[", b"\x1b"),
        ("^_", b"\x1f"),
        ("^?", b"\x7f"),
        ("~", b"~"),
        ("^", b"^"),
        ("none", None),
    ],
)
def test_a_key_is_written_in_caret_notation_or_as_itself(text: str, key: bytes | None) -> None:
    assert parse_escape(text) == key


@pytest.mark.parametrize("text", ["", "ab", "^]]", "^1", "é", "^é"])
def test_anything_else_is_a_usage_error(text: str) -> None:
    with pytest.raises(ValueError, match="not an escape key"):
        parse_escape(text)


@pytest.mark.parametrize(
    ("key", "text"), [(b"\x1d", "^] (Ctrl + ])"), (b"\x01", "^A (Ctrl + A)"), (b"\x7f", "^? (Ctrl + ?)"), (b"~", "~")]
)
def test_it_is_named_as_virsh_names_it(key: bytes, text: str) -> None:
    assert describe_escape(key) == text


@pytest.mark.parametrize(
    ("typed", "before", "found"),
    [
        (b"ls\r", b"ls\r", False),
        (b"\x1d", b"", True),
        (b"ls\x1d", b"ls", True),
        (b"a\x1db\x1dc", b"a", True),
        (b"", b"", False),
    ],
)
def test_what_follows_the_key_is_no_input(typed: bytes, before: bytes, found: bool) -> None:
    assert until_escape(typed, b"\x1d") == (before, found)


def test_without_a_key_all_is_input() -> None:
    assert until_escape(b"\x1d", None) == (b"\x1d", False)
