"""What is counted and measured at all consoles and hypervisors, at one moment."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from virtmux.messages import Counters, State, Tally, Threads
from virtmuxd.core.console import Console
from virtmuxd.core.hypervisors import Hypervisor
from virtmuxd.core.registry import Registry
from virtmuxd.core.tally import total


class ConsoleFigures(NamedTuple):
    """One console. `spoke_at` is when its guest said something last (ns); `journal_failing` is None where no journal is
    kept of it."""

    uri: str
    domain: str
    device: str
    attached: bool
    unheld: bool
    places: int
    lag: int
    spoke_at: int | None
    journal_failing: bool | None
    tally: Tally


class HypervisorFigures(NamedTuple):
    """One hypervisor, and its consoles together; the names are those of `messages.Statistics`."""

    uri: str
    connected: bool
    consoles: dict[State, int]
    unheld: int
    places: int
    lag: int
    tally: Tally
    counters: Counters
    threads: dict[str, Threads]
    journal_failing: int
    journal_lag: int


class Figures(NamedTuple):
    """All of it."""

    hypervisors: list[HypervisorFigures]
    consoles: list[ConsoleFigures]


def figures(registry: Registry, *, per_console: bool) -> Figures:
    """As it is now; `per_console`: of each console, too."""
    hypervisors: list[HypervisorFigures] = []
    consoles: dict[tuple[str, str, str], ConsoleFigures] = {}
    for hypervisor, here in registry.by_hypervisor():
        measured = [_console(console) for console in here]
        hypervisors.append(_hypervisor(hypervisor, here, measured))
        if per_console:
            present = (each for each, console in zip(measured, here, strict=True) if console.present)
            # Of two guests of one name, while one of them vanishes, there are the figures of one.
            consoles |= {each[:3]: each for each in present}
    return Figures(hypervisors, list(consoles.values()))


def _console(console: Console) -> ConsoleFigures:
    recorder, naming = console.recorder, console.naming
    return ConsoleFigures(
        uri=naming.uri,
        domain=naming.domain,
        device=console.key.device,
        attached=console.machine.state is State.ATTACHED,
        unheld=console.unheld,
        places=len(console.company),
        lag=console.company.lag,
        spoke_at=console.machine.silence.spoke_at,
        journal_failing=None if recorder is None else recorder.state == "failing",
        tally=console.tally.now(),
    )


def _hypervisor(
    hypervisor: Hypervisor, consoles: Sequence[Console], measured: Sequence[ConsoleFigures]
) -> HypervisorFigures:
    counters = hypervisor.counters
    states = Counter(console.machine.state for console in consoles if console.present)
    return HypervisorFigures(
        uri=hypervisor.uri,
        connected=hypervisor.connected,
        consoles={state: states[state] for state in State},
        unheld=sum(each.unheld for each in measured),
        places=sum(each.places for each in measured),
        lag=max((each.lag for each in measured), default=0),
        tally=total([counters.settled, *(each.tally for each in measured)]),
        counters=counters.snapshot(),
        threads={purpose: use.snapshot() for purpose, use in counters.threads.items()},
        journal_failing=sum(bool(each.journal_failing) for each in measured),
        journal_lag=max((console.recorder.lag for console in consoles if console.recorder is not None), default=0),
    )


def all_threads(hypervisors: Sequence[HypervisorFigures]) -> Threads:
    """Those of all hypervisors together."""
    each = [threads for figures in hypervisors for threads in figures.threads.values()]
    return Threads(*(sum(numbers) for numbers in zip(*((one.busy, one.quota, one.stuck) for one in each), strict=True)))


def all_counters(hypervisors: Sequence[HypervisorFigures]) -> Counters:
    """What was counted at all hypervisors together."""
    each = [figures.counters for figures in hypervisors]
    ends = sum((Counter(one.ends) for one in each), Counter())
    return Counters(
        sum(one.cuts for one in each),
        sum(one.stuck_calls for one in each),
        dict(ends),
        sum(one.journal_failures for one in each),
        sum(one.journal_lost for one in each),
    )
