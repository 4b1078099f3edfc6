"""Processors: what processes use of them, and who runs on which."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.harness.privilege import run_as_root

_PROC = Path("/proc")


def family(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    for task in (_PROC / str(pid) / "task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def seconds(pids: Iterable[int]) -> float:
    """User and system time of all threads that they have now. A thread that ended in between would be missed; none of
    the processes that are measured ends any."""
    stats = (stat for pid in pids for stat in (_PROC / str(pid) / "task").glob("*/schedstat"))
    return sum(int(stat.read_text().split()[0]) for stat in stats) / 1e9


def pin(processor: int, *pids: int) -> None:
    """Have processes, and what they will start, run on one processor."""
    for pid in pids:
        run_as_root("taskset", "--all-tasks", "--cpu-list", "--pid", str(processor), str(pid))
