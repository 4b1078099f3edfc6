"""Plots of what a benchmark has found, kept beside its table."""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tests.bench.tables import RESULTS

Points = Sequence[tuple[float, float]]


class Axes(NamedTuple):
    """What is on them, with units."""

    x: str
    y: str


def plot(name: str, title: str, axes: Axes, lines: Mapping[str, Points], *, logarithmic: bool = False) -> None:
    """Keep a plot of some lines under the name of the benchmark, if there is matplotlib; says where not."""
    try:
        from matplotlib.figure import Figure  # only `make bench` installs it
    except ImportError:
        print(f"  no plot of {name}: there is no matplotlib here; `make bench` installs it")
        return
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    drawn = figure.subplots()
    for label, points in lines.items():
        drawn.plot(*zip(*points, strict=True), marker="o", label=label)
    if logarithmic:
        drawn.set(xscale="log", yscale="log")
    else:
        drawn.set(xlim=(0, None), ylim=(0, None))
    drawn.set(title=title, xlabel=axes.x, ylabel=axes.y)
    drawn.grid(visible=True, which="both", alpha=0.3)
    drawn.legend()
    figure.savefig(RESULTS / f"{name}.png", dpi=110, metadata={"Software": None})


def slope(points: Points) -> float:
    """That of the line through these points which is nearest to all of them."""
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope
