"""What a journal costs: the daemon with one beside the daemon without, while a console floods: `make bench`, or by
itself.

Two processors are used. One has the daemon. The other has what floods: the containers, their libvirtd and who reads. So
it is the journal's price that is measured, and not what it costs that one more thread wants a processor. It is measured
with a ring that holds a whole flood, as in the other benchmarks, and with one of the default size, out of which the
journal takes a quarter of that at a time.
"""

import asyncio
import os
import statistics
import tempfile
from contextlib import AsyncExitStack
from operator import truediv
from pathlib import Path

from tests.bench import cpu
from tests.bench.peers.multiplexers import RING, Subject, virtmux
from tests.bench.source import Source, write_flood
from tests.bench.tables import Target, keep, machine
from tests.bench.throughput import Flood, flood
from tests.harness.container import remove_cgroups
from tests.harness.libvirtd import Libvirtd

ROUNDS = 5
CLIENTS = 8
SIZE = 32 << 20
#: Bytes of a ring.
RINGS = {"a ring of 32 MiB": RING, "a ring of 1 MiB, the default": 1 << 20}
#: The CPU of that without a journal, so many times.
MOST = 1.15


async def started(
    stack: AsyncExitStack, libvirtd: Libvirtd, processors: tuple[int, int], ring: int, *, journal: bool
) -> tuple[Subject, Source]:
    """A daemon on one processor, and a console of it that floods on the other."""
    here, there = processors
    source = Source(libvirtd, libvirtd.base / "flood")
    await source.start()
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vmxb-")))
    running = virtmux(libvirtd.uri, [source.guest.name], directory, journal=journal, ring=ring)
    subject = await stack.enter_async_context(running)
    cpu.pin(here, *subject.pids())
    cpu.pin(there, libvirtd.pid, *cpu.family(int(await libvirtd.virsh("domid", source.guest.name))))
    return subject, source


async def measure() -> dict[tuple[str, bool], list[Flood]]:
    """By the ring, and whether there was a journal."""
    here, there = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, [there])
    async with AsyncExitStack() as stack:
        stack.callback(remove_cgroups)
        libvirtd = stack.enter_context(Libvirtd("lxc"))
        write_flood(libvirtd.base / "flood", SIZE)
        subjects = {
            (name, journal): await started(stack, libvirtd, (here, there), ring, journal=journal)
            for name, ring in RINGS.items()
            for journal in (False, True)
        }
        floods: dict[tuple[str, bool], list[Flood]] = {each: [] for each in subjects}
        for number in range(-1, ROUNDS):  # the first one warms what is cached
            for each, (subject, source) in subjects.items():
                taken = flood(subject, source, CLIENTS, SIZE)
                if number >= 0:
                    floods[each].append(taken)
        return floods


def main() -> None:
    """Measure, print, keep."""
    where = machine()  # before `measure` ties this process to one processor
    floods = asyncio.run(measure())
    costs = {each: [one.cost for one in all_of_it] for each, all_of_it in floods.items()}
    medians = {each: statistics.median(all_of_it) for each, all_of_it in costs.items()}
    ratios = {
        name: statistics.median(map(truediv, costs[name, True], costs[name, False]))  # each of one round
        for name in RINGS
    }
    lines = [
        f"{where}, {ROUNDS} rounds, {CLIENTS} clients; CPU s for each GB delivered; median ratios of the rounds",
        f"{'':<22}{'without':>9}{'with':>9}{'ratio':>9}",
    ]
    lines += [
        f"{name:<22}{medians[name, False]:9.2f}{medians[name, True]:9.2f}{ratio:9.2f}" for name, ratio in ratios.items()
    ]
    found = [Target(f"CPU with a journal of that without, {name}", ratio, MOST) for name, ratio in ratios.items()]
    keep("journal", "\n".join([*lines, ""]), found)


if __name__ == "__main__":
    main()
