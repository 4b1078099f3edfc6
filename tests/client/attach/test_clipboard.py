"""What reaches a clipboard is known in all its forms."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtmux.escapes import MAX_SEQUENCE
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
#: Parts of which something in between may make one.
PARTS = [
    b"\x1b", b"]", b"5", b"2;c;QQ==", b"\x1b]5", b"\x1b]", b"\x1bP", b"\x1bPt", b"t", b"mux;", b"\x1bm", b"\x1b\\",
    b"\\", b"\x07", b"\x18", b"\xff", b"\x9c", b"\xc2\x9c", b"\x00", b"0", b"\x1b[", b"\x1b(", b"\x1bX", "é".encode(),
]  # fmt: skip
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


class Tmux:
    """As much of tmux's parser as leads to the clipboard. It judges what comes out by rules of its own."""

    def __init__(self) -> None:
        self.reached = False
        self._state = self._ground
        self._said = bytearray()

    def feed(self, data: bytes) -> None:
        for byte in data:
            if self._state not in (self._handler, self._handler_escape) and byte in b"\x18\x1a\x1b":
                self._leave_command()
                self._state = self._escape if byte == 0x1B else self._ground
            else:
                self._state(byte)

    def _ground(self, byte: int) -> None:
        pass

    def _escape(self, byte: int) -> None:
        following = {
            0x5D: self._command,
            0x50: self._enter,
            0x58: self._consume,
            0x5E: self._consume,
            0x5F: self._consume,
        }
        if 0x20 <= byte <= 0x2F:
            self._state = self._intermediate
        elif 0x30 <= byte <= 0x7E:
            self._said.clear()
            self._state = following.get(byte, self._ground)

    def _intermediate(self, byte: int) -> None:
        if 0x30 <= byte <= 0x7E:
            self._state = self._ground

    def _consume(self, byte: int) -> None:
        pass

    def _command(self, byte: int) -> None:
        if byte == 0x07:
            self._leave_command()
            self._state = self._ground
        elif byte >= 0x20:
            self._said.append(byte)

    def _leave_command(self) -> None:
        number = re.match(rb"(\d+);", self._said) if self._state == self._command else None
        self.reached = self.reached or (number is not None and int(number[1]) % 2**32 == 52)

    def _enter(self, byte: int) -> None:
        if 0x40 <= byte <= 0x7E:
            self._state = self._handler
            self._said.append(byte)

    def _handler(self, byte: int) -> None:
        if byte == 0x1B:
            self._state = self._handler_escape
        else:
            self._said.append(byte)
            self.reached = self.reached or self._said.startswith(b"tmux;")

    def _handler_escape(self, byte: int) -> None:
        self._state = self._ground if byte == 0x5C else self._handler
        if byte != 0x5C:
            self._handler(byte)


def reached(data: bytes) -> bool:
    tmux = Tmux()
    tmux.feed(data + b"\x18\x1b\\")
    return tmux.reached


def written(*pieces: bytes) -> bytes:
    """What a terminal whose clipboard is none of the guest's is written, but for its own title."""
    guest = GuestTerminal(clipboard=False)
    return b"".join(map(guest.feed, pieces)).replace(b"\x1b[22;0t", b"")


@pytest.mark.parametrize("data", CLIPBOARD)
def test_nothing_reaches_it_however_it_is_written(data: bytes) -> None:
    assert not reached(written(data, b"."))


@given(st.lists(st.sampled_from([*PARTS, *CLIPBOARD[:10]]), max_size=20))
def test_nor_does_what_is_put_together_of_parts(parts: list[bytes]) -> None:
    assert not reached(written(*parts, b"."))


@pytest.mark.parametrize("data", OTHERS)
def test_everything_else_is_written(data: bytes) -> None:
    assert written(data, b".") == data + b"."


@pytest.mark.parametrize("data", [each for each in CLIPBOARD if each[:1] == b"\x1b"])
def test_the_judge_knows_what_reaches_it(data: bytes) -> None:
    assert reached(data) or data.count(b";") == 0


@pytest.mark.parametrize("data", [*CLIPBOARD, *OTHERS])
def test_a_terminal_that_is_the_guests_gets_all_of_it(data: bytes) -> None:
    assert GuestTerminal().feed(data + b"\x1b\\").replace(b"\x1b[22;0t", b"") == data + b"\x1b\\"
