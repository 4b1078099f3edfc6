"""The metrics that are exported: their names, and how each is had from what is counted and measured.

docs/metrics.md says the same, and a test compares.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

from virtmux import __version__
from virtmux.messages import ProcessInfo, Tally, Threads
from virtmux.reasons import CAUSES, PLACE_CAUSES, Cause
from virtmuxd.core.statistics import ConsoleFigures, Figures, HypervisorFigures

_SECOND = 10**9


class LoopFigures(NamedTuple):
    """How late the event loop was; see `LoopLag`."""

    counts: Sequence[int]
    sum: float
    worst: float


class Snapshot(NamedTuple):
    """All there is at one moment. `began` is when the daemon started (ns)."""

    figures: Figures
    began: int
    clients: int
    client_ends: Mapping[Cause, int]
    loop: LoopFigures
    process: ProcessInfo


class Kind(Enum):
    """What a number is: a sum that only grows, what is there now, or how a measure is distributed."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


_T = TypeVar("_T")
_Number = float | int
_Value = _Number | Mapping[str, _Number] | LoopFigures | None


class Family(NamedTuple, Generic[_T]):
    """The series of one name. `value` gives the number, None where there is none, or, with a label `by`, one for each
    of that."""

    name: str
    kind: Kind
    help: str
    value: Callable[[_T], _Value]
    by: str | None = None


def _counted(counts: Mapping[Cause, int], causes: Iterable[Cause]) -> dict[str, int]:
    """Also what did not happen yet, so that its first time is seen to be one."""
    return {cause.value: counts.get(cause, 0) for cause in dict.fromkeys([*causes, *counts])}


_ENDS = [cause for cause in CAUSES if cause not in PLACE_CAUSES]
_CLIENT_ENDS = (
    Cause.DETACHED,
    Cause.EVICTED,
    Cause.TOO_SLOW,
    Cause.IDLE,
    Cause.PROTOCOL_ERROR,
    Cause.INTERNAL_ERROR,
)

DAEMON: tuple[Family[Snapshot], ...] = (
    Family(
        "virtmux_build_info",
        Kind.GAUGE,
        "Always 1; the label says which version it is.",
        lambda _: {__version__: 1},
        by="version",
    ),
    Family("virtmux_clients", Kind.GAUGE, "Connections of clients.", lambda all_: all_.clients),
    Family(
        "virtmux_client_ends_total",
        Kind.COUNTER,
        "Connections of clients that ended, by cause.",
        lambda all_: _counted(all_.client_ends, _CLIENT_ENDS),
        by="cause",
    ),
    Family(
        "virtmux_loop_lag_seconds",
        Kind.HISTOGRAM,
        "How late the event loop was for something that it does once a second.",
        lambda all_: all_.loop,
    ),
    Family(
        "virtmux_loop_lag_worst_seconds",
        Kind.GAUGE,
        "How late it was at most, in the last minute.",
        lambda all_: all_.loop.worst,
    ),
    Family(
        "virtmux_process_start_time_seconds",
        Kind.GAUGE,
        "When the daemon started, in seconds since 1970.",
        lambda all_: all_.began / _SECOND,
    ),
    Family(
        "virtmux_process_cpu_seconds_total",
        Kind.COUNTER,
        "CPU time that the daemon used.",
        lambda all_: all_.process.cpu_seconds,
    ),
    Family(
        "virtmux_process_resident_memory_bytes",
        Kind.GAUGE,
        "Memory of the daemon, with what it uses of the rings.",
        lambda all_: all_.process.memory,
    ),
    Family("virtmux_process_open_fds", Kind.GAUGE, "Files that it has open.", lambda all_: all_.process.open_files),
    Family("virtmux_process_max_fds", Kind.GAUGE, "Files that it may have open.", lambda all_: all_.process.max_files),
)


def _threads(name: str, help_: str, number: Callable[[Threads], int]) -> Family[HypervisorFigures]:
    """A number of each kind of threads."""
    return Family(
        name,
        Kind.GAUGE,
        help_,
        lambda of: {purpose: number(threads) for purpose, threads in of.threads.items()},
        by="purpose",
    )


