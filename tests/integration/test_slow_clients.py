"""Clients that hardly read while a console floods: they cost nobody anything, and are told what they missed.

The flood comes from a container, whose console is as fast as libvirt is.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

import virtmux
from tests.bench import cpu
from tests.harness.container import GREETING, PRINT
from tests.harness.counts import count, seed
from tests.harness.daemon import Daemon
from tests.harness.follower import PATIENCE
from tests.harness.guest import Guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.stalled import stalled
from tests.harness.stream import ROOMY, Checker, Expected, checking, write_random
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Attached, Break, Cause, Ended

pytestmark = pytest.mark.where_it_can_be_had

MIB = 1 << 20
STALLED = 100
SLOW = 100
#: Bytes a second that a slow one reads.
RATE = 1024
FAST = 5
#: Bytes; printed three times.
FLOOD = count(16 * MIB, 64 * MIB)
#: What the daemon's memory may grow by, with all that it has mapped.
GROWTH_KIB = 64 * 1024
#: How many times as much of a processor's time the flood may cost the daemon beside the others. If it waited for one of
#: these, the flood would take hours.
MORE = 3.0
GAP = {"bytes": MIB, "seconds": 5.0, "then": "gap"}
#: Bytes that one which lags as far is given at the most: those, and what a socket holds.
GIVEN = 2 * MIB
LEAVE = GAP | {"then": "leave"}


async def test_fast_clients_get_every_byte_at_little_more_cost_beside_those_that_do_not_read(
    lxc: Libvirtd, start_talker: StartGuest, daemon: StartDaemon, tmp_path: Path, progress: Callable[[str], None]
) -> None:
    stream = write_random(tmp_path / "output", FLOOD, seed())
    guest = await start_talker(lxc, output=tmp_path / "output")
    mux = await daemon(lxc.uri, config=ROOMY)
    expected = Expected(GREETING, stream, times=3)
    async with AsyncExitStack() as stack:
        idle = mux.resident_kib
        fast = [await stack.enter_async_context(checking(mux.socket, guest.name, expected)) for _ in range(FAST)]
        for client in fast:
            await client.until_at(len(GREETING))
        alone = await _flood(mux, fast)
        deaf = [await stack.enter_async_context(stalled(mux.socket, guest.name, expected, GAP)) for _ in range(STALLED)]
        slow = [await stack.enter_async_context(stalled(mux.socket, guest.name, expected, GAP)) for _ in range(SLOW)]
        async with asyncio.TaskGroup() as tasks, _watched(mux) as memory:
            reading = [tasks.create_task(client.read_slowly(RATE)) for client in slow]
            beside = [await _flood(mux, fast)]
            await _mark(mux, guest, fast)
            beside.append(await _flood(mux, fast))
            for each in reading:
                each.cancel()
        grown = max(memory) - idle
        costs = ", ".join(f"{seconds:.2f}" for seconds in (alone, *beside))
        figures = f"processor: {costs} s; memory {idle} KiB and at most {grown} KiB more"
        print(figures)
        progress(figures)
        for client in fast:
            assert client.offset == expected.end
            assert not client.gaps
        assert min(beside) < MORE * alone, figures
        assert grown < GROWTH_KIB, figures

        end = fast[0].console.position
        marks = dict(enumerate(fast[0].marks[1:], 2))
        assert [type(mark) for mark in marks.values()] == [Ended, Break, Attached]
        for late in (*deaf, *slow):
            await late.catch_up(end)
            assert late.ended is None
            assert late.gaps, "what it missed is named"
            assert late.marks == marks, "marks are not skipped"
            missed = sum(gap.to_offset - gap.offset for gap in late.gaps)
            assert late.received + missed == 2 * FLOOD
            assert late.received < GIVEN, "no more than it wanted to lag"


async def _flood(mux: Daemon, clients: Sequence[Checker]) -> float:
    """The container prints until all these clients have it; seconds of a processor that it cost the daemon."""
    before, offset = cpu.seconds([mux.pid]), clients[0].offset
    await clients[0].console.write(PRINT)
    for client in clients:
        await client.until_at(offset + FLOOD)
    return cpu.seconds([mux.pid]) - before


async def _mark(mux: Daemon, guest: Guest, clients: Sequence[Checker]) -> None:
    """The console is let go and taken back while it is quiet."""
    async with virtmux.connect(mux.socket) as person:
        await person.release(guest.name)
        await person.reclaim(guest.name)
    for client in clients:
        await client.until_at(client.offset, mark=5)


@asynccontextmanager
async def _watched(mux: Daemon) -> AsyncIterator[list[int]]:
    """The daemon's memory in KiB, ten times a second until the context is left."""
    sizes = [mux.resident_kib]

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.1)
            sizes.append(mux.resident_kib)

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch())
        try:
            yield sizes
        finally:
            watching.cancel()


async def until_alone(mux: Daemon) -> None:
    """Wait until the daemon has sent the other client away: nobody is told of that but the one who does not read."""
    async with asyncio.timeout(PATIENCE), virtmux.connect(mux.socket) as client:
        while (await client.consoles())[0].clients > 1:
            await asyncio.sleep(0.05)


async def test_a_client_that_would_rather_leave_is_sent_away_as_too_slow(
    lxc: Libvirtd, start_talker: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    stream = write_random(tmp_path / "output", 4 * MIB, seed())
    guest = await start_talker(lxc, output=tmp_path / "output")
    mux = await daemon(lxc.uri, config=ROOMY)
    expected = Expected(GREETING, stream)
    async with checking(mux.socket, guest.name, expected) as fast:
        await fast.until_at(len(GREETING))
        async with stalled(mux.socket, guest.name, expected, LEAVE) as deaf:
            await fast.console.write(PRINT)
            await fast.until_at(expected.end)
            await until_alone(mux)
            await deaf.catch_up(fast.console.position)
            assert deaf.ended is not None
            assert deaf.ended.cause is Cause.TOO_SLOW
            assert re.search(r"\d", deaf.ended.text), "the numbers"
            assert not deaf.gaps, "all that it was given, it was given whole"
            assert deaf.received < len(stream)
        assert not fast.gaps
