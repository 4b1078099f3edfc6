"""The supervisor of one hypervisor: its control connection, what its events say, and which consoles it has.

The control connection carries no console. While it is up, libvirt's events become events of the consoles; when it is
lost, all consoles of the hypervisor learn it, and it is opened again at growing intervals.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import libvirt

from virtmux.messages import State
from virtmux.reasons import CAUSES, Cause, LibvirtEvent, SavedError
from virtmuxd.core.backoff import Backoff
from virtmuxd.core.console import Console, ConsoleKey, Naming
from virtmuxd.core.events import Down, Event, Noted, Started, Stopped, Undefined, Unplugged, Up
from virtmuxd.core.evidence import opening_cause
from virtmuxd.core.registry import Registry, Trouble
from virtmuxd.hypervisor.connection import Connection
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed
from virtmuxd.hypervisor.inventory import DomainState, examine, identify
from virtmuxd.hypervisor.supervisor import ConsoleSupervisor, Link

_log = logging.getLogger(__name__)


def _details(kind: str) -> dict[int, str]:
    prefix = f"VIR_DOMAIN_EVENT_{kind}_"
    return {value: name.removeprefix(prefix) for name, value in vars(libvirt).items() if name.startswith(prefix)}


_STOPPED, _SUSPENDED, _RESUMED = _details("STOPPED"), _details("SUSPENDED"), _details("RESUMED")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a hypervisor supervisor is to look after: how to make a console, which domains are meant (globs on their
    names), the keepalive of its control connection (seconds, count), and the instances that are taken, by identity."""

    registry: Registry
    make_console: Callable[[ConsoleKey, Naming], Console]
    domains: tuple[str, ...]
    keepalive: tuple[int, int]
    instances: dict[str, str] = field(default_factory=dict)


class _AlreadyKnown(Exception):  # noqa: N818
    """Another URI leads to the same libvirt instance."""


