"""A guest of `fake_libvirt.py`, and its domain as the binding shows it."""

from typing import TYPE_CHECKING

import libvirt

from tests.harness.fake_stream import FakeStream, Holder, Refusal, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.fake_libvirt import FakeConnection, FakeLibvirt

_NOT_RUNNING = "Requested operation is not valid: domain is not running"
_XML = """\
<domain type='{kind}'><name>{name}</name><uuid>{uuid}</uuid><devices><console type='pty'><target type='{target}'/>
{alias}</console></devices></domain>"""


class FakeGuest:
    """A domain, and who is inside."""

    def __init__(self, at: "FakeLibvirt", name: str, uuid: str) -> None:
        self.at = at
        self.name, self.uuid = name, uuid
        self.device = "serial0" if at.exclusive else "console0"
        self.running_id = -1
        self.state: tuple[int, int] = (libvirt.VIR_DOMAIN_SHUTOFF, 0)
        self._boots = False
        #: What it does with each piece of input that it reads; all that it has read is `typed`.
        self.reads: Callable[[bytes], object] = lambda _: None
        self.typed = b""
        #: What it says as it boots.
        self.greeting = b""
        #: Who has its console, and what waits in its line for it and for them.
        self.holders: list[Holder] = []
        self.waits, self._unheard = bytearray(), bytearray()

    @property
    def is_paused(self) -> bool:
        return self.state[0] == int(libvirt.VIR_DOMAIN_PAUSED)

    def start(self, *, paused: bool = False) -> None:
        self.running_id = self.at.next_running_id()
        self.state = (libvirt.VIR_DOMAIN_PAUSED if paused else libvirt.VIR_DOMAIN_RUNNING), 1
        self._boots = True
        self.at.tell(self, libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED)
        if not paused:
            self._run()

    def _run(self) -> None:
        if self._boots:
            self._boots = False
            self.says(self.greeting)
        self.read()

    def pause(self) -> None:
        self.state = libvirt.VIR_DOMAIN_PAUSED, 1
        self.at.tell(self, libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED)

    def resume(self) -> None:
        self.state = libvirt.VIR_DOMAIN_RUNNING, 1
        self.at.tell(self, libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED)
        self._run()

    def stop(
        self,
        detail: int = libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED,
        shutoff: int = libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED,
    ) -> None:
        """It ends; `detail` is that of the event, `shutoff` the reason of its state."""
        self.running_id = -1
        self.state = libvirt.VIR_DOMAIN_SHUTOFF, shutoff
        holders, self.holders = self.holders, []
        self.waits.clear()
        self._unheard.clear()
        for holder in holders:
            holder.end()
        self.at.tell(self, libvirt.VIR_DOMAIN_EVENT_STOPPED, detail)

    def undefine(self) -> None:
        del self.at.guests[self.uuid]

    def says(self, data: bytes) -> None:
        """It prints: one of those who have its console gets it. Where nobody has, QEMU throws it away."""
        if self.holders:
            self.holders[0].hear(data)
        elif not self.at.exclusive:
            self._unheard += data

    def open(self, holder: Holder) -> None:
        """Somebody has its console now."""
        self.holders.append(holder)
        holder.hear(bytes(self._unheard))
        self._unheard.clear()

    def type(self, data: bytes) -> None:
        """Put this into its line."""
        self.waits += data
        if not self.is_paused:
            self.read()

    def read(self) -> None:
        """It reads its line."""
        data = bytes(self.waits)
        self.waits.clear()
        self.typed += data
        if data:
            self.reads(data)


class FakeDomain:
    """As the binding's virDomain. Where it comes with an event it has the running id of then."""

    def __init__(self, connection: "FakeConnection", guest: FakeGuest, running_id: int | None = None) -> None:
        self._connection = connection
        self._guest = guest
        self._running_id = running_id

    # Libvirt's own names.

    def ID(self) -> int:  # noqa: N802
        return self._guest.running_id if self._running_id is None else self._running_id

    def UUIDString(self) -> str:  # noqa: N802
        return self._guest.uuid

    def name(self) -> str:
        return self._guest.name

    def state(self) -> list[int]:
        self._connection.call()
        return list(self._guest.state)

    def isActive(self) -> bool:  # noqa: N802
        self._connection.call()
        return self._guest.running_id >= 0

    def XMLDesc(self) -> str:  # noqa: N802
        self._connection.call()
        guest = self._guest
        alias = f"<alias name='{guest.device}'/>" if guest.running_id >= 0 else ""
        target = "serial" if guest.at.exclusive else "lxc"
        return _XML.format(kind=guest.at.kind.lower(), name=guest.name, uuid=guest.uuid, target=target, alias=alias)

    def create(self) -> None:
        self._connection.call()
        self._guest.start()

    def createWithFlags(self, flags: int) -> None:  # noqa: N802
        self._connection.call()
        self._guest.start(paused=bool(flags & libvirt.VIR_DOMAIN_START_PAUSED))

    def suspend(self) -> None:
        self._connection.call()
        self._guest.pause()

    def resume(self) -> None:
        self._connection.call()
        self._guest.resume()

    def destroy(self) -> None:
        self._connection.call()
        self._guest.stop()

    def openConsole(self, device: str, stream: FakeStream, flags: int) -> None:  # noqa: N802
        self._connection.call()
        guest, at = self._guest, self._guest.at
        if flags and not at.exclusive:
            unsupported = f"unsupported flags (0x{flags:x}) in function lxcDomainOpenConsole"
            refuse(Refusal(libvirt.VIR_ERR_INVALID_ARG, at.driver, unsupported))
        if guest.running_id < 0:
            refuse(Refusal(libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_FROM_DOMAIN, _NOT_RUNNING))
        if device != guest.device:
            what = f"character device {device}" if at.exclusive else f"console device '{device}'"
            refuse(Refusal(libvirt.VIR_ERR_INTERNAL_ERROR, at.driver, f"internal error: cannot find {what}"))
        if guest.holders and at.exclusive:
            if not flags & libvirt.VIR_DOMAIN_CONSOLE_FORCE:
                busy = "operation failed: Active console session exists for this domain"
                refuse(Refusal(libvirt.VIR_ERR_OPERATION_FAILED, at.driver, busy))
            loser = guest.holders.pop()
            loser.lose()
        guest.open(stream.open(guest))
