"""How live a console is: the time from typing a byte until its echo is back, again and again.

That a process was ready and other ones had the processors is the machine's doing, and no part of it: not of the one
that measures, nor of those `on_the_way`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from statistics import median

from tests.harness.daemon import Daemon
from tests.harness.follower import Follower
from tests.harness.guest import Guest

#: By how many seconds 19 of 20 echoes may take longer than when all was quiet, and the longest. What else a loaded
#: machine costs is less; another's trouble would cost a call's deadline or a keepalive's, which is seconds.
P95_S = 0.2
MOST_S = 1.0
_PAUSE = 0.01


def on_the_way(mux: Daemon, *guests: Guest) -> set[int]:
    """The processes that bytes pass to these guests and back."""
    return {mux.pid, *(guest.libvirtd.pid for guest in guests), *(guest.qemu_pid() for guest in guests)}


async def echo(console: Follower, way: Collection[int] = ()) -> float:
    """Seconds until one byte is back. The console prints nothing else."""
    loop = asyncio.get_running_loop()
    before = console.console.position.offset
    typed, earlier = loop.time(), _held_up(way)
    await console.write(b".")
    await console.until(lambda one: one.console.position.offset > before)
    seconds = loop.time() - typed
    held_up = sum(spent - earlier.get(thread, 0) for thread, spent in _held_up(way).items())
    return max(0.0, seconds - held_up / 1e9)


def _held_up(way: Collection[int]) -> dict[Path, int]:
    """For how many ns of its life each thread of this process, and of those, was ready and did not run, as Linux counts
    it (Documentation/scheduler/sched-stats.rst)."""
    threads: dict[Path, int] = {}
    for pid in (os.getpid(), *way):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # it has just ended
                threads[thread] = int((thread / "schedstat").read_text().split()[1])
    return threads


class Echoes:
    """Times in seconds, as they come."""

    def __init__(self, times: list[float] | None = None) -> None:
        self.times = times or []

    def __str__(self) -> str:
        shown = ("median", median(self.times)), ("p95", self.p95), ("most", max(self.times))
        return ", ".join(f"{name} {seconds * 1000:.1f} ms" for name, seconds in shown) + f" of {len(self.times)}"

    @property
    def p95(self) -> float:
        """19 of 20 took no longer; of fewer, all but one."""
        return sorted(self.times)[min((len(self.times) * 19 - 1) // 20, max(0, len(self.times) - 2))]

    def hold_against(self, quiet: "Echoes", times: float = 1.0) -> None:
        """What happened meanwhile did not show, compared with the same console when all was quiet; or so many times as
        much as otherwise may."""
        figures = f"quiet: {quiet}; meanwhile: {self}"
        print(figures)
        assert self.p95 < quiet.p95 + times * P95_S, figures
        assert max(self.times) < max(quiet.times) + times * MOST_S, figures


async def quiet_echoes(console: Follower, number: int = 50, *, way: Collection[int]) -> Echoes:
    """What the console does when nothing else happens, once its guest has booted."""
    await echo(console)
    return Echoes([await echo(console, way) for _ in range(number)])


async def echoes_for(seconds: float, *consoles: Follower, way: Collection[int]) -> list[Echoes]:
    """What each of these consoles does for so long, measured side by side."""
    async with AsyncExitStack() as stack:
        measured = [await stack.enter_async_context(echoing(console, way)) for console in consoles]
        await asyncio.sleep(seconds)
    return measured


@asynccontextmanager
async def echoing(console: Follower, way: Collection[int]) -> AsyncIterator[Echoes]:
    """Measure all the time until the context is left."""
    echoes = Echoes()

    async def go_on() -> None:
        while True:
            echoes.times.append(await echo(console, way))
            await asyncio.sleep(_PAUSE)

    async with asyncio.TaskGroup() as tasks:
        going = tasks.create_task(go_on())
        try:
            yield echoes
        finally:
            going.cancel()
