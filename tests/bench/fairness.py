"""What a console that floods costs another: `make bench`, or `python3 -m tests.bench.fairness`.

The echo of a guest is timed while all is quiet, and while another console of the same daemon brings all that its guest
can print.

Both take turns, round by round, so that whatever else the machine does is in both. The flood is a container's, which is
as fast as libvirt is, and a client follows it; the echo is a QEMU guest's.

Two processors are used. One has what floods: the container, its libvirtd and who reads it. The other has the daemon,
the guest that echoes, its libvirtd and who types. So the daemon's fairness is measured, and not the scheduler's: who
floods is busy enough to keep any other process from its processor for some milliseconds.
"""

import asyncio
import os
import statistics
import subprocess
from collections.abc import Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import virtmux
from tests.bench.cpu import pin
from tests.bench.tables import Target, cut, keep, machine
from tests.harness.container import FLOOD, STOP_FLOODING, remove_cgroups, talker
from tests.harness.daemon import PROGRAMS, Daemon
from tests.harness.follower import Follower, boot, follow
from tests.harness.guest import BANNER, boot_sector_guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.privilege import run_as_root

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROUNDS = 6
ECHOES = 300
#: The echo's p99 may be so many times that of the quiet console.
BUDGET = 3.0
TYPED = b"."
#: Seconds between two echoes; for a flood to begin, and to be over.
PAUSE = 0.003
SETTLE = 0.5
MIB = 1 << 20


class Round(NamedTuple):
    """Milliseconds of a round's echoes, and how fast the other console was meanwhile, in MiB a second."""

    p50: float
    p99: float
    flood: float


async def echo(console: Follower) -> float:
    """Milliseconds until what is typed is back."""
    loop = asyncio.get_running_loop()
    before = console.console.position.offset
    typed = loop.time()
    await console.console.send(TYPED)
    await console.until(lambda one: one.console.position.offset > before)
    took = loop.time() - typed
    console.records.clear()
    return took * 1000


class Pair:
    """A daemon with a console that echoes and one that may flood."""

    def __init__(self, mux: virtmux.Client, echoing: Follower, flooding: virtmux.Console, name: str) -> None:
        self._mux = mux
        self._echoing = echoing
        self._flooding = flooding
        self._name = name

    async def round(self) -> Round:
        """Measure once."""
        loop = asyncio.get_running_loop()
        began, start = loop.time(), await self._printed()
        times = []
        for _ in range(ECHOES):
            times.append(await echo(self._echoing))
            await asyncio.sleep(PAUSE)
        flood = (await self._printed() - start) / (loop.time() - began) / MIB
        return Round(*cut(times), flood)

    async def _printed(self) -> int:
        infos = await self._mux.consoles()
        return next(virtmux.Position.parse(each.position).offset for each in infos if each.id.domain == self._name)

    async def flooded_round(self) -> Round:
        """Measure while the other console floods."""
        await self._flooding.send(FLOOD)
        await asyncio.sleep(SETTLE)
        taken = await self.round()
        await self._flooding.send(STOP_FLOODING)
        before = -1
        while before != (before := await self._printed()):
            await asyncio.sleep(SETTLE)
        return taken


@asynccontextmanager
async def paired() -> "AsyncIterator[Pair]":
    """All that is needed, on the processors where it belongs."""
    here, there = sorted(os.sched_getaffinity(0))[:2]
    async with AsyncExitStack() as stack:
        stack.callback(remove_cgroups)
        lxc, qemu = stack.enter_context(Libvirtd("lxc")), stack.enter_context(Libvirtd())
        flooding, echoing = talker(lxc), boot_sector_guest(qemu)
        for guest in (flooding, echoing):
            await guest.define()
        daemon = Daemon([lxc.uri, qemu.uri])
        stack.push_async_callback(daemon.close)
        await daemon.start()
        await flooding.start()
        await echoing.start(paused=True)
        mux = await stack.enter_async_context(virtmux.connect(daemon.socket))
        typist = await stack.enter_async_context(mux.attach(flooding.name))  # read by nobody, so the library pauses it
        follower = await stack.enter_async_context(follow(daemon.socket, echoing.name))
        reader = subprocess.Popen(
            [PROGRAMS / "virtmux", "--socket", str(daemon.socket), "log", "--follow", flooding.name],
            stdout=subprocess.DEVNULL,
        )
        stack.callback(reader.wait)
        stack.callback(reader.terminate)
        await boot(echoing, follower, says=BANNER)
        controller = int(await lxc.virsh("domid", flooding.name))
        init = int(run_as_root("cat", f"/proc/{controller}/task/{controller}/children"))
        pin(there, lxc.pid, controller, init, reader.pid)
        pin(here, qemu.pid, echoing.qemu_pid(), daemon.pid, os.getpid())
        yield Pair(mux, follower, typist, flooding.name)


def report(where: str, quiet: Sequence[Round], flooded: Sequence[Round]) -> str:
    """The table: medians and quartiles over the rounds."""
    lines = [
        f"{where}, {len(quiet)} rounds of {ECHOES} echoes; milliseconds",
        f"{'':<24}{'p50':>8}{'p99':>8}{'quartiles of p99':>20}   flood",
    ]
    for name, rounds in (("quiet", quiet), ("another console floods", flooded)):
        low, median, high = statistics.quantiles([each.p99 for each in rounds], n=4)
        p50 = statistics.median(each.p50 for each in rounds)
        flood = statistics.median(each.flood for each in rounds)
        spread = f"{low:.1f} to {high:.1f}"
        lines.append(f"{name:<24}{p50:8.1f}{median:8.1f}{spread:>20}   {flood:.1f} MiB/s")
    return "\n".join(lines) + "\n"


def targets(quiet: Sequence[Round], flooded: Sequence[Round]) -> list[Target]:
    """How what was measured stands to them."""
    p99, before = (statistics.median(each.p99 for each in rounds) for rounds in (flooded, quiet))
    return [Target("p99 while another console floods of that while all is quiet", p99 / before, BUDGET)]


async def measure() -> tuple[list[Round], list[Round]]:
    """Start what is needed, and measure."""
    async with paired() as pair:
        quiet, flooded = [], []
        for number in range(-1, ROUNDS):  # the first one warms what is cached
            taken = await pair.round(), await pair.flooded_round()
            if number >= 0:
                quiet.append(taken[0])
                flooded.append(taken[1])
        return quiet, flooded


def main() -> None:
    """Measure, print the table and keep it."""
    where = machine()  # before `measure` ties this process to one processor
    quiet, flooded = asyncio.run(measure())
    keep("fairness", report(where, quiet, flooded), targets(quiet, flooded))


if __name__ == "__main__":
    main()
