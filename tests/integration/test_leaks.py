"""Consoles that are attached, ended, taken and let go, over and over, leave nothing behind."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import virtmux
from tests.harness.counts import count
from tests.harness.daemon import Daemon
from tests.harness.follower import PATIENCE, boot, follow
from tests.harness.guest import BANNER, Guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import ESCAPE
from tests.harness.virsh_console import virsh_console
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Cause

#: The first cycles bring what is made once and stays: worker threads, imported modules, caches.
WARM_UP = 10
CYCLES = count(25, 1000)
#: What Python's and libc's allocators may hold on to over all cycles; a stream or connection that stays is 11 KB.
MEMORY_KIB = count(2048, 6144)
#: The same over a quarter of the cycles. What leaks grows in each of them, what is needed once in one: some 2.5 MiB,
#: when the marks' file is for the first time much longer than what is kept of it, and is read and rewritten.
FLAT_KIB = 340


async def attach_and_leave(mux: Daemon, guest: Guest) -> None:
    """A client types, reads and goes; the console is let go."""
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
        await client.echo(b"knock")


async def be_killed(mux: Daemon, guest: Guest) -> None:
    """A client dies with the console in its hands."""
    client = await mux.client("attach", guest.name)
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(b"last words")
    async with asyncio.timeout(PATIENCE):
        assert await client.stdout.readexactly(10) == b"last words"
    client.kill()
    await client.communicate()


async def end_and_start(mux: Daemon, guest: Guest) -> None:
    """The guest ends and starts with a client at it."""
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
        await guest.destroy()
        assert (await client.until_ended()).cause is Cause.GUEST_DESTROYED
        await guest.start(paused=True)
        await boot(guest, client, says=BANNER)


async def be_taken_over(mux: Daemon, guest: Guest) -> None:
    """Another libvirt client takes the console by force, and gives it back."""
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
        async with virsh_console(guest, "--force") as thief:
            reason = await client.until_ended()
            assert reason.cause is Cause.CONSOLE_TAKEN_OVER, reason
            thief.send(ESCAPE)
            await thief.exit()
        await client.until_attached()


async def be_released(mux: Daemon, guest: Guest) -> None:
    """A person has the console let go, and takes it back."""
    async with follow(mux.socket, guest.name) as client, virtmux.connect(mux.socket) as person:
        await client.until_attached()
        await person.release(guest.name)
        assert (await client.until_ended()).cause is Cause.CONSOLE_RELEASED
        await person.reclaim(guest.name)
        await client.until_attached()


KINDS = (attach_and_leave, be_killed, end_and_start, be_taken_over, be_released)


async def test_cycles_leave_nothing_behind(
    libvirtd: Libvirtd,
    boot_guest: StartGuest,
    daemon: StartDaemon,
    letting_go: list[str],
    progress: Callable[[str], None],
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, arguments=letting_go, watched=True)
    for number in range(WARM_UP):
        await KINDS[number % len(KINDS)](mux, guest)
    before = await mux.watch.at_rest()
    memory = [mux.anonymous_kib]
    for number in range(CYCLES):
        await KINDS[number % len(KINDS)](mux, guest)
        if number in (CYCLES // 4, CYCLES // 2, CYCLES * 3 // 4):
            await mux.watch.settled(before)
            memory.append(mux.anonymous_kib)
        if number % 20 == 0:
            progress(f"{number} of {CYCLES}, {mux.anonymous_kib} KiB of memory, {len(mux.log)} bytes of log")
    after = await mux.watch.settled(before)
    grown = after.grown(before)
    assert not after.more_than(before), grown
    assert after.busy_workers == 0
    memory.append(mux.anonymous_kib)
    figures = f"{memory} KiB, quarter by quarter; held {after.held}; more of {grown}"
    progress(figures)
    assert memory[-1] - memory[0] < MEMORY_KIB, figures
    assert median(now - then for then, now in pairwise(memory[1:])) < FLAT_KIB, figures


async def test_a_stop_at_any_moment_leaves_no_connection_open(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    for _ in range(3):
        await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, attach="always")
    stops = count(8, 60)
    for number in range(stops):
        # Some moment between the first connection and the last opening.
        await asyncio.sleep(0.3 * number / stops)
        assert await mux.stop() == 0
        assert "still holds event handles" not in mux.log
        await mux.start()
