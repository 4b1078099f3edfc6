"""Keys by their names."""

import re

import pytest

from virtmux_cli.linux_keys import KEYS, parse_chord


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("enter", [28]),
        ("f2", [60]),
        ("F12", [88]),
        ("f24", [194]),
        ("alt-sysrq-b", [56, 99, 48]),
        ("ctrl-alt-delete", [29, 56, 111]),
        ("Ctrl+Alt+Del", [29, 56, 111]),
        ("KEY_LEFTCTRL-KEY_C", [29, 46]),
        ("0", [11]),
        ("kp0", [82]),
        ("kp9", [73]),
        ("pgup", [104]),
    ],
)
def test_a_chord_is_the_numbers_of_its_keys(text: str, codes: list[int]) -> None:
    assert parse_chord(text) == codes


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("entr", "no key 'entr'; did you mean 'enter'?"),
        ("ctrl-alt-delte", "no key 'delte' in 'ctrl-alt-delte'; did you mean 'delete'?"),
        ("ctrl-", "no key '' in 'ctrl-'; keys are for example ctrl, alt, sysrq, f2, enter, up, a, 1"),
        ("-".join("a" * 17), f"17 keys in '{'-'.join('a' * 17)}', and at most 16 can be pressed together"),
    ],
)
def test_what_is_no_chord_is_told_with_what_may_be_meant(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(complaint)}$"):
        parse_chord(text)


def test_every_number_can_be_sent() -> None:
    assert all(1 <= code <= 767 for code in KEYS.values())
