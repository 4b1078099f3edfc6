"""libvirt's domain events, registered on a control connection and put into the words of the core."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import libvirt

from virtmux.reasons import LibvirtEvent
from virtmuxd.core.events import Event, Noted, Paused, Resumed, ShuttingDown, Started, Stopped, Undefined, Unplugged
from virtmuxd.hypervisor.connection import Connection


class DomainEvent(NamedTuple):
    """What happened to a domain: to one device of it, or (None) to all; `event` is None where only its definition
    changed. `look_again` says whether what the domain has may have changed."""

    uuid: str
    event: Event | None
    device: str | None = None
    look_again: bool = False


def _details(kind: str) -> dict[int, str]:
    prefix = f"VIR_DOMAIN_EVENT_{kind}_"
    return {value: name.removeprefix(prefix) for name, value in vars(libvirt).items() if name.startswith(prefix)}


_STOPPED, _CRASHED = _details("STOPPED"), _details("CRASHED")
#: Events of a domain that is there: whether its CPUs go on or were stopped, and their details.
_STANDING: dict[int, tuple[type[Paused] | type[Resumed], dict[int, str]]] = {
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: (Paused, _details("SUSPENDED")),
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: (Paused, _details("PMSUSPENDED")),
    libvirt.VIR_DOMAIN_EVENT_RESUMED: (Resumed, _details("RESUMED")),
}


def translate(at: int, running_id: int, event: int, detail: int) -> Event | None:
    """A lifecycle event (virDomainEventType and its detail) as an event of the domain's consoles, if it is one."""
    happened: Event | None = None
    match event:
        case libvirt.VIR_DOMAIN_EVENT_STARTED:
            happened = Started(at, running_id, detail == libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED)
        case libvirt.VIR_DOMAIN_EVENT_STOPPED:
            happened = Stopped(at, LibvirtEvent("STOPPED", _STOPPED.get(detail)))
        case libvirt.VIR_DOMAIN_EVENT_SHUTDOWN if detail == libvirt.VIR_DOMAIN_EVENT_SHUTDOWN_GUEST:
            happened = ShuttingDown(at, LibvirtEvent("SHUTDOWN", "GUEST"))  # HOST is also what `virsh destroy` makes
        case libvirt.VIR_DOMAIN_EVENT_CRASHED:  # what comes of it is for the domain's on_crash to say, by other events
            happened = Paused(at, _CRASHED.get(detail), "crashed")
        case libvirt.VIR_DOMAIN_EVENT_UNDEFINED if detail == libvirt.VIR_DOMAIN_EVENT_UNDEFINED_REMOVED:
            happened = Undefined(at, LibvirtEvent("UNDEFINED", "REMOVED"))
        case _ if event in _STANDING:
            kind, details = _STANDING[event]
            happened = kind(at, details.get(detail))
        case _:
            pass  # it changes nothing for a console
    return happened


class Lifecycle:
    """Tells `heard` of every domain event, on the loop. The callbacks copy and wake; they decide nothing."""

    def __init__(self, heard: Callable[[DomainEvent], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._heard = heard

    def register(self, connection: Connection) -> None:
        """In a worker thread: register for as long as the connection lives."""
        for number, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._on_reboot),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, self._on_device_added),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, self._on_device_removed),
        ):
            with suppress(libvirt.libvirtError):  # not every driver has every event
                registration = connection.libvirt.domainEventRegisterAny(None, number, callback, None)
                connection.undo_at_close(partial(connection.libvirt.domainEventDeregisterAny, registration))

    def _tell(self, event: DomainEvent) -> None:
        self._loop.call_soon_threadsafe(self._heard, event)

    def _on_lifecycle(self, _connection: object, domain: Any, event: int, detail: int, _opaque: None) -> None:
        happened = translate(time.time_ns(), domain.ID(), event, detail)
        self._tell(
            DomainEvent(
                domain.UUIDString(), happened, look_again=not isinstance(happened, Paused | Resumed | ShuttingDown)
            )
        )

    def _on_reboot(self, _connection: object, domain: Any, _opaque: None) -> None:
        self._tell(DomainEvent(domain.UUIDString(), Noted(time.time_ns(), "rebooted")))

    def _on_device_added(self, _connection: object, domain: Any, alias: str, _opaque: None) -> None:
        self._tell(DomainEvent(domain.UUIDString(), None, alias, look_again=True))

    def _on_device_removed(self, _connection: object, domain: Any, alias: str, _opaque: None) -> None:
        event = Unplugged(time.time_ns(), LibvirtEvent("DEVICE_REMOVED", alias))
        self._tell(DomainEvent(domain.UUIDString(), event, alias, look_again=True))
