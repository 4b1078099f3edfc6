"""The supervisor of one hypervisor: its control connection, what its events say, and which consoles it has.

The control connection carries events and keepalive, and nothing that could hang on one domain. While it is up,
libvirt's events become events of the consoles; when it is lost, all consoles of the hypervisor learn it, and it is
opened again at growing intervals. Domains are looked at on another one.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from virtmux.backoff import Backoff
from virtmux.reasons import Cause, LibvirtEvent, SavedError
from virtmuxd.core.console import Console
from virtmuxd.core.console_key import ConsoleKey, Naming
from virtmuxd.core.events import Down, Event, Stopped, Undefined, Up
from virtmuxd.core.evidence import connecting_cause, connection_cause
from virtmuxd.core.registry import AlreadyServedError, Registry
from virtmuxd.hypervisor.arrivals import Arrivals
from virtmuxd.hypervisor.cancelled import go_on_being_cancelled
from virtmuxd.hypervisor.connection import KeptConnection, Route
from virtmuxd.hypervisor.console_supervisor import ConsoleSupervisor, Fence, Supervised
from virtmuxd.hypervisor.errands import HypervisorErrands
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed
from virtmuxd.hypervisor.inventory import DomainState, domains_of, identify, is_served, look_up
from virtmuxd.hypervisor.lifecycle import DomainEvent, Lifecycle

_log = logging.getLogger(__name__)

#: Seconds before a domain is looked at again that could not be looked at.
_LOOK_AGAIN = 5.0
#: Seconds after which a domain is looked at again whose guest has gone elsewhere: libvirt tells that, and may forget
#: the domain a moment later, of which it tells nothing (docs/libvirt.md, "Migration").
_FORGOTTEN_BY = (0.5, 5.0, 30.0)


@dataclass(slots=True)
class Scope:
    """What a hypervisor's supervisor looks after: where its consoles go, how one is made, which domains are meant
    (globs on their names; they may become others, see `look_round`), the keepalive of its control connection (seconds,
    count), and what a fence is."""

    registry: Registry
    make_console: Callable[[ConsoleKey, Naming], Console]
    domains: tuple[str, ...]
    keepalive: tuple[int, int]
    fence: Fence


class HypervisorSupervisor:
    """See the module. `run` is its life."""

    def __init__(self, route: Route, scope: Scope) -> None:
        self._route = route
        self._scope = scope
        self._registry = scope.registry
        self._hypervisor = ""
        self._consoles: dict[ConsoleKey, Supervised] = {}
        self._arrivals = Arrivals(route.uri, scope.registry, self._supervise, self._settle)
        self._loop = asyncio.get_running_loop()
        self._supervisors: asyncio.TaskGroup
        self._lifecycle = Lifecycle(self._hear)
        self._errands = HypervisorErrands(route, lambda: scope.domains)
        self._in_step = False
        #: UUIDs of domains to look at again, in order, each once.
        self._stale: dict[str, None] = {}
        #: Whether it is to be looked which domains there are.
        self._all_stale = False
        self._some_stale = asyncio.Event()
        self._registry.expect(route.uri)

    async def run(self) -> None:
        """Serve the hypervisor until cancelled; then its consoles are let go first, the control connection last."""
        try:
            async with asyncio.TaskGroup() as control:
                keeping = control.create_task(self._keep_connected(), name=f"control {self._route.uri}")
                running = control.create_task(self._errands.run(), name=f"errands {self._route.uri}")
                try:
                    async with asyncio.TaskGroup() as self._supervisors:
                        await asyncio.wait({keeping})
                finally:
                    keeping.cancel()
                    running.cancel()
        finally:
            await self._route.close()

    async def _keep_connected(self) -> None:
        backoff = Backoff(random.random)
        while True:
            try:
                pause = await self._stay_connected(backoff)
            except AlreadyServedError as served:
                _log.error(
                    "a second URI of one hypervisor is not served", extra={"uri": self._route.uri, "error": str(served)}
                )
                self._registry.disconnected(
                    self._route.uri, time.time_ns(), Cause.HYPERVISOR_DENIED, detail=str(served)
                )
                return
            except CallFailed as failed:
                go_on_being_cancelled()
                pause = self._lose(backoff, connecting_cause(failed.error), failed.error)
            except DeadlineMissed:
                go_on_being_cancelled()
                pause = self._lose(backoff, Cause.HYPERVISOR_TIMEOUT)
            except Exception:  # noqa: BLE001  # the failure boundary of a hypervisor
                _log.exception("a bug in the supervisor of a hypervisor", extra={"uri": self._route.uri})
                go_on_being_cancelled()
                pause = self._lose(backoff, Cause.INTERNAL_ERROR)
            await asyncio.sleep(pause)

    def _lose(self, backoff: Backoff, cause: Cause, error: SavedError | None = None) -> float:
        """The hypervisor is lost, or still cannot be had: all who are concerned are told at once. Gives the seconds
        until it is tried again."""
        if not self._in_step:  # it is no mere moment
            self._arrivals.turn_back()
        self._in_step = False
        if cause is Cause.HYPERVISOR_TIMEOUT:
            self._route.give_up()
        pause = backoff.next()
        self._registry.disconnected(self._route.uri, time.time_ns(), cause, error, retry_s=round(pause, 1))
        self._tell_all(Down(time.time_ns(), cause, error))
        why = {"cause": cause, "error": error.message if error else None, "retry_s": round(pause, 1)}
        _log.warning("a hypervisor cannot be had", extra={"uri": self._route.uri, **why})
        return pause

    async def _stay_connected(self, backoff: Backoff) -> float:
        """Connect, and keep in step with the hypervisor until the connection is lost; gives what `_lose` does.

        Raises:
            CallFailed, DeadlineMissed: connecting failed.
            AlreadyServedError: the hypervisor is served under another URI.
        """
        async with AsyncExitStack() as stack:
            connection = await self._route.connect(shared=False)
            stack.push_async_callback(connection.close)
            kept = KeptConnection(self._route)
            stack.push_async_callback(kept.close)
            lost: asyncio.Queue[Cause] = asyncio.Queue()
            await connection.watch_close(lost.put_nowait)
            with suppress(CallFailed):  # drivers without RPC have no keepalive, and need none
                await connection.call("virConnectSetKeepAlive", connection.libvirt.setKeepAlive, *self._scope.keepalive)
            self._hypervisor = await connection.call("virConnectGetCapabilities", identify, connection.libvirt)
            self._registry.identified(self._hypervisor, self._route.uri)
            await connection.call("virConnectDomainEventRegisterAny", self._lifecycle.register, connection)
            await self._survey(kept)
            backoff.reset()
            _log.info("connected to the hypervisor", extra={"uri": self._route.uri, "hypervisor": self._hypervisor})
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._follow(kept), name=f"follow {self._route.uri}")
                pause = self._lose(backoff, await lost.get())  # before the closes, which may have to wait for a thread
                kept.cut()
                following.cancel()
            return pause

    def look_round(self) -> None:
        """Other domains are meant now: look which there are."""
        if self._in_step:
            self._all_stale = True
            self._some_stale.set()
            self._registry.expect(self._route.uri)

    def abandon(self) -> None:
        """The hypervisor is served no more: whoever is at its consoles is sent away. Then cancel `run`."""
        self._in_step = False
        for supervisor, _ in tuple(self._consoles.values()):
            supervisor.console.abandon(time.time_ns())

    def close(self) -> None:
        """Let go of the consoles, once `run` is over."""
        for supervisor, _ in self._consoles.values():
            self._registry.remove(supervisor.console)
            supervisor.console.close(time.time_ns())
        self._consoles.clear()

    # Events.

    def _hear(self, happened: DomainEvent) -> None:
        """On the loop. Before the survey is over, its result says what the events do."""
        on_its_way = happened.event is not None and self._arrivals.hear(self._hypervisor, happened.uuid, happened.event)
        if happened.event is not None and self._in_step and not on_its_way:
            for key, (supervisor, _) in tuple(self._consoles.items()):
                if key.uuid == happened.uuid and happened.device in (None, key.device):
                    supervisor.post(happened.event)
        if happened.look_again:
            self._look_again(happened.uuid)
        if isinstance(happened.event, Stopped) and happened.event.event.detail == "MIGRATED":
            for seconds in _FORGOTTEN_BY:
                self._loop.call_later(seconds, self._look_again, happened.uuid)

    def _tell_all(self, event: Event) -> None:
        for supervisor, _ in tuple(self._consoles.values()):
            supervisor.post(event)

    # The inventory.

    def _look_again(self, uuid: str) -> None:
        self._stale[uuid] = None
        self._some_stale.set()
        if self._in_step:
            self._registry.expect(self._route.uri)

    async def _survey(self, kept: KeptConnection) -> None:
        """Learn what there is. Domains that events name meanwhile are looked at again, until none is left; one that
        hangs is no matter to the others, and is looked at again later.

        Raises:
            CallFailed, DeadlineMissed: the hypervisor cannot be had, or the domains could not be listed.
        """
        self._stale.clear()
        states: dict[str, DomainState] = {}
        not_seen: dict[str, CallFailed | DeadlineMissed] = {}
        await self._find_all(kept)
        while self._stale:
            uuid = self._next_stale()
            states.pop(uuid, None)
            not_seen.pop(uuid, None)
            await kept.open()  # that it fails is no matter of this domain
            try:
                state = await kept.call("virDomainGetXMLDesc", look_up, uuid)
            except (CallFailed, DeadlineMissed) as failed:
                if isinstance(failed, CallFailed) and connection_cause(failed.error) is not None:
                    raise
                not_seen[uuid] = failed
            else:
                if state is not None:
                    states[uuid] = state
        self._in_step = True
        self._arrivals.take_stock(states, not_seen.keys())
        for state in states.values():
            self._see(state, all_news=True)
        for uuid in {key.uuid for key in self._consoles} - set(states) - set(not_seen):
            self._lose_domain(uuid)
        for uuid, why in not_seen.items():
            self._look_later(uuid, why)
        self._registry.connected(self._route.uri, time.time_ns(), self._errands)

    async def _find_all(self, kept: KeptConnection) -> None:
        """All domains that there are become stale."""
        for uuid in await kept.call("virConnectListAllDomains", domains_of):
            self._stale[uuid] = None

    def _next_stale(self) -> str:
        uuid = next(iter(self._stale))
        del self._stale[uuid]
        return uuid

    async def _follow(self, kept: KeptConnection) -> None:
        """Look again at every domain that an event named, until cancelled."""
        while True:
            await self._some_stale.wait()
            self._some_stale.clear()
            await self._find_those_meant(kept)
            while self._stale:
                await self._look_at(self._next_stale(), kept)
            self._registry.surveyed(self._route.uri)

    async def _find_those_meant(self, kept: KeptConnection) -> None:
        if not self._all_stale:
            return
        self._all_stale = False
        try:
            await self._find_all(kept)
        except (CallFailed, DeadlineMissed) as failed:
            _log.warning("domains cannot be listed", extra={"uri": self._route.uri, "error": str(failed)})
            self._loop.call_later(_LOOK_AGAIN, self.look_round)

    async def _look_at(self, uuid: str, kept: KeptConnection) -> None:
        try:
            state = await kept.call("virDomainGetXMLDesc", look_up, uuid)
        except (CallFailed, DeadlineMissed) as failed:
            self._look_later(uuid, failed)
            return
        if uuid in self._stale:
            return  # what was seen is older than what the events say
        if state is not None:
            self._see(state, all_news=False)
        elif not self._runs(uuid):
            self._lose_domain(uuid)
        # else this is ahead of the events: they will say how it ended, and have it looked at again

    def _runs(self, uuid: str) -> bool:
        """Whether the domain runs, as far as the events have told."""
        return any(
            here.supervisor.console.machine.newest.running for key, here in self._consoles.items() if key.uuid == uuid
        )

    def _look_later(self, uuid: str, failed: CallFailed | DeadlineMissed) -> None:
        _log.warning("a domain cannot be looked at", extra={"uri": self._route.uri, "uuid": uuid, "error": str(failed)})
        self._loop.call_later(_LOOK_AGAIN, self._look_again, uuid)

    def _see(self, state: DomainState, *, all_news: bool) -> None:
        """Bring a domain's consoles in line with how it stands.

        `all_news` tells consoles that are known already how their domain stands; once in step, events do that, but for
        a device that was plugged in again.
        """
        wanted = is_served(state.name, self._scope.domains)
        keys = {ConsoleKey(self._hypervisor, state.uuid, device.alias): device for device in state.devices if wanted}
        for key, device in keys.items():
            if key in self._arrivals:
                continue
            naming = Naming(self._route.uri, state.name, device.backend, device.index)
            if self._appear(key, naming) or all_news or self._consoles[key].supervisor.console.unplugged:
                self._consoles[key].supervisor.post(Up(time.time_ns(), state.running_id, state.stopped, state.paused))
        for key in [key for key in self._consoles if key.uuid == state.uuid and key not in keys]:
            self._consoles[key].supervisor.console.vanish(time.time_ns())
            self._retire(self._consoles[key].supervisor)

    def _appear(self, key: ConsoleKey, naming: Naming) -> bool:
        """Make the console be there; gives whether it was not."""
        if key in self._consoles:
            return self._consoles[key].supervisor.console.appear(naming, time.time_ns())
        console = self._scope.make_console(key, naming)
        self._consoles[key] = self._supervise(console)
        console.hold_by(self._consoles[key].supervisor)
        self._registry.add(console)
        return console.appear(naming, time.time_ns())

    def _supervise(self, console: Console) -> Supervised:
        supervisor = ConsoleSupervisor(
            console, self._route, self._scope.fence, retired=self._retire, departed=self._departed
        )
        name = f"console {console.naming.domain}:{console.key.device}"
        return Supervised(supervisor, self._supervisors.create_task(supervisor.run(), name=name))

    def _settle(self, key: ConsoleKey, supervised: Supervised) -> None:
        """A console has come with its guest. The one that waited here for the domain to be started makes room."""
        former = self._consoles.get(key)
        self._consoles[key] = supervised
        supervised.supervisor.settle()
        if former is not None:
            former.task.cancel()
            former.supervisor.console.make_room(time.time_ns())
        self._look_again(key.uuid)

    def _departed(self, supervisor: ConsoleSupervisor) -> None:
        """A console went with its guest; what the domain leaves here is another one."""
        for key in [key for key in self._consoles if self._consoles[key].supervisor is supervisor]:
            self._consoles.pop(key).task.cancel()
            self._look_again(key.uuid)

    def _lose_domain(self, uuid: str) -> None:
        """The domain does not exist any more; its end may not have been seen."""
        for key in [key for key in self._consoles if key.uuid == uuid]:
            supervisor, _ = self._consoles[key]
            supervisor.post(Undefined(time.time_ns(), LibvirtEvent("UNDEFINED", None), gone=True))
            supervisor.console.vanish(time.time_ns())
            self._retire(supervisor)

    def _retire(self, supervisor: ConsoleSupervisor) -> None:
        """Let go of a console that vanished, once nobody holds it or has a place at it."""
        console = supervisor.console
        here = self._consoles.get(console.key)
        if console.forsaken and here is not None and here.supervisor is supervisor:
            del self._consoles[console.key]
            here.task.cancel()
            self._registry.remove(console)
            console.close(time.time_ns())
