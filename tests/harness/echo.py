"""How live a console is: the time from typing a byte until its echo is back, again and again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median

from tests.harness.follower import Follower

#: What the median may get worse by, and the longest single echo: what another's trouble would cost, a call's deadline
#: or a keepalive's, is seconds; what other processes on the machine cost is less.
MEDIAN_S = 0.1
MOST_S = 1.0
_PAUSE = 0.01


async def echo(console: Follower) -> float:
    """Seconds until one byte is back. The console prints nothing else."""
    loop = asyncio.get_running_loop()
    before = console.console.position.offset
    typed = loop.time()
    await console.write(b".")
    await console.until(lambda one: one.console.position.offset > before)
    return loop.time() - typed


class Echoes:
    """Times in seconds, as they come."""

    def __init__(self, times: list[float] | None = None) -> None:
        self.times = times or []

    def __str__(self) -> str:
        return f"median {median(self.times) * 1000:.1f} ms, most {max(self.times) * 1000:.1f} ms of {len(self.times)}"

    def as_live_as(self, quiet: "Echoes") -> bool:
        """Whether what happened meanwhile did not show, compared with the same console when all was quiet."""
        return median(self.times) < median(quiet.times) + MEDIAN_S and max(self.times) < max(quiet.times) + MOST_S


async def quiet_echoes(console: Follower, number: int = 50) -> Echoes:
    """What the console does when nothing else happens."""
    return Echoes([await echo(console) for _ in range(number)])


@asynccontextmanager
async def echoing(console: Follower) -> AsyncIterator[Echoes]:
    """Measure all the time until the context is left."""
    echoes = Echoes()

    async def go_on() -> None:
        while True:
            echoes.times.append(await echo(console))
            await asyncio.sleep(_PAUSE)

    async with asyncio.TaskGroup() as tasks:
        going = tasks.create_task(go_on())
        try:
            yield echoes
        finally:
            going.cancel()
