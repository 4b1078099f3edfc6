"""What libvirt says of a domain that may have a console, for a person who misses one. Pure."""

from msgspec import Struct


class DeviceInfo(Struct, frozen=True):
    """A character device. `device` is its alias, `backend` libvirt's type of it (`pty`, `file`, ...), of which only
    `pty` can be a console."""

    device: str
    backend: str


class DomainInfo(Struct, frozen=True, kw_only=True):
    """A domain as it stands now. `served`: whether virtmuxd is to look after it at all (its option `domain`).

    `graphics` lists its displays by type (`vnc`, `spice`); `command_line` is that of a kernel which libvirt boots
    itself, null where the guest has a boot loader of its own.
    """

    uri: str
    domain: str
    uuid: str
    running: bool
    paused: bool
    served: bool
    devices: list[DeviceInfo]
    graphics: list[str]
    command_line: str | None = None
