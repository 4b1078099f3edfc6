"""The hypervisors that the daemon attends to: a supervisor each, which comes and goes with the configuration."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from virtmuxd.config.schema import Config
from virtmuxd.core.console import Console
from virtmuxd.core.console_key import ConsoleKey, Naming
from virtmuxd.core.counters import Counters
from virtmuxd.core.registry import Registry
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.connection import Route
from virtmuxd.hypervisor.console_supervisor import Fence
from virtmuxd.hypervisor.hypervisor_supervisor import HypervisorSupervisor, Scope
from virtmuxd.hypervisor.workers import Workers

_log = logging.getLogger(__name__)

#: Guests of one hypervisor that may refuse input at once without holding up the input of others.
_SENDERS = 512
#: Errands that a hypervisor may have under way at once.
_ERRANDS = 4
#: Seconds for the consoles to be closed in order; then connections that hang are cut.
_CLOSE_DEADLINE = 3.0


class _Attended(NamedTuple):
    """A hypervisor, and who looks after it."""

    route: Route
    counters: Counters
    supervisor: HypervisorSupervisor
    task: asyncio.Task[None]

    @property
    def stuck(self) -> int:
        """Calls that do not return although their connection was cut."""
        return sum(threads.stuck for threads in self.route.threads)


class Attendance:
    """See the module. `run` owns the supervisors; `follow` begins and ends them."""

    def __init__(
        self,
        bridge: EventBridge,
        registry: Registry,
        make_console: Callable[[ConsoleKey, Naming], Console],
        config: Config,
    ) -> None:
        """Of `config` counts what does not change while the daemon runs."""
        self._bridge = bridge
        self._registry = registry
        self._config = config
        self._scope = Scope(
            registry,
            make_console,
            config.domain,
            (config.keepalive_interval, config.keepalive_count),
            Fence(config.fence_deadline, config.client_requests, config.fence_patience),
        )
        self._attended: dict[str, _Attended] = {}
        self._left_stuck = 0
        self._tasks: asyncio.TaskGroup
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Attend to the hypervisors of the configuration, and to those of each that follows, until `finish`."""
        async with asyncio.TaskGroup() as self._tasks:
            self._begin_all(self._config.uri)
            await self._over.wait()
            await self._end_all(tuple(self._attended.values()))

    def finish(self) -> None:
        """End in order."""
        self._over.set()

    async def follow(self, config: Config) -> None:
        """Leave the hypervisors that are gone, begin with those that are new, and look at the domains meant now."""
        gone = [each for uri, each in self._attended.items() if uri not in config.uri]
        for each in gone:
            _log.info("a hypervisor is served no more", extra={"uri": each.route.uri})
            each.supervisor.abandon()
        await self._end_all(gone)
        for each in gone:
            self._forget(each)
        # One that was refused as another URI of a hypervisor which has gone now has its turn.
        doubles = [each for each in self._attended.values() if each.task.done()] if gone else []
        for each in doubles:
            self._forget(each)
        self._begin_all(config.uri)
        if self._scope.domains != config.domain:
            self._scope.domains = config.domain
            for each in self._attended.values():
                each.supervisor.look_round()

    @property
    def stuck(self) -> int:
        """Calls that will not return, and whose threads cannot be waited for."""
        return self._left_stuck + sum(each.stuck for each in self._attended.values())

    @property
    def used_up(self) -> list[str]:
        """The names of threads that are all stuck."""
        threads = [each for attended in self._attended.values() for each in attended.route.threads]
        return [each.name for each in threads if each.used_up]

    def close(self) -> None:
        """Let the threads end, once `run` is over."""
        for each in self._attended.values():
            self._close(each)

    def _begin_all(self, uris: Iterable[str]) -> None:
        for uri in uris:
            if uri not in self._attended:
                self._attended[uri] = self._begin(uri)

    def _begin(self, uri: str) -> _Attended:
        counters = self._registry.serve(uri, time.time_ns())
        route = self._route(uri, counters)
        supervisor = HypervisorSupervisor(route, self._scope)
        return _Attended(route, counters, supervisor, self._tasks.create_task(supervisor.run(), name=uri))

    def _route(self, uri: str, counters: Counters) -> Route:
        workers = Workers(self._config.workers, f"libvirt {uri}", counters)
        senders = Workers(_SENDERS, f"input {uri}", counters)
        errands = Workers(_ERRANDS, f"errands {uri}", counters)
        counters.threads = {"calls": workers.use, "input": senders.use, "errands": errands.use}
        deadline, pool = self._config.call_deadline, self._config.pool_of(uri)
        return Route(uri, self._bridge, workers, senders, deadline, pool=pool, errands=errands)

    async def _end_all(self, ending: Iterable[_Attended]) -> None:
        """Have consoles and connections closed, all at once; behind the deadline what hangs is cut."""
        tasks = set()
        for each in ending:
            for threads in each.route.threads:
                threads.finish_within(_CLOSE_DEADLINE)
            each.task.cancel()
            tasks.add(each.task)
        if tasks:
            await asyncio.wait(tasks)

    def _forget(self, attended: _Attended) -> None:
        del self._attended[attended.route.uri]
        self._left_stuck += attended.stuck
        attended.supervisor.close()
        self._registry.cease(attended.route.uri)
        self._close(attended)

    def _close(self, attended: _Attended) -> None:
        for threads in attended.route.threads:
            threads.close()
        _log.info("what was counted at a hypervisor", extra={"uri": attended.route.uri, **attended.counters.fields()})
