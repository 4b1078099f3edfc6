"""What reaches a clipboard is known in all its forms."""

import pytest

from virtmux.escapes import MAX_SEQUENCE, Scanner
from virtmux_cli.attach.guest_terminal import GuestTerminal

TEXT = b"c;Y29waWVk"
CLIPBOARD = [
    b"\x1b]52;" + TEXT + b"\x07",
    b"\x1b]52;c;?\x1b\\",
    b"\x9d52;" + TEXT + b"\x9c",
    b"\x1b]52",
    b"\x1b\x00]5\x0b2;" + TEXT + b"\x07",
    b"\x1b]0052;" + TEXT + b"\x07",
    b"\x1b]4294967348;" + TEXT + b"\x07",
    b"\x1bPtmux;\x1b\x1b]52;" + TEXT + b"\x07\x1b\\",
    b"\x1bP1\xfftmux;\x1b\x1b]52;" + TEXT + b"\x07\x1b\\",
    b"\x1b\xff]52;" + TEXT + b"\x07",
    b"\x1b]52;c;" + b"A" * MAX_SEQUENCE + b"\x07",
    b"\x1bPtmux;" + b"A" * MAX_SEQUENCE + b"\x1b\x1b]52;" + TEXT + b"\x07\x1b\\",
]
OTHERS = [
    b"\x1b]0;title 52;\x07",
    b"\x1b]2;tmux;\x07",
    b"\x1b]8;;http://e.org\x1b\\",
    b"\x1b]522;\x07",
    b"\x1b]1337;File=\x07",
    b"\x1b]10;?\x07",
    b"\x1bPq#0~~\x1b\\",
    b"\x1bP$qm\x1b\\",
    b"\x1b[52;1H",
    b"\x1b7",
    b"\x9b31m",
]


def written(data: bytes) -> bytes:
    """What a terminal whose clipboard is none of the guest's is written, but for its own title."""
    return GuestTerminal(clipboard=False).feed(data + b".").replace(b"\x1b[22;0t", b"")


@pytest.mark.parametrize("data", CLIPBOARD)
def test_nothing_is_left_that_any_program_takes_for_it(data: bytes) -> None:
    left = [unit.data for unit in Scanner().feed(written(data))]
    assert b"\x1b" not in b"".join(left).replace(b"\x1b\\", b"")
    assert b"\x9d" not in b"".join(left)


@pytest.mark.parametrize("data", OTHERS)
def test_everything_else_is_written(data: bytes) -> None:
    assert written(data) == data + b"."


@pytest.mark.parametrize("data", [*CLIPBOARD, *OTHERS])
def test_a_terminal_that_is_the_guests_gets_all_of_it(data: bytes) -> None:
    assert GuestTerminal().feed(data + b"\x1b\\").replace(b"\x1b[22;0t", b"") == data + b"\x1b\\"
