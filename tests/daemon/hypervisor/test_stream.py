"""A console's stream: how its output and its end are told, when its connection rests, and what it leaves behind."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import libvirt
import pytest

from tests.harness.consoles import UUID
from tests.harness.fake_guest import FakeGuest
from tests.harness.fake_libvirt import FakeLibvirt
from tests.harness.turns import turns, until
from virtmux.reasons import Phase
from virtmuxd.core.evidence import Failure
from virtmuxd.hypervisor.connection import Route
from virtmuxd.hypervisor.errors import CallFailed
from virtmuxd.hypervisor.stream import ConsoleStream
from virtmuxd.hypervisor.workers import Workers

MILLISECOND = 1_000_000
SHARE = 1 << 18


class Receiver:
    """What a console's stream tells, in its order: the output of each turn, and the end; and in which threads."""

    def __init__(self) -> None:
        self.told: list[bytes | Failure] = []
        self.threads: set[int] = set()

    def hear(self, pieces: list[bytes], _at: int) -> None:
        self._note(b"".join(pieces))

    def end(self, failure: Failure) -> None:
        self._note(failure)

    def _note(self, told: bytes | Failure) -> None:
        self.told.append(told)
        self.threads.add(threading.get_ident())

    @property
    def output(self) -> bytes:
        return b"".join(each for each in self.told if isinstance(each, bytes))

    @property
    def ends(self) -> list[Failure]:
        return [each for each in self.told if isinstance(each, Failure)]


class Bench:
    """A libvirt, a guest that runs, and its console."""

    def __init__(self, fake: FakeLibvirt, guest: FakeGuest, stream: ConsoleStream) -> None:
        self.fake, self.guest, self.stream = fake, guest, stream
        self.receiver = Receiver()
        stream.start(self.receiver.hear, self.receiver.end)

    async def take(self) -> None:
        """Somebody takes the console by force."""
        other = await asyncio.to_thread(self.fake.open, "qemu:///fake")
        stream = other.newStream(libvirt.VIR_STREAM_NONBLOCK)
        open_ = other.lookupByUUIDString(UUID).openConsole
        await asyncio.to_thread(open_, self.guest.device, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        stream.abort()
        other.close()

    async def end(self) -> None:
        """The guest ends."""
        self.guest.stop()


@asynccontextmanager
async def opened(*, remote: bool = True) -> AsyncIterator[Bench]:
    async with FakeLibvirt(remote=remote).installed() as fake:
        guest = fake.add()
        guest.start()
        workers = Workers(2, "test")
        connection = await Route("qemu:///fake", fake.bridge, workers, workers, 10.0).connect()
        bench = Bench(fake, guest, await ConsoleStream.open(connection, UUID, guest.device))
        yield bench
        await bench.stream.close()
        assert guest.holders == []
        assert [(each.is_open, each.lost) for each in fake.connections] == [(False, None)] * len(fake.connections)
        workers.close()


# What is told.


async def test_output_is_told_as_it_comes_and_the_end_once_behind_it() -> None:
    async with opened() as bench:
        for line in (b"one line\r\n", b"another\r\n"):
            bench.guest.says(line)
            await until(lambda: bench.receiver.output.endswith(line))  # noqa: B023
        bench.guest.says(b"the last\r\n")
        bench.guest.stop()
        await until(lambda: bench.receiver.ends)
        await turns()
        *output, end = bench.receiver.told
        assert output == [b"one line\r\n", b"another\r\n", b"the last\r\n"]
        assert isinstance(end, Failure)
        assert (end.phase, end.error, end.cause, end.stalled) == (Phase.RECEIVE, None, None, False)


@pytest.mark.parametrize(
    ("remote", "error"), [(True, (39, 38, "stream had I/O failure")), (False, (-1, 0, "libvirt has closed the stream"))]
)
async def test_a_takeover_is_an_end_with_an_error_which_is_told_on_the_loop(
    remote: bool, error: tuple[int, int, str]
) -> None:
    async with opened(remote=remote) as bench:
        await bench.take()
        await until(lambda: bench.receiver.ends)
        await turns()
        (end,) = bench.receiver.ends
        assert end.error is not None
        assert (end.error.code, end.error.domain, end.error.message) == error
        assert end.error.api == "virStreamRecv"
        assert bench.receiver.threads == {threading.get_ident()}


@pytest.mark.parametrize("ends", [Bench.take, Bench.end])
async def test_who_has_stopped_it_is_told_nothing_more(ends: Callable[[Bench], Awaitable[None]]) -> None:
    async with opened() as bench:
        bench.guest.says(b"too late")
        bench.stream.stop()
        await ends(bench)
        await turns()
        assert bench.receiver.told == []


async def test_input_reaches_the_guest_and_behind_its_end_fails() -> None:
    async with opened() as bench:
        await bench.stream.send([b"root", b"\r"], fence=3)
        assert bench.guest.typed == b"root\r"
        asked = [connection.asked_for_version for connection in bench.fake.connections]
        assert asked == [1], "the fence"
        await bench.take()
        with pytest.raises(CallFailed) as failed:
            await bench.stream.send([b"x"], fence=0)
        assert failed.value.error.api == "virStreamSend"


# How much, and when.


class Clock:
    """Where a test sets the time, and sees whether the connection rests."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self._bench = bench
        self._now = 0
        self._rests: list[float] = []
        monkeypatch.setattr(bench.fake.bridge, "rest", lambda _transport, seconds: self._rests.append(seconds))
        monkeypatch.setattr(time, "monotonic_ns", lambda: self._now)

    async def rests_when_it_prints(self, size: int, *, after: int = MILLISECOND) -> bool:
        """Whether the connection rests if the guest prints so much, so long (ns) after the last time."""
        self._now += after
        before, heard = len(self._rests), len(self._bench.receiver.output)
        self._bench.guest.says(bytes(size))
        await until(lambda: len(self._bench.receiver.output) == heard + size)
        return len(self._rests) > before


async def test_a_connection_rests_after_much_output_and_after_output_close_behind_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened() as bench:
        clock = Clock(bench, monkeypatch)
        assert not await clock.rests_when_it_prints(1023)
        assert await clock.rests_when_it_prints(1024)
        assert not await clock.rests_when_it_prints(1)
        assert await clock.rests_when_it_prints(1, after=MILLISECOND - 1)
        assert await clock.rests_when_it_prints(1, after=0)
        assert not await clock.rests_when_it_prints(1)


async def test_nobody_who_types_waits_for_a_connection_that_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as bench:
        clock = Clock(bench, monkeypatch)
        await clock.rests_when_it_prints(1)
        assert bench.stream.can_send_at_once()
        bench.stream.send_at_once([b"x"])
        assert not await clock.rests_when_it_prints(1, after=0)
        assert await clock.rests_when_it_prints(1, after=0)


async def test_no_console_takes_more_than_its_share_of_a_turn() -> None:
    async with opened() as bench:
        bench.guest.says(bytes(4 * SHARE))
        await until(lambda: len(bench.receiver.output) == 4 * SHARE)
        assert [len(told) for told in bench.receiver.told if isinstance(told, bytes)] == [SHARE] * 4


# What it leaves behind.


@pytest.mark.parametrize("ends", [Bench.take, Bench.end])
async def test_a_console_that_has_ended_is_closed_as_any_other(ends: Callable[[Bench], Awaitable[None]]) -> None:
    """That is what `opened` looks at: nobody has the console, and the connection was closed, not cut."""
    async with opened() as bench:
        await ends(bench)
        await until(lambda: bench.receiver.ends)
