"""What libvirt says of one domain, console or not, for a person who misses one. In worker threads."""

import uuid
from collections.abc import Callable, Iterable
from typing import Any

import libvirt

from virtmux.domains import DeviceInfo, DomainInfo
from virtmuxd.hypervisor.errors import CallFailed, named
from virtmuxd.hypervisor.inventory import is_served, read

#: What fits into a message: characters of a command line, devices and displays.
_LONGEST = 4096
_MOST = 64


def find(connection: Any, named_: str) -> Any | None:
    """The domain of this name, else of this UUID, else of this running id; None where there is none.

    Raises:
        CallFailed: it may not be looked for, or the hypervisor is gone.
    """
    look_ups: list[tuple[str, Callable[[], Any]]] = [("virDomainLookupByName", lambda: connection.lookupByName(named_))]
    if _is_uuid(named_):
        look_ups.append(("virDomainLookupByUUIDString", lambda: connection.lookupByUUIDString(named_)))
    if named_.isascii() and named_.isdecimal() and len(named_) < 10:
        look_ups.append(("virDomainLookupByID", lambda: connection.lookupByID(int(named_))))
    for api, look_up in look_ups:
        try:
            with named(api):
                return look_up()
        except CallFailed as failed:
            if failed.error.code != libvirt.VIR_ERR_NO_DOMAIN:
                raise
    return None


def describe(connection: Any, named_: str, uri: str, patterns: Iterable[str]) -> DomainInfo | None:
    """The domain as it stands; None where there is none.

    Raises:
        CallFailed: as `find`, or it cannot be understood.
    """
    domain = find(connection, named_)
    if domain is None:
        return None
    state, xml = read(domain)
    return DomainInfo(
        uri=uri,
        domain=state.name,
        uuid=state.uuid,
        running=state.running_id >= 0,
        paused=state.paused,
        served=is_served(state.name, patterns),
        devices=[DeviceInfo(device.alias, device.backend) for device in state.devices[:_MOST]],
        graphics=[node.get("type", "") for node in xml.iterfind("devices/graphics")][:_MOST],
        command_line=None if xml.find("os/kernel") is None else xml.findtext("os/cmdline", "")[:_LONGEST],
    )


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
