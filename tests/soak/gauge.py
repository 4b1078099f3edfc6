"""What a daemon takes, looked at every few seconds, and whether that stays the same."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from tests.bench.plots import Axes, plot
from tests.bench.tables import Target
from tests.harness.daemon import Daemon
from tests.harness.echo import Echoes

#: Of the time, what is not looked at: caches fill, and threads are started as they are needed.
WARMING_UP = 1 / 6


class Sample(NamedTuple):
    """At a time, in minutes: memory in KiB, what of it consoles keep by and by of times and marks up to their limits,
    file descriptors, threads, and how long echoes took, in ms."""

    minutes: float
    rss: int
    kept: int
    descriptors: int
    threads: int
    median: float
    p95: float

    @property
    def rest(self) -> int:
        """The memory without what is kept."""
        return self.rss - self.kept


async def sample(mux: Daemon, minutes: float, echoes: Echoes) -> Sample:
    """What the daemon takes now."""
    times = statistics.median(echoes.times) * 1000, echoes.p95 * 1000
    kept = await mux.watch.kept() >> 10
    return Sample(minutes, mux.anonymous_kib, kept, len(mux.descriptors), mux.threads, *times)


def targets(samples: Sequence[Sample]) -> list[Target]:
    """Of each quantity the median of the last third of the time beside that of the first; what it may be more."""
    rest = samples[int(len(samples) * WARMING_UP) :]
    third = max(1, len(rest) // 3)
    parts = rest[:third], rest[-third:]

    def more(name: str) -> float:
        first, last = (statistics.median(float(getattr(each, name)) for each in part) for part in parts)
        return last - first

    return [
        Target("KiB of memory more in the last third than in the first, without times and marks", more("rest"), 2048),
        Target("file descriptors more", more("descriptors"), 20),
        Target("threads more", more("threads"), 2),
        Target("ms that the median echo took longer", more("median"), 3),
        Target("ms that 19 of 20 echoes took longer", more("p95"), 30),
    ]


def draw(samples: Sequence[Sample], what: str) -> None:
    """Keep a plot of each quantity."""
    memory = {
        "all": [(each.minutes, each.rss) for each in samples],
        "without times of output and marks, which have limits": [(each.minutes, each.rest) for each in samples],
    }
    plot("soak-rss", what, Axes("minutes", "KiB"), memory)
    for name, unit in (("descriptors", "file descriptors"), ("threads", "threads")):
        points = [(each.minutes, getattr(each, name)) for each in samples]
        plot(f"soak-{name}", what, Axes("minutes", unit), {unit: points})
    latency = {
        "median": [(each.minutes, each.median) for each in samples],
        "19 of 20": [(each.minutes, each.p95) for each in samples],
    }
    plot("soak-latency", what, Axes("minutes", "ms until an echo is back"), latency)
