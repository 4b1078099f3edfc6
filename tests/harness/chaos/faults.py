"""What happens to guests, to libvirtd and to the daemon: each is one deed, which the oracle is told of."""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from random import Random

import virtmux
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
from tests.harness.chaos.stage import Stage, Ticker, moment
from tests.harness.guest import POWER_OFF
from tests.harness.terminal import ESCAPE
from tests.harness.virsh_console import virsh_console

#: One that concerns all.
Fault = Callable[[Stage, Random], Awaitable[None]]

#: So many timers has a console at most that prints, or is waited for.
TIMERS = 3
#: Longer than all of `keepalive_interval` * (`keepalive_count` + 1): hung.
HUNG = 16.0


# To one guest.


async def destroy(stage: Stage, ticker: Ticker, chance: Random) -> None:
    """Its power is cut, and it is started again."""
    await _off_and_on(stage, ticker, chance, DESTROY, ticker.guest.destroy)


async def save(stage: Stage, ticker: Ticker, chance: Random) -> None:
    """It is saved, and goes on where it was."""
    await _off_and_on(stage, ticker, chance, SAVE, ticker.guest.save)


async def shut_down(stage: Stage, ticker: Ticker, chance: Random) -> None:
    """It is told at its console to power itself off."""

    async def off() -> None:
        while not (await ticker.guest.state()).startswith("shut off"):
            # The daemon is ended, or the console taken away, or the guest ends only now: once more.
            with suppress(virtmux.VirtmuxError, TimeoutError):
                await _power_off(stage, ticker)
            with suppress(TimeoutError):
                await ticker.guest.until("shut off (shutdown)", seconds=5.0)

    await _off_and_on(stage, ticker, chance, SHUT_DOWN, off)


async def _power_off(stage: Stage, ticker: Ticker) -> None:
    async with virtmux.connect(stage.mux.socket, reconnect_for=0) as mux, mux.attach(ticker.guest.name) as console:
        await console.until_attached(timeout=5.0)
        await console.send(POWER_OFF)


async def kill(stage: Stage, ticker: Ticker, chance: Random) -> None:
    """Its QEMU is killed."""

    async def off() -> None:
        await asyncio.to_thread(ticker.guest.kill_qemu)
        await ticker.guest.until("shut off (crashed)")

    await _off_and_on(stage, ticker, chance, QEMU_END, off)


async def _off_and_on(
    stage: Stage, ticker: Ticker, chance: Random, kind: Kind, off: Callable[[], Awaitable[None]]
) -> None:
    with ExitStack() as deed:
        async with ticker.lock:
            deed.enter_context(stage.deed(kind, ticker))
            await off()
        await moment(chance, 3.0)
        async with ticker.lock:
            await ticker.start()


async def reset(stage: Stage, ticker: Ticker, chance: Random) -> None:
    """It boots anew, in the same QEMU."""
    async with ticker.lock:
        with stage.deed(RESET, ticker):
            await ticker.guest.reset()


async def pause(stage: Stage, ticker: Ticker, chance: Random) -> None:
    """Its processor is stopped for a while."""
    with ExitStack() as deed:
        async with ticker.lock:
            deed.enter_context(stage.deed(PAUSE, ticker))
            await ticker.guest.suspend()
        await moment(chance, 4.0)
        async with ticker.lock:
            await ticker.guest.resume()


async def take_over(stage: Stage, ticker: Ticker, chance: Random) -> None:
    """virsh takes the console by force, and uses it for a while."""
    async with ticker.lock:
        with stage.deed(TAKEOVER, ticker):
            async with virsh_console(ticker.guest, "--force") as virsh:
                await moment(chance, 3.0)
                virsh.send(ESCAPE)
                await virsh.exit()


# To libvirtd.


async def kill_libvirtd(stage: Stage, chance: Random) -> None:
    """It is killed and started again; guests run on."""
    async with stage.host():
        with stage.deed(LIBVIRTD_KILLED):
            await asyncio.to_thread(stage.libvirtd.kill)
            await moment(chance)
            await asyncio.to_thread(stage.libvirtd.start)
        await stage.libvirtd.until_in_hand()


