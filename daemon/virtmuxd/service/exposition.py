"""The metrics as the text that a monitoring system scrapes: OpenMetrics, or Prometheus's own older one.

prometheus-client takes long to import, so that is done only where somebody asks.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from virtmuxd.core.loop_lag import BOUNDS
from virtmuxd.service.metrics import OF_CONSOLE, OF_DAEMON, OF_HYPERVISOR, Family, Labelled, LoopFigures, Snapshot

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_T = TypeVar("_T")


class Format(Enum):
    """The texts that there are, by their content types."""

    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def render(snapshot: Snapshot, format_: Format) -> bytes:
    """The text; with very many consoles it takes a while."""
    from prometheus_client import CollectorRegistry, exposition
    from prometheus_client.openmetrics import exposition as openmetrics

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot))
    generate = openmetrics.generate_latest if format_ is Format.OPENMETRICS else exposition.generate_latest
    text: bytes = generate(registry)
    return text


class _Collector:
    """Who prometheus-client asks for the families."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def describe(self) -> list["Metric"]:
        """Nothing: no names are to be reserved."""
        return []

    def collect(self) -> Iterator["Metric"]:
        """The families, with their samples."""
        figures = self._snapshot.figures
        yield from _metrics(OF_DAEMON, [((), self._snapshot)])
        yield from _metrics(OF_HYPERVISOR, [((each.uri,), each) for each in figures.hypervisors])
        yield from _metrics(OF_CONSOLE, [(each[:3], each) for each in figures.consoles])


def _metrics(labelled: Labelled[_T], ones: Sequence[tuple[tuple[str, ...], _T]]) -> Iterator["Metric"]:
    from prometheus_client.metrics_core import Metric

    for family in labelled.families if ones else ():
        metric = Metric(family.name.removesuffix("_total"), family.help, family.kind.value)
        for values, one in ones:
            labels = dict(zip(labelled.labels, values, strict=True))
            for suffix, more, number in _samples(family, one):
                metric.add_sample(family.name + suffix, labels | more, number)
        yield metric


def _samples(family: Family[_T], one: _T) -> Iterator[tuple[str, dict[str, str], float]]:
    """What stands behind the name, further labels, and the number."""
    match family.value(one):
        case None:
            pass
        case LoopFigures(counts, total):
            for bound, count in zip([*map(str, BOUNDS), "+Inf"], counts, strict=True):
                yield "_bucket", {"le": bound}, count
            yield "_sum", {}, total
            yield "_count", {}, counts[-1]
        case Mapping() as numbers:
            for name, number in numbers.items():
                yield "", {family.by or "": name}, number
        case number:
            yield "", {}, number
