"""A console's stream: when its connection rests, and how much it takes."""

import time
from typing import Any, cast

import libvirtmod
import pytest

from virtmuxd.hypervisor.connection import Connection
from virtmuxd.hypervisor.stream import ConsoleStream

MILLISECOND = 1_000_000
NOTHING = -2


class Resting:
    """A connection, and how often it was told to rest."""

    libvirt = None

    def __init__(self) -> None:
        self.rests = 0

    def rest(self, _seconds: float) -> None:
        self.rests += 1


class Packets:
    """libvirt's stream, with the packets that have come."""

    _o = None

    def __init__(self) -> None:
        self.come: list[bytes] = []

    def recv(self, size: int) -> Any:
        if not self.come:
            return NOTHING
        packet = self.come.pop(0)
        if len(packet) > size:
            self.come.insert(0, packet[size:])
        return packet[:size]

    def send(self, data: bytes) -> int:
        return len(data)


class Guest:
    """A console's stream whose clock a test sets; what came of each packet is in `output`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.output: list[bytes] = []
        self._now = 0
        self._connection, self._packets = Resting(), Packets()
        self._stream = ConsoleStream(cast(Connection, self._connection), self._packets, 1)
        monkeypatch.setattr(libvirtmod, "virStreamEventAddCallback", lambda *_: 0)
        monkeypatch.setattr(time, "monotonic_ns", lambda: self._now)
        self._stream.start(lambda pieces, _: self.output.extend(pieces), lambda _: None)

    def prints(self, size: int, *, after: int = MILLISECOND) -> bool:
        """Print so much, so long (ns) after the last time; gives whether the connection rests then."""
        self._now += after
        before = self._connection.rests
        self._packets.come.append(bytes(size))
        self._stream._dispatchStreamEventCallback(1, {})
        return self._connection.rests > before

    def is_typed_at(self) -> None:
        self._stream.send_at_once([b"x"])


async def test_a_connection_rests_after_much_output_and_after_output_close_behind_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guest = Guest(monkeypatch)
    assert not guest.prints(1023)
    assert guest.prints(1024)
    assert not guest.prints(1)
    assert guest.prints(1, after=MILLISECOND - 1)
    assert guest.prints(1, after=0)
    assert not guest.prints(1)
    assert sum(map(len, guest.output)) == 1023 + 1024 + 4


async def test_nobody_who_types_waits_for_a_connection_that_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Guest(monkeypatch)
    guest.prints(1)
    guest.is_typed_at()
    assert not guest.prints(1, after=0)
    assert guest.prints(1, after=0)


async def test_no_console_takes_more_than_its_share_of_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Guest(monkeypatch)
    guest.prints(1 << 20)
    assert sum(map(len, guest.output)) == 1 << 18