async def restart_libvirtd(stage: Stage, chance: Random) -> None:
    """It is restarted in order; or, where it hangs at its end, killed, as an init system does."""
    async with stage.host():
        with stage.deed(LIBVIRTD_RESTARTED):
            try:
                await asyncio.to_thread(stage.libvirtd.stop)
            except TimeoutError as error:
                print(error)  # shown where the test fails
            await asyncio.to_thread(stage.libvirtd.start)
        await stage.libvirtd.until_in_hand()


async def hang_libvirtd(stage: Stage, chance: Random) -> None:
    """It hangs: for a moment, or for longer than anybody waits."""
    kind, seconds = chance.choice([(LIBVIRTD_SLOW, 1.0), (LIBVIRTD_HUNG, HUNG)])
    async with stage.awake, stage.host():
        await stage.until_nothing_opens()
        with stage.deed(kind):
            stage.libvirtd.freeze()
            try:
                await asyncio.sleep(seconds)
            finally:
                stage.libvirtd.thaw()


# To the daemon.


async def kill_daemon(stage: Stage, chance: Random) -> None:
    """It is killed and started again."""
    async with stage.awake:
        with stage.deed(DAEMON_KILLED):
            await stage.mux.kill()
            await moment(chance)
            await stage.mux.start()


async def restart_daemon(stage: Stage, chance: Random) -> None:
    """It is restarted in order. Before, it is seen whether it has kept in its life what it needs no more."""
    async with stage.awake:
        async with stage.rest():
            await stage.take_stock(passing=TIMERS * len(stage.tickers))
        with stage.deed(DAEMON_RESTARTED):
            assert await stage.mux.stop() == 0
            await stage.mux.start()


async def reload(stage: Stage, chance: Random) -> None:
    """It reads another configuration, which concerns nobody's records."""
    with stage.deed(DAEMON_RELOADED):
        await stage.mux.reload(f"linger = {chance.randint(1, 60)}\n{stage.config}")


async def exhaust_descriptors(stage: Stage, chance: Random) -> None:
    """It can open nothing more."""
    async with stage.awake:
        async with stage.host():
            for name in stage.names:  # a ring that cannot be opened begins anew
                await stage.mux.until_listed(name, seconds=2 * HUNG)
        pid = stage.mux.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with stage.deed(DESCRIPTORS_EXHAUSTED):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(stage.mux.descriptors), limits[1]))
            try:
                await moment(chance, 4.0)
            finally:
                with suppress(ProcessLookupError):
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


async def fill_disk(stage: Stage, chance: Random) -> None:
    """The journal's disk is full for a while."""
    with stage.deed(DISK_FULL):
        stage.disk.fill()
        try:
            await moment(chance, 4.0)
        finally:
            stage.disk.make_room()


async def step_clock(stage: Stage, chance: Random) -> None:
    """The time of day is another, until the next step or start."""
    with stage.deed(CLOCK_STEPPED):
        await stage.mux.watch.step_clock(chance.choice([-86400, -3600, -1, 1, 3600, 86400]))


GUEST = (destroy, shut_down, save, kill, reset, pause, take_over)
HOST = (kill_libvirtd, restart_libvirtd, hang_libvirtd)
DAEMON = (kill_daemon, restart_daemon, reload, exhaust_descriptors, fill_disk, step_clock)


async def befall_guest(stage: Stage, ticker: Ticker, chance: Random, over: asyncio.Event, *, pause: float) -> None:
    """Do one thing after the other to a guest, each kind as often as any other, until it is over; with pauses of up to
    so many seconds."""
    while not over.is_set():
        for fault in chance.sample(GUEST, len(GUEST)):
            await moment(chance, pause)
            if over.is_set():
                return
            await fault(stage, ticker, chance)


async def befall(stage: Stage, kinds: Sequence[Fault], chance: Random, over: asyncio.Event, *, pause: float) -> None:
    """The same to all."""
    while not over.is_set():
        for fault in chance.sample(kinds, len(kinds)):
            await moment(chance, pause)
            if over.is_set():
                return
            await fault(stage, chance)