HYPERVISOR: tuple[Family[HypervisorFigures], ...] = (
    Family("virtmux_hypervisor_connected", Kind.GAUGE, "1 where it is connected, else 0.", lambda of: of.connected),
    Family(
        "virtmux_consoles",
        Kind.GAUGE,
        "Consoles, by their state.",
        lambda of: {state.value: number for state, number in of.consoles.items()},
        by="state",
    ),
    Family(
        "virtmux_consoles_unheld",
        Kind.GAUGE,
        "Consoles that are to be held, whose guest runs, and that are not attached.",
        lambda of: of.unheld,
    ),
    Family("virtmux_places", Kind.GAUGE, "Places that clients have at consoles.", lambda of: of.places),
    Family(
        "virtmux_lag_bytes",
        Kind.GAUGE,
        "Bytes that the place which is furthest behind has not got, of what came while it was there.",
        lambda of: of.lag,
    ),
    Family(
        "virtmux_ends_total",
        Kind.COUNTER,
        "Ends of consoles, and openings that failed, by cause.",
        lambda of: _counted(of.counters.ends, _ENDS),
        by="cause",
    ),
    Family(
        "virtmux_cuts_total",
        Kind.COUNTER,
        "Connections to libvirt that were cut, because a call missed its deadline.",
        lambda of: of.counters.cuts,
    ),
    Family(
        "virtmux_stuck_calls_total",
        Kind.COUNTER,
        "Calls of libvirt that did not return although their connection was cut.",
        lambda of: of.counters.stuck_calls,
    ),
    _threads("virtmux_threads_busy", "Threads that are in a call of libvirt, by what for.", lambda of: of.busy),
    _threads("virtmux_threads_max", "Threads that may be in one at once.", lambda of: of.quota),
    _threads(
        "virtmux_threads_stuck",
        "Threads whose call does not return although its connection was cut, now.",
        lambda of: of.stuck,
    ),
    Family(
        "virtmux_journal_failing",
        Kind.GAUGE,
        "Consoles whose records the disk does not take.",
        lambda of: of.journal_failing,
    ),
    Family(
        "virtmux_journal_lag_bytes",
        Kind.GAUGE,
        "Output of one console that is not in its journal yet, in bytes, at most.",
        lambda of: of.journal_lag,
    ),
    Family(
        "virtmux_journal_failures_total",
        Kind.COUNTER,
        "Times that the disk began not to take a console's records.",
        lambda of: of.counters.journal_failures,
    ),
    Family(
        "virtmux_journal_lost_bytes_total",
        Kind.COUNTER,
        "Output that is in no journal because of that, in bytes.",
        lambda of: of.counters.journal_lost,
    ),
)

CONSOLE: tuple[Family[ConsoleFigures], ...] = (
    Family("virtmux_console_attached", Kind.GAUGE, "1 where it is attached, else 0.", lambda of: of.attached),
    Family(
        "virtmux_console_unheld",
        Kind.GAUGE,
        "1 where it is to be held, its guest runs, and it is not attached; else 0.",
        lambda of: of.unheld,
    ),
    Family("virtmux_console_places", Kind.GAUGE, "Places that clients have at it.", lambda of: of.places),
    Family(
        "virtmux_console_lag_bytes",
        Kind.GAUGE,
        "Bytes that the place which is furthest behind has not got, of what came while it was there.",
        lambda of: of.lag,
    ),
    Family(
        "virtmux_console_last_output_timestamp_seconds",
        Kind.GAUGE,
        "When its guest said something last, in seconds since 1970; absent as long as it did not.",
        lambda of: None if of.spoke_at is None else of.spoke_at / _SECOND,
    ),
    Family(
        "virtmux_console_journal_failing",
        Kind.GAUGE,
        "1 where the disk does not take its records, else 0; absent where no journal is kept.",
        lambda of: of.journal_failing,
    ),
)

#: Of a hypervisor as of each console, by what stands before the name.
TALLY: tuple[Family[Tally], ...] = (
    Family("attachments_total", Kind.COUNTER, "Times that a console was opened.", lambda tally: tally.attachments),
    Family("output_bytes_total", Kind.COUNTER, "Output that was received, in bytes.", lambda tally: tally.output),
    Family(
        "delivered_bytes_total",
        Kind.COUNTER,
        "Output that clients were given, in bytes.",
        lambda tally: tally.delivered,
    ),
    Family(
        "input_bytes_total",
        Kind.COUNTER,
        "Input, in bytes, by what became of it.",
        lambda tally: {"accepted": tally.accepted, "unknown": tally.unknown, "rejected": tally.rejected},
        by="fate",
    ),
    Family(
        "gaps_total",
        Kind.COUNTER,
        "Gaps that clients were told: output that they are not given.",
        lambda tally: tally.gaps,
    ),
    Family(
        "gap_bytes_total", Kind.COUNTER, "The output that these were about, in bytes.", lambda tally: tally.gap_bytes
    ),
    Family(
        "breaks_total",
        Kind.COUNTER,
        "Times in which nobody held a console, as far as they are over.",
        lambda tally: tally.breaks,
    ),
    Family("break_seconds_total", Kind.COUNTER, "How long these were, in seconds.", lambda tally: tally.break_seconds),
    Family("evictions_total", Kind.COUNTER, "Places that were taken away from clients.", lambda tally: tally.evictions),
)


class Labelled(NamedTuple, Generic[_T]):
    """Families whose series have the same `labels`."""

    labels: tuple[str, ...]
    families: tuple[Family[_T], ...]


def _tallied(prefix: str, tally: Callable[[_T], Tally]) -> tuple[Family[_T], ...]:
    def of(family: Family[Tally]) -> Family[_T]:
        return Family(prefix + family.name, family.kind, family.help, lambda one: family.value(tally(one)), family.by)

    return tuple(map(of, TALLY))


OF_DAEMON = Labelled[Snapshot]((), DAEMON)
OF_HYPERVISOR = Labelled[HypervisorFigures](("uri",), HYPERVISOR + _tallied("virtmux_", lambda of: of.tally))
OF_CONSOLE = Labelled[ConsoleFigures](
    ("uri", "domain", "device"), CONSOLE + _tallied("virtmux_console_", lambda of: of.tally)
)
