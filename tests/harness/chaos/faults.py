"""What happens to guests, to libvirtd and to the daemon: each is one deed, which the oracle is told of."""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from random import Random

import virtmux
from tests.harness.chaos.arena import Arena, Ticker, moment
from tests.harness.chaos.deeds import (
    CLOCK_STEPPED,
    DAEMON_KILLED,
    DAEMON_RELOADED,
    DAEMON_RESTARTED,
    DESCRIPTORS_EXHAUSTED,
    DESTROY,
    DISK_FULL,
    LIBVIRTD_HUNG,
    LIBVIRTD_KILLED,
    LIBVIRTD_RESTARTED,
    LIBVIRTD_SLOW,
    PAUSE,
    QEMU_END,
    RESET,
    SAVE,
    SHUT_DOWN,
    TAKEOVER,
    Kind,
)
from tests.harness.guest import POWER_OFF
from tests.harness.terminal import ESCAPE
from tests.harness.virsh_console import virsh_console

#: One that concerns all.
Fault = Callable[[Arena, Random], Awaitable[None]]

#: So many timers has a console at most that prints, or is waited for.
TIMERS = 3
#: Longer than all of `keepalive_interval` * (`keepalive_count` + 1): hung.
HUNG = 16.0


# To one guest.


async def destroy(arena: Arena, ticker: Ticker, chance: Random) -> None:
    """Its power is cut, and it is started again."""
    await _off_and_on(arena, ticker, chance, DESTROY, ticker.guest.destroy)


async def save(arena: Arena, ticker: Ticker, chance: Random) -> None:
    """It is saved, and goes on where it was."""
    await _off_and_on(arena, ticker, chance, SAVE, ticker.guest.save)


async def shut_down(arena: Arena, ticker: Ticker, chance: Random) -> None:
    """It is told at its console to power itself off."""

    async def off() -> None:
        while not (await ticker.guest.state()).startswith("shut off"):
            # The daemon is ended, or the console taken away, or the guest ends only now: once more.
            with suppress(virtmux.VirtmuxError, TimeoutError):
                await _power_off(arena, ticker)
            with suppress(TimeoutError):
                await ticker.guest.until("shut off (shutdown)", seconds=5.0)

    await _off_and_on(arena, ticker, chance, SHUT_DOWN, off)


async def _power_off(arena: Arena, ticker: Ticker) -> None:
    async with virtmux.connect(arena.mux.socket, reconnect_for=0) as mux, mux.attach(ticker.guest.name) as console:
        await console.until_attached(timeout=5.0)
        await console.send(POWER_OFF)


async def kill(arena: Arena, ticker: Ticker, chance: Random) -> None:
    """Its QEMU is killed."""

    async def off() -> None:
        await asyncio.to_thread(ticker.guest.kill_qemu)
        await ticker.guest.until("shut off (crashed)")

    await _off_and_on(arena, ticker, chance, QEMU_END, off)


async def _off_and_on(
    arena: Arena, ticker: Ticker, chance: Random, kind: Kind, off: Callable[[], Awaitable[None]]
) -> None:
    with ExitStack() as deed:
        async with ticker.lock:
            deed.enter_context(arena.deed(kind, ticker))
            await off()
        await moment(chance, 3.0)
        async with ticker.lock:
            await ticker.start()


async def reset(arena: Arena, ticker: Ticker, chance: Random) -> None:
    """It boots anew, in the same QEMU."""
    async with ticker.lock:
        with arena.deed(RESET, ticker):
            await ticker.guest.reset()


async def pause(arena: Arena, ticker: Ticker, chance: Random) -> None:
    """Its processor is stopped for a while."""
    with ExitStack() as deed:
        async with ticker.lock:
            deed.enter_context(arena.deed(PAUSE, ticker))
            await ticker.guest.suspend()
        await moment(chance, 4.0)
        async with ticker.lock:
            await ticker.guest.resume()


async def take_over(arena: Arena, ticker: Ticker, chance: Random) -> None:
    """virsh takes the console by force, and uses it for a while."""
    async with ticker.lock:
        with arena.deed(TAKEOVER, ticker):
            async with virsh_console(ticker.guest, "--force") as virsh:
                await moment(chance, 3.0)
                virsh.send(ESCAPE)
                await virsh.exit()


# To libvirtd.


