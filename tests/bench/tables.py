"""What a benchmark has found: shown, and kept beside the benchmarks."""

import os
import platform
import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

RESULTS = Path(__file__).with_name("results")


class Target(NamedTuple):
    """What is measured, in words, and how large it may be."""

    what: str
    value: float
    most: float

    @property
    def is_met(self) -> bool:
        """Whether it is no larger."""
        return self.value <= self.most

    def __str__(self) -> str:
        return f"{'met   ' if self.is_met else 'MISSED'} {self.value:10.2f} of {self.most:<8g} {self.what}"


class Cut(NamedTuple):
    """The median, and what one in a hundred is above."""

    p50: float
    p99: float


def cut(times: Sequence[float]) -> Cut:
    """Where these are to be cut."""
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return Cut(cuts[49], cuts[98])


def machine() -> str:
    """On what it was measured, in a line."""
    processors = len(os.sched_getaffinity(0))
    return f"{platform.machine()}, {processors} processors, Python {platform.python_version()}"


def keep(name: str, table: str, targets: Iterable[Target] = ()) -> None:
    """Print the table of the benchmark with this name and how its targets stand, and keep both."""
    RESULTS.mkdir(exist_ok=True)
    text = "".join([table, *(f"{target}\n" for target in targets)])
    (RESULTS / f"{name}.txt").write_text(text)
    print(re.sub(r"^", "  ", text, flags=re.MULTILINE).rstrip(), flush=True)
