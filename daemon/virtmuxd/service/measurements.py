"""What the daemon counts and measures, for whoever asks: typed for `status`, or as the text that is scraped.

The text is rendered in a thread: with a thousand consoles that takes some 100 ms. It is rendered once for all who ask
while that is under way.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from virtmux.messages import State, Statistics
from virtmux.records import rfc3339
from virtmuxd.core.loop_lag import LoopLag
from virtmuxd.core.registry import Registry
from virtmuxd.core.statistics import Figures, all_counters, all_threads, figures
from virtmuxd.core.tally import total
from virtmuxd.service.clients import Clients
from virtmuxd.service.exposition import Format, render
from virtmuxd.service.metrics import LoopFigures, Snapshot
from virtmuxd.service.process import process_info


class Measurements:
    """See the module; `close` it. `loop_lag` is told how late the loop is. `per_console`: whether texts have series of
    each console."""

    def __init__(self, registry: Registry, clients: Clients, began: int, *, per_console: bool) -> None:
        """`began`: when the daemon started (ns)."""
        self.per_console = per_console
        self.loop_lag = LoopLag()
        self._registry = registry
        self._clients = clients
        self._began = began
        self._thread = ThreadPoolExecutor(1, "metrics")
        self._rendering: dict[tuple[Format, bool], asyncio.Future[bytes]] = {}

    def statistics(self) -> Statistics:
        """The daemon as a whole."""
        all_, _ = figures(self._registry, per_console=False)
        return Statistics(
            since=rfc3339(self._began),
            clients=self._clients.connected,
            client_ends=dict(self._clients.ends),
            consoles={state: sum(each.consoles[state] for each in all_) for state in State},
            unheld=sum(each.unheld for each in all_),
            places=sum(each.places for each in all_),
            lag=max((each.lag for each in all_), default=0),
            tally=total(each.tally for each in all_),
            counters=all_counters(all_),
            threads=all_threads(all_),
            journal_failing=sum(each.journal_failing for each in all_),
            journal_lag=max((each.journal_lag for each in all_), default=0),
            loop_lag=self.loop_lag.worst,
            process=process_info(),
        )

    def text(self, format_: Format, *, of_consoles: bool = True) -> "asyncio.Future[bytes]":
        """The text, by and by; where not `of_consoles`, without series of single ones. Others may wait for the same
        future: shield it from a cancellation."""
        per_console = of_consoles and self.per_console
        kind = format_, per_console
        rendering = self._rendering.get(kind)
        if rendering is None:
            snapshot = self._snapshot(figures(self._registry, per_console=per_console))
            loop = asyncio.get_running_loop()
            rendering = loop.run_in_executor(self._thread, render, snapshot, format_)
            self._rendering[kind] = rendering
            rendering.add_done_callback(partial(self._rendered, kind))
        return rendering

    def _rendered(self, kind: tuple[Format, bool], _text: object) -> None:
        del self._rendering[kind]

    def _snapshot(self, all_: Figures) -> Snapshot:
        lag = self.loop_lag
        return Snapshot(
            figures=all_,
            began=self._began,
            clients=self._clients.connected,
            client_ends=dict(self._clients.ends),
            loop=LoopFigures(lag.counts, lag.sum, lag.worst),
            process=process_info(),
        )

    def close(self) -> None:
        """Let the thread end, once it has rendered what is under way."""
        self._thread.shutdown(wait=False, cancel_futures=True)
