"""What happens to guests, to libvirtd and to the daemon: each is one deed, which the oracle is told of."""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from tests.harness.chaos.stage import Stage, Ticker
from tests.harness.matrix import ESCAPE
from tests.harness.terminal import Terminal
from virtmux import Cause

#: One that concerns all.
Fault = Callable[[Stage], Awaitable[None]]

#: Longer than all of `keepalive_interval` * (`keepalive_count` + 1): hung.
HUNG = 14.0
OFF = {Cause.GUEST_NOT_RUNNING}
#: What was only seen to end: when the daemon ended itself, or before it had heard libvirt's events again.
UNEXPLAINED = {Cause.STREAM_ENDED, Cause.STREAM_ERROR}
LOST = {Cause.HYPERVISOR_LOST, Cause.HYPERVISOR_TIMEOUT}


# To one guest.


async def destroy(stage: Stage, ticker: Ticker) -> None:
    """Its power is cut, and it is started again."""
    with stage.deed("destroy", ticker, {Cause.GUEST_DESTROYED}, OFF, ends=True):
        await _off_and_on(stage, ticker, ticker.guest.destroy)


async def save(stage: Stage, ticker: Ticker) -> None:
    """It is saved, and goes on where it was."""
    with stage.deed("save", ticker, {Cause.GUEST_SAVED}, OFF, ends=True):
        await _off_and_on(stage, ticker, ticker.guest.save)


async def kill(stage: Stage, ticker: Ticker) -> None:
    """Its QEMU is killed."""

    async def off() -> None:
        await asyncio.to_thread(ticker.guest.kill_qemu)
        await ticker.guest.until("shut off (crashed)")

    # libvirt's event says the one, what it answers to a question afterwards the other.
    with stage.deed("QEMU's end", ticker, {Cause.GUEST_FAILED, Cause.GUEST_CRASHED}, OFF, ends=True):
        await _off_and_on(stage, ticker, off)


async def _off_and_on(stage: Stage, ticker: Ticker, off: Callable[[], Awaitable[None]]) -> None:
    async with ticker.lock:
        await off()
    await stage.moment(3.0)
    async with ticker.lock:
        await ticker.start()


async def reset(stage: Stage, ticker: Ticker) -> None:
    """It boots anew, in the same QEMU."""
    async with ticker.lock:
        with stage.deed("reset", ticker, attachable=True):
            await ticker.guest.reset()


async def pause(stage: Stage, ticker: Ticker) -> None:
    """Its processor is stopped for a while."""
    with stage.deed("pause", ticker, attachable=True):
        async with ticker.lock:
            await ticker.guest.suspend()
        await stage.moment(4.0)
        async with ticker.lock:
            await ticker.guest.resume()


async def take_over(stage: Stage, ticker: Ticker) -> None:
    """virsh takes the console by force, and uses it for a while."""
    # Where virsh has left before anybody could see it, only libvirt's error tells of it.
    causes = {Cause.CONSOLE_TAKEN_OVER, Cause.STREAM_ERROR}
    with stage.deed("takeover", ticker, causes, {Cause.CONSOLE_BUSY}, lingers=True):
        arguments = ["-c", stage.libvirtd.uri, "console", ticker.guest.name, "--force"]
        async with ticker.lock, Terminal("virsh", arguments) as virsh:
            await virsh.expect(b"Escape character is")
            await stage.moment(3.0)
            virsh.send(ESCAPE)
            await virsh.exit()


# To libvirtd.


async def kill_libvirtd(stage: Stage) -> None:
    """It is killed and started again; guests run on."""
    async with stage.host():
        with stage.deed("libvirtd killed", causes=LOST, meanwhile=UNEXPLAINED):
            await asyncio.to_thread(stage.libvirtd.kill)
            await stage.moment()
            await asyncio.to_thread(stage.libvirtd.start)


async def restart_libvirtd(stage: Stage) -> None:
    """It is restarted in order."""
    async with stage.host():
        with stage.deed("libvirtd restarted", causes=LOST, meanwhile=UNEXPLAINED):
            await asyncio.to_thread(stage.libvirtd.stop)
            await asyncio.to_thread(stage.libvirtd.start)


async def hang_libvirtd(stage: Stage) -> None:
    """It hangs: for a moment, or for longer than anybody waits."""
    seconds = stage.chance.choice([1.0, HUNG])
    async with stage.awake, stage.host():
        await stage.until_nothing_opens()
        with stage.deed("libvirtd hung", causes=LOST, meanwhile=UNEXPLAINED):
            stage.libvirtd.freeze()
            try:
                await asyncio.sleep(seconds)
            finally:
                stage.libvirtd.thaw()


# To the daemon.


async def kill_daemon(stage: Stage) -> None:
    """It is killed and started again."""
    async with stage.awake:
        with stage.deed("virtmuxd killed", meanwhile=UNEXPLAINED):
            await stage.mux.kill()
            await stage.moment()
            await stage.mux.start()


async def restart_daemon(stage: Stage) -> None:
    """It is restarted in order."""
    async with stage.awake:
        with stage.deed("virtmuxd restarted", meanwhile=UNEXPLAINED):
            assert await stage.mux.stop() == 0
            await stage.mux.start()


async def reload(stage: Stage) -> None:
    """It reads another configuration, which concerns nobody's records."""
    with stage.deed("virtmuxd reloaded", attachable=True):
        await stage.mux.reload(f"linger = {stage.chance.randint(1, 60)}\n{stage.config}")


async def exhaust_descriptors(stage: Stage) -> None:
    """It can open nothing more."""
    async with stage.awake:
        async with stage.host():
            for name in stage.names:  # a ring that cannot be opened begins anew
                await stage.mux.until_listed(name, seconds=2 * HUNG)
        pid = stage.mux.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with stage.deed("descriptors exhausted", causes={Cause.HYPERVISOR_LOST}):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(stage.mux.descriptors), limits[1]))
            try:
                await stage.moment(4.0)
            finally:
                with suppress(ProcessLookupError):
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


async def fill_disk(stage: Stage) -> None:
    """The journal's disk is full for a while."""
    with stage.deed("disk full", attachable=True):
        stage.disk.fill()
        try:
            await stage.moment(4.0)
        finally:
            stage.disk.make_room()


async def step_clock(stage: Stage) -> None:
    """The time of day is another, until the next step or start."""
    with stage.deed("clock stepped", attachable=True):
        await stage.mux.watch.step_clock(stage.chance.choice([-86400, -3600, -1, 1, 3600, 86400]))


GUEST = (destroy, save, kill, reset, pause, take_over)
HOST = (kill_libvirtd, restart_libvirtd, hang_libvirtd)
DAEMON = (kill_daemon, restart_daemon, reload, exhaust_descriptors, fill_disk, step_clock)


async def befall_guest(stage: Stage, ticker: Ticker, over: asyncio.Event, *, pause: float) -> None:
    """Do one thing after the other to a guest, each kind as often as any other, until it is over; with pauses of up to
    so many seconds."""
    while not over.is_set():
        for fault in stage.chance.sample(GUEST, len(GUEST)):
            await stage.moment(pause)
            if not over.is_set():
                await fault(stage, ticker)


async def befall(stage: Stage, kinds: Sequence[Fault], over: asyncio.Event, *, pause: float) -> None:
    """The same to all."""
    while not over.is_set():
        for fault in stage.chance.sample(kinds, len(kinds)):
            await stage.moment(pause)
            if not over.is_set():
                await fault(stage)