class HypervisorSupervisor:
    """See the module. `run` is its life."""

    def __init__(self, link: Link, scope: Scope) -> None:
        self._link = link
        self._scope = scope
        self._identity = ""
        self._consoles: dict[ConsoleKey, tuple[ConsoleSupervisor, asyncio.Task[None]]] = {}
        self._tasks = asyncio.TaskGroup()
        self._loop = asyncio.get_running_loop()
        self._in_step = False
        self._stale: asyncio.Queue[str] = asyncio.Queue()
        scope.registry.expect(link.uri)

    async def run(self) -> None:
        """Serve the hypervisor until cancelled."""
        backoff = Backoff(random.random)
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                try:
                    cause, error = await self._serve(backoff), None
                except CallFailed as failed:
                    cause, error = opening_cause(failed.error), failed.error
                except DeadlineMissed:
                    cause, error = Cause.HYPERVISOR_TIMEOUT, None
                except _AlreadyKnown as known:
                    self._scope.registry.surveyed(self._link.uri)
                    _log.error("a second URI of one hypervisor is not served", extra={"why": str(known)})
                    return
                except Exception:  # noqa: BLE001  # the failure boundary of a hypervisor
                    _log.exception("a bug in the supervisor of a hypervisor", extra={"uri": self._link.uri})
                    cause, error = Cause.INTERNAL_ERROR, None
                self._in_step = False
                trouble = Trouble(cause, error.message if error else CAUSES[cause].text.format(domain="its guests"))
                self._scope.registry.surveyed(self._link.uri, trouble)
                self._lose(cause, error)
                pause = backoff.next()
                why = {"cause": cause.value, "error": error.message if error else None}
                _log.warning("no hypervisor", extra={"uri": self._link.uri, **why, "retry_s": round(pause, 1)})
                await asyncio.sleep(pause)

    async def _serve(self, backoff: Backoff) -> Cause:
        """Connect, keep in step with the hypervisor until the connection is lost, and give the cause of that.

        Raises:
            CallFailed, DeadlineMissed: connecting failed.
        """
        connection = await self._link.connect()
        try:
            lost: asyncio.Queue[Cause] = asyncio.Queue()
            await connection.watch_close(lost.put_nowait)
            with suppress(CallFailed):  # drivers without RPC have no keepalive, and need none
                await connection.call("virConnectSetKeepAlive", connection.handle.setKeepAlive, *self._scope.keepalive)
            self._claim(await connection.call("virConnectGetCapabilities", identify, connection.handle))
            await connection.call("virConnectDomainEventRegisterAny", self._register, connection)
            await self._catch_up(connection)
            self._scope.registry.surveyed(self._link.uri)
            backoff.reset()
            _log.info("connected to the hypervisor", extra={"uri": self._link.uri, "hypervisor": self._identity})
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._follow(connection), name=f"follow {self._link.uri}")
                cause = await lost.get()
                following.cancel()
            return Cause.HYPERVISOR_TIMEOUT if connection.transport.was_cut else cause
        finally:
            await connection.close()

    def _claim(self, identity: str) -> None:
        owner = self._scope.instances.setdefault(identity, self._link.uri)
        if owner != self._link.uri:
            raise _AlreadyKnown(f"{self._link.uri} leads to {identity}, which is served as {owner}")
        self._identity = identity

    def _lose(self, cause: Cause, error: SavedError | None) -> None:
        for supervisor, _ in tuple(self._consoles.values()):
            supervisor.post(Down(time.time_ns(), cause, error))

    # Events: the callbacks copy and wake; what follows is decided on the next turn.

    def _register(self, connection: Connection) -> None:
        """In a worker thread."""
        for event, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._on_reboot),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, self._on_device_removed),
        ):
            with suppress(libvirt.libvirtError):  # not every driver has every event
                registration = connection.handle.domainEventRegisterAny(None, event, callback, None)
                connection.undo_at_close(partial(connection.handle.domainEventDeregisterAny, registration))

    def _on_lifecycle(self, _connection: object, domain: Any, event: int, detail: int, _opaque: None) -> None:
        at = time.time_ns()
        self._loop.call_soon_threadsafe(self._lifecycle, at, domain.UUIDString(), domain.ID(), event, detail)

    def _on_reboot(self, _connection: object, domain: Any, _opaque: None) -> None:
        self._loop.call_soon_threadsafe(self._post, domain.UUIDString(), Noted(time.time_ns(), "rebooted"))

    def _on_device_removed(self, _connection: object, domain: Any, alias: str, _opaque: None) -> None:
        event = Unplugged(time.time_ns(), LibvirtEvent("DEVICE_REMOVED", alias))
        self._loop.call_soon_threadsafe(self._post, domain.UUIDString(), event, alias)

    def _lifecycle(self, at: int, uuid: str, running_id: int, event: int, detail: int) -> None:
        match event:
            case libvirt.VIR_DOMAIN_EVENT_STARTED:
                self._post(uuid, Started(at, running_id))
            case libvirt.VIR_DOMAIN_EVENT_STOPPED:
                self._post(uuid, Stopped(at, LibvirtEvent("STOPPED", _STOPPED.get(detail))))
            case libvirt.VIR_DOMAIN_EVENT_SUSPENDED:
                self._post(uuid, Noted(at, "paused", _SUSPENDED.get(detail)))
            case libvirt.VIR_DOMAIN_EVENT_RESUMED:
                self._post(uuid, Noted(at, "resumed", _RESUMED.get(detail)))
            case libvirt.VIR_DOMAIN_EVENT_UNDEFINED if detail == libvirt.VIR_DOMAIN_EVENT_UNDEFINED_REMOVED:
                self._post(uuid, Undefined(at, LibvirtEvent("UNDEFINED", "REMOVED")))
        if event not in (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_RESUMED):
            self._stale.put_nowait(uuid)

    def _post(self, uuid: str, event: Event, device: str | None = None) -> None:
        """Give an event to the consoles of a domain; before the inventory is in step its state says the same."""
        if not self._in_step:
            return
        for key, (supervisor, _) in tuple(self._consoles.items()):
            if key.uuid == uuid and device in (None, key.device):
                supervisor.post(event)

    # The inventory.

    async def _catch_up(self, connection: Connection) -> None:
        """Learn what there is. Domains that events name meanwhile are looked at again, until none is left."""
        while not self._stale.empty():
            self._stale.get_nowait()
        domains = await connection.call("virConnectListAllDomains", connection.handle.listAllDomains)
        states: dict[str, DomainState] = {}
        for domain in domains:
            with suppress(CallFailed):  # gone since
                state = await connection.call("virDomainGetState", examine, domain)
                states[state.uuid] = state
        while not self._stale.empty():
            uuid = self._stale.get_nowait()
            again = await self._look_up(connection, uuid)
            states.pop(uuid, None)
            if again is not None:
                states[uuid] = again
        self._in_step = True
        for state in states.values():
            self._see(state, all_news=True)
        for key in [key for key in self._consoles if key.uuid not in states]:
            self._vanish(key)

    async def _follow(self, connection: Connection) -> None:
        """Look again at every domain that an event named."""
        while True:
            uuid = await self._stale.get()
            try:
                state = await self._look_up(connection, uuid)
            except (CallFailed, DeadlineMissed):
                continue  # the connection is going; its close callback says so
            if state is not None:
                self._see(state, all_news=False)
            else:
                for key in [key for key in self._consoles if key.uuid == uuid]:
                    self._vanish(key)

    async def _look_up(self, connection: Connection, uuid: str) -> DomainState | None:
        """The domain as it stands, or None where it is gone.

        Raises:
            CallFailed, DeadlineMissed: the connection failed.
        """
        try:
            domain = await connection.call("virDomainLookupByUUIDString", connection.handle.lookupByUUIDString, uuid)
            return await connection.call("virDomainGetState", examine, domain)
        except CallFailed as failed:
            if failed.error.code == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    def _see(self, state: DomainState, *, all_news: bool) -> None:
        """Bring a domain's consoles in line with how it stands.

        `all_news` tells consoles that are known already how their domain stands; once in step, events do that.
        """
        wanted = any(fnmatchcase(state.name, pattern) for pattern in self._scope.domains)
        keys = {ConsoleKey(self._identity, state.uuid, device.alias): device for device in state.devices if wanted}
        for key, device in keys.items():
            naming = Naming(self._link.uri, state.name, device.backend, device.index)
            news = self._appear(key, naming)
            if news or all_news:
                self._consoles[key][0].post(Up(time.time_ns(), state.running_id, state.stopped))
        for key in [key for key in self._consoles if key.uuid == state.uuid and key not in keys]:
            self._vanish(key)

    def _appear(self, key: ConsoleKey, naming: Naming) -> bool:
        """Make the console be there; gives whether it was not."""
        known = self._consoles.get(key)
        if known is not None:
            console = known[0].console
            console.naming = naming
            back, console.present = not console.present, True
            if back:
                console.tell("appeared", time.time_ns())
            return back
        console = self._scope.make_console(key, naming)
        supervisor = ConsoleSupervisor(console, self._link, retire=self._retire)
        task = self._tasks.create_task(supervisor.run(), name=f"console {naming.domain}:{key.device}")
        self._consoles[key] = (supervisor, task)
        self._scope.registry.add(console, time.time_ns())
        return True

    def _vanish(self, key: ConsoleKey) -> None:
        """The console is there no more; it stays for those who have a place at it."""
        supervisor, _ = self._consoles[key]
        console = supervisor.console
        if console.present and console.machine.state is not State.ATTACHED:
            console.present = False
            console.tell("vanished", time.time_ns())
        self._retire(supervisor)

    def _retire(self, supervisor: ConsoleSupervisor) -> None:
        """Let go of a console that vanished, once nobody has a place at it."""
        console = supervisor.console
        if console.forsaken and console.key in self._consoles:
            _, task = self._consoles.pop(console.key)
            task.cancel()
            self._scope.registry.remove(console)
            console.close(time.time_ns())