async def kill_libvirtd(arena: Arena, chance: Random) -> None:
    """It is killed and started again; guests run on."""
    async with arena.host():
        with arena.deed(LIBVIRTD_KILLED):
            await asyncio.to_thread(arena.libvirtd.kill)
            await moment(chance)
            await asyncio.to_thread(arena.libvirtd.start)
        await arena.libvirtd.until_in_hand()


async def restart_libvirtd(arena: Arena, chance: Random) -> None:
    """It is restarted in order; or, where it hangs at its end, killed, as an init system does."""
    async with arena.host():
        with arena.deed(LIBVIRTD_RESTARTED):
            try:
                await asyncio.to_thread(arena.libvirtd.stop)
            except TimeoutError as error:
                print(error)  # shown where the test fails
            await asyncio.to_thread(arena.libvirtd.start)
        await arena.libvirtd.until_in_hand()


async def hang_libvirtd(arena: Arena, chance: Random) -> None:
    """It hangs: for a moment, or for longer than anybody waits."""
    kind, seconds = chance.choice([(LIBVIRTD_SLOW, 1.0), (LIBVIRTD_HUNG, HUNG)])
    async with arena.awake, arena.host():
        await arena.until_nothing_opens()
        with arena.deed(kind):
            arena.libvirtd.freeze()
            try:
                await asyncio.sleep(seconds)
            finally:
                arena.libvirtd.thaw()


# To the daemon.


async def kill_daemon(arena: Arena, chance: Random) -> None:
    """It is killed and started again."""
    async with arena.awake:
        with arena.deed(DAEMON_KILLED):
            await arena.mux.kill()
            await moment(chance)
            await arena.mux.start()


async def restart_daemon(arena: Arena, chance: Random) -> None:
    """It is restarted in order. Before, it is seen whether it has kept in its life what it needs no more."""
    async with arena.awake:
        async with arena.rest():
            await arena.take_stock(passing=TIMERS * len(arena.tickers))
        with arena.deed(DAEMON_RESTARTED):
            assert await arena.mux.stop() == 0
            await arena.mux.start()


async def reload(arena: Arena, chance: Random) -> None:
    """It reads another configuration, which concerns nobody's records."""
    with arena.deed(DAEMON_RELOADED):
        await arena.mux.reload(f"linger = {chance.randint(1, 60)}\n{arena.config}")


async def exhaust_descriptors(arena: Arena, chance: Random) -> None:
    """It can open nothing more."""
    async with arena.awake:
        async with arena.host():
            for name in arena.names:  # a ring that cannot be opened begins anew
                await arena.mux.until_listed(name, seconds=2 * HUNG)
        pid = arena.mux.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with arena.deed(DESCRIPTORS_EXHAUSTED):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(arena.mux.descriptors), limits[1]))
            try:
                await moment(chance, 4.0)
            finally:
                with suppress(ProcessLookupError):
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


async def fill_disk(arena: Arena, chance: Random) -> None:
    """The journal's disk is full for a while."""
    with arena.deed(DISK_FULL):
        arena.disk.fill()
        try:
            await moment(chance, 4.0)
        finally:
            arena.disk.make_room()


async def step_clock(arena: Arena, chance: Random) -> None:
    """The time of day is another, until the next step or start."""
    with arena.deed(CLOCK_STEPPED):
        await arena.mux.watch.step_clock(chance.choice([-86400, -3600, -1, 1, 3600, 86400]))


GUEST = (destroy, shut_down, save, kill, reset, pause, take_over)
HOST = (kill_libvirtd, restart_libvirtd, hang_libvirtd)
DAEMON = (kill_daemon, restart_daemon, reload, exhaust_descriptors, fill_disk, step_clock)


async def befall_guest(arena: Arena, ticker: Ticker, chance: Random, over: asyncio.Event, *, pause: float) -> None:
    """Do one thing after the other to a guest, each kind as often as any other, until it is over; with pauses of up to
    so many seconds."""
    while not over.is_set():
        for fault in chance.sample(GUEST, len(GUEST)):
            await moment(chance, pause)
            if over.is_set():
                return
            await fault(arena, ticker, chance)


async def befall(arena: Arena, kinds: Sequence[Fault], chance: Random, over: asyncio.Event, *, pause: float) -> None:
    """The same to all."""
    while not over.is_set():
        for fault in chance.sample(kinds, len(kinds)):
            await moment(chance, pause)
            if over.is_set():
                return
            await fault(arena, chance)
