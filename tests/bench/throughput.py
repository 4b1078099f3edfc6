"""What it costs to bring one console's output to many clients, and how fast it comes: `make bench`, or by itself.

Each multiplexer has a container of its own, which floods when it is its turn. In each round all of them take their
turn, so that whatever else the machine does is in all. A client reads all it is given; what it has not got in the end
is lost. CPU is that of the multiplexer with its helpers: for conserver a `virsh console`, for conman that and a socat.
"""

import asyncio
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench import cpu
from tests.bench.peers.multiplexers import MULTIPLEXERS, Subject, start
from tests.bench.plots import Axes, Points, plot, slope
from tests.bench.sink import Sink
from tests.bench.source import Source, write_flood
from tests.bench.tables import Target, keep, machine
from tests.harness.container import remove_cgroups
from tests.harness.libvirtd import Libvirtd

ROUNDS = 3
#: Clients, and how many bytes each is brought.
CASES = {1: 16 << 20, 8: 16 << 20, 64: 12 << 20, 200: 12 << 20, 1000: 3 << 20}
#: With how many clients these are measured, which are not with all.
ONLY = {
    "virsh": [1],
    "conserver": [1, 8, 64, 200],
    "conman": [1, 8],
    "bare loop, gathering": [1, 8, 64, 200],
    "virtmux, journal": [1, 8],
}
GB = 1e9
#: Of the peers' cost, at most so much of it.
COSTS = {(1, "virsh"): 0.7, (8, "conserver"): 0.5, (64, "conserver"): 0.45, (200, "conserver"): 0.25}
#: Of the bare loop's, with any number of clients.
BARE = 1.3


class Flood(NamedTuple):
    """CPU seconds, seconds, and bytes: delivered to all clients, and lost."""

    cpu: float
    seconds: float
    delivered: int
    lost: int

    @property
    def cost(self) -> float:
        """CPU seconds for each GB delivered."""
        return self.cpu / self.delivered * GB

    @property
    def rate(self) -> float:
        """MB delivered in a second."""
        return self.delivered / self.seconds / 1e6


class Result(NamedTuple):
    """Medians of the rounds, and the most that was lost in one."""

    cost: float
    rate: float
    lost: int


def flood(subject: Subject, source: Source, clients: int, size: int) -> Flood:
    """Measure one."""
    with Sink(subject.protocol, subject.address(source.guest.name), clients) as sink:
        sink.warm(source)
        pids = [*subject.pids(), *sink.pids]
        before = cpu.seconds(pids)
        sink.say("take", str(size))
        source.print("flood", size)
        received, seconds = sink.taken()
        used = cpu.seconds(pids) - before
    return Flood(used, seconds, sum(received), max(0, clients * size - sum(received)))


@asynccontextmanager
async def started() -> AsyncIterator[dict[str, tuple[Subject, Source]]]:
    """All that can be had here, each with its source."""
    async with AsyncExitStack() as stack:
        stack.callback(remove_cgroups)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vmxb-")))
        libvirtd = stack.enter_context(Libvirtd("lxc"))
        write_flood(libvirtd.base / "flood", max(CASES.values()))
        subjects: dict[str, tuple[Subject, Source]] = {}
        for name in MULTIPLEXERS:
            source = Source(libvirtd, libvirtd.base / "flood")
            await source.start()
            subject = await start(name, stack, libvirtd.uri, [source.guest.name], directory)
            if subject is not None:
                subjects[name] = subject, source
        yield subjects


def measure(subjects: dict[str, tuple[Subject, Source]]) -> dict[tuple[int, str], Result]:
    """By the number of clients and the name."""
    results = {}
    for clients, size in CASES.items():
        here = {name: each for name, each in subjects.items() if clients in ONLY.get(name, CASES)}
        floods: dict[str, list[Flood]] = {name: [] for name in here}
        for number in range(-1 if clients == min(CASES) else 0, ROUNDS):  # the first one warms what is cached
            for name, (subject, source) in here.items():
                print(
                    f"  {clients} clients, {number + 1} of {ROUNDS}: {name:<30}", end="\r", file=sys.stderr, flush=True
                )
                taken = flood(subject, source, clients, size)
                if number >= 0:
                    floods[name].append(taken)
        for name, all_of_it in floods.items():
            cost, rate = (statistics.median(getattr(each, what) for each in all_of_it) for what in ("cost", "rate"))
            results[clients, name] = Result(cost, rate, max(each.lost for each in all_of_it))
    return results


def targets(results: dict[tuple[int, str], Result]) -> list[Target]:
    """How what was measured stands to them."""
    found = []
    for (clients, peer), most in COSTS.items():
        if (clients, peer) in results:
            ratio = results[clients, "virtmux"].cost / results[clients, peer].cost
            found.append(Target(f"CPU of {peer}'s, {clients} clients", ratio, most))
    for clients in CASES:
        ours, bare = results[clients, "virtmux"], results[clients, "bare loop"]
        found.append(Target(f"CPU of the bare loop's, {clients} clients", ours.cost / bare.cost, BARE))
        if (clients, "conserver") in results:
            ratio = results[clients, "conserver"].rate / ours.rate
            found.append(Target(f"conserver's rate of ours, {clients} clients", ratio, 1.0))
        found.append(Target(f"bytes lost, {clients} clients", ours.lost, 0))
    return found


def table(results: dict[tuple[int, str], Result]) -> str:
    """The table."""
    lines = [
        f"{machine()}, {ROUNDS} rounds",
        f"{'clients':>7}  {'':<21}{'CPU s/GB':>9}{'MB/s':>7}{'bytes lost':>12}{'CPU of the bare loop':>22}",
    ]
    for (clients, name), result in results.items():
        beside = result.cost / results[clients, "bare loop"].cost
        lines.append(f"{clients:7}  {name:<21}{result.cost:9.2f}{result.rate:7.0f}{result.lost:12}{beside:22.2f}")
    return "\n".join([*lines, ""])


def growth(results: dict[tuple[int, str], Result]) -> str:
    """Plot how cost grows with clients; gives the slope in words."""
    names = dict.fromkeys(name for _, name in results if name != "virsh")
    per_mb: dict[str, Points] = {
        name: [(clients, result.cost * clients) for (clients, each), result in results.items() if each == name]
        for name in names
    }
    title = "CPU for each MB that a console prints, against its clients"
    plot("clients-cpu", title, Axes("clients", "CPU ms per MB"), per_mb, logarithmic=True)
    return f"with each client a MB of output costs {slope(per_mb['virtmux']) * 1000:.0f} us of CPU more\n"


async def main() -> None:
    """Measure, print, keep."""
    async with started() as subjects:
        results = measure(subjects)
    keep("throughput", table(results) + growth(results), targets(results))


if __name__ == "__main__":
    asyncio.run(main())
