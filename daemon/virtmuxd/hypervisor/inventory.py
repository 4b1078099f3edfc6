"""What a hypervisor has: its identity, its domains and their console devices, read from libvirt and its XML."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import libvirt

from virtmux.reasons import LibvirtEvent
from virtmuxd.hypervisor.errors import CallFailed, named, unreadable

_KINDS = ("serial", "console", "parallel")

#: Reasons of the state SHUTOFF (virDomainShutoffReason), named as the details of STOPPED events are.
_SHUTOFF = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: "SHUTDOWN",
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: "DESTROYED",
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: "CRASHED",
    libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED: "MIGRATED",
    libvirt.VIR_DOMAIN_SHUTOFF_SAVED: "SAVED",
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: "FAILED",
    libvirt.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT: "FROM_SNAPSHOT",
    # libvirtd ended it itself, while it took stock after its start.
    libvirt.VIR_DOMAIN_SHUTOFF_DAEMON: "DESTROYED",
}

#: States of a domain that is there, and whose CPUs are stopped.
_PAUSED = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PMSUSPENDED, libvirt.VIR_DOMAIN_CRASHED)


@dataclass(frozen=True, slots=True)
class Device:
    """A console device: its alias (from the live XML, or the one it will get), libvirt's type of it, and its order."""

    alias: str
    backend: str
    index: int


@dataclass(frozen=True, slots=True)
class DomainState:
    """A domain as it stands: `running_id` -1 where it is shut off; `stopped` then says how, where libvirt knows.

    `paused`: it is there, and its CPUs are stopped.
    """

    uuid: str
    name: str
    running_id: int
    stopped: LibvirtEvent | None
    devices: tuple[Device, ...]
    paused: bool = False


def is_served(name: str, patterns: Iterable[str]) -> bool:
    """Whether a domain of this name is one that the daemon looks after."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def devices_of(xml: ET.Element) -> tuple[Device, ...]:
    """The console devices in a domain's XML. The first is the one that libvirt opens where none is named: the first
    `<console>`, and without one the first `<serial>` (docs/libvirt.md, "Devices").

    Aliases are in the live XML only; before that they are foretold the way QEMU's driver gives them: kind and order.
    The first `<console>` of most domains is the first `<serial>` once more: one device, two entries.
    """
    devices = xml.find("devices")
    found: dict[str, str] = {}
    first: str | None = None
    if devices is None:
        return ()
    for kind in _KINDS:
        for order, node in enumerate(devices.iterfind(kind)):
            target = node.find("target")
            is_serial = target is None or target.get("type", "serial") == "serial"
            if kind == "console" and order == 0 and is_serial and found:
                continue
            named = node.find("alias")
            alias = (named.get("name") if named is not None else None) or f"{kind}{order}"
            found.setdefault(alias, node.get("type", ""))
            if kind == "console" and order == 0:
                first = alias
    ordered = sorted(found, key=lambda alias: alias != first)
    return tuple(Device(alias, found[alias], index) for index, alias in enumerate(ordered))


def stopped_how(state: int, reason: int) -> LibvirtEvent | None:
    """What `virDomainGetState` says of a domain that is shut off, or None for one that is not."""
    if state != libvirt.VIR_DOMAIN_SHUTOFF:
        return None
    return LibvirtEvent("SHUTOFF", _SHUTOFF.get(reason))


def examine(domain: Any) -> DomainState:
    """In a worker thread: one domain as it stands.

    Raises:
        CallFailed: as `read`.
    """
    return read(domain)[0]


def read(domain: Any) -> tuple[DomainState, ET.Element]:
    """In a worker thread: one domain as it stands, and its XML.

    Raises:
        CallFailed: it is gone, may not be looked at, or cannot be understood; or its hypervisor is gone.
    """
    with named("virDomainGetState"):
        state, reason = domain.state()
    stopped, paused = stopped_how(state, reason), state in _PAUSED
    with named("virDomainGetXMLDesc"):
        described = domain.XMLDesc()
    try:
        xml = ET.fromstring(described)  # noqa: S314  # libvirt wrote it
    except ET.ParseError as error:
        raise CallFailed(unreadable(f"the domain's XML cannot be read: {error}", "virDomainGetXMLDesc")) from None
    running_id = domain.ID() if stopped is None else -1
    return DomainState(domain.UUIDString(), domain.name(), running_id, stopped, devices_of(xml), paused), xml


def domains_of(connection: Any) -> list[str]:
    """In a worker thread: the UUID of every domain.

    No domain gets out of here: as the last to hold its connection it would close that, a blocking call, wherever it is
    dropped.

    Raises:
        CallFailed: the hypervisor does not say.
    """
    with named("virConnectListAllDomains"):
        return [domain.UUIDString() for domain in connection.listAllDomains()]


def look_up(connection: Any, uuid: str) -> DomainState | None:
    """In a worker thread: a domain as it stands, or None where it is gone.

    Raises:
        CallFailed: as `examine`, but for a domain that is gone.
    """
    try:
        with named("virDomainLookupByUUIDString"):
            domain = connection.lookupByUUIDString(uuid)
        return examine(domain)
    except CallFailed as failed:
        if failed.error.code == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def identify(connection: Any) -> str:
    """In a worker thread: which libvirt instance this is: driver, instance and host UUID, whatever the URI.

    Raises:
        CallFailed: the hypervisor does not say.
    """
    with named("virConnectGetCapabilities"):
        capabilities = ET.fromstring(connection.getCapabilities())  # noqa: S314  # libvirt wrote it
    with named("virConnectGetURI"):
        instance = urlsplit(connection.getURI()).path.strip("/") or "default"
    with named("virConnectGetHostname"):
        host = capabilities.findtext("host/uuid") or connection.getHostname()
    with named("virConnectGetType"):
        return f"{connection.getType().lower()}/{instance}/{host}"
