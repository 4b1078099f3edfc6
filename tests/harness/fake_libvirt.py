"""libvirt without a hypervisor: as much of its binding as virtmuxd uses, and guests that do what a test has them do.

It behaves as the real ones do (`libvirt_behaviours.py`): over RPC or in this process, with consoles for one client at a
time or for many. As those, it may be called in any thread, and calls back on the loop but where they do not. Each of
its connections has a real socket, which is watched by a real bridge and can be cut.
"""

import asyncio
import os
import select
import socket
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from itertools import count
from typing import Any
from unittest import mock
from uuid import uuid4

import libvirt

from tests.harness.consoles import UUID
from tests.harness.fake_stream import CUT, SOCKET_CLOSED, FakeStream, Holder, Refusal, add_callback, last_error, refuse
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.transport import Transport

_CAPABILITIES = "<capabilities><host><uuid>{host}</uuid></host></capabilities>"
_NOT_RUNNING = "Requested operation is not valid: domain is not running"
_XML = """\
<domain type='{kind}'><name>{name}</name><uuid>{uuid}</uuid><devices><console type='pty'><target type='{target}'/>
{alias}</console></devices></domain>"""


class Gate:
    """Calls wait at it while it is closed: the server does not answer, until it is opened or they are cut."""

    def __init__(self) -> None:
        self._open = os.eventfd(1)

    def close(self) -> None:
        """Hold up whoever comes."""
        os.eventfd_read(self._open)

    def open(self) -> None:
        """Let all pass."""
        os.eventfd_write(self._open, 1)

    def pass_through(self, connection: socket.socket) -> bool:
        """Wait until it is open; False where the connection is cut before."""
        poller = select.poll()
        poller.register(self._open, select.POLLIN)
        poller.register(connection, select.POLLRDHUP)
        return self._open in dict(poller.poll())

    def free(self) -> None:
        """It is needed no more."""
        os.close(self._open)


class _Bridge(EventBridge):
    """Closes what a test leaves open."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._transports: list[Transport] = []

    @contextmanager
    def opening(self, transport: Transport) -> Iterator[None]:
        self._transports.append(transport)
        with super().opening(transport):
            yield

    async def close(self) -> None:
        for transport in self._transports:
            transport.close()
        await self.drain()


class FakeLibvirt:
    """A libvirt, in the place of the real one while it is `installed`. Made on the loop."""

    def __init__(self, *, remote: bool = True, exclusive: bool = True) -> None:
        self.remote, self.exclusive = remote, exclusive
        self.kind = "QEMU" if exclusive else "LXC"
        #: What its errors come from.
        self.driver = libvirt.VIR_FROM_QEMU if exclusive else libvirt.VIR_FROM_LXC
        self.loop = asyncio.get_running_loop()
        self.bridge = _Bridge(self.loop)
        self.guests: dict[str, Guest] = {}
        #: Every connection there was, and how many were asked for.
        self.connections: list[FakeConnection] = []
        self.asked = 0
        #: Whether it answers who connects, and what it says instead of yes.
        self.answers = Gate()
        self.refusal: Refusal | None = None
        #: What happens before a connection is given to who asked for it.
        self.opened: Callable[[FakeConnection], object] = lambda _: None
        #: What the binding never gives back.
        self.leaked: list[dict[str, Any]] = []
        self.host = str(uuid4())
        self._running_ids = count(1)

    @asynccontextmanager
    async def installed(self) -> AsyncIterator["FakeLibvirt"]:
        """Be libvirt, as the code that imports the binding sees it, until the context is left."""
        with (
            mock.patch("libvirt.open", self.open),
            mock.patch("libvirtmod.virStreamEventAddCallback", add_callback),
            mock.patch("libvirtmod.virGetLastError", last_error),
            mock.patch("virtmuxd.hypervisor.bridge.virEventInvokeFreeCallback", lambda free: free()),
        ):
            try:
                yield self
            finally:
                for connection in self.connections:
                    connection.end()
                await self.bridge.close()
                self.answers.free()

    def open(self, uri: str) -> "FakeConnection":
        """As the binding's."""
        self.asked += 1
        connection = FakeConnection(self, uri)
        refusal = self.refusal if self.answers.pass_through(connection.socket) else CUT
        if refusal is not None:
            connection.end()
            refuse(refusal)
        try:
            self.opened(connection)
        except Exception:
            connection.end()
            raise
        self.connections.append(connection)
        return connection

    def add(self, name: str = "web1", uuid: str = UUID) -> "Guest":
        """Define a guest."""
        self.guests[uuid] = Guest(self, name, uuid)
        return self.guests[uuid]

    def next_running_id(self) -> int:
        return next(self._running_ids)

    @property
    def open_now(self) -> int:
        """How many connections are open."""
        return sum(connection.is_open for connection in self.connections)

    def tell(self, guest: "Guest", event: int, detail: int = 0) -> None:
        """A lifecycle event of a guest comes, on the loop."""
        running_id = -1 if event == libvirt.VIR_DOMAIN_EVENT_STOPPED else guest.running_id
        self.tell_any(guest, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, event, detail, running_id=running_id)

    def tell_any(self, guest: "Guest", number: int, *details: object, running_id: int = -1) -> None:
        """An event of a guest comes, on the loop."""
        for connection in self.connections:
            if connection.is_open:
                connection.tell(number, FakeDomain(connection, guest, running_id), details)


class Guest:
    """A domain, and who is inside."""

    def __init__(self, at: FakeLibvirt, name: str, uuid: str) -> None:
        self.at = at
        self.name, self.uuid = name, uuid
        self.device = "serial0" if at.exclusive else "console0"
        self.running_id = -1
        self.state: tuple[int, int] = (libvirt.VIR_DOMAIN_SHUTOFF, 0)
        #: What it does with each piece of input that it reads; all that it has read is `typed`.
        self.reads: Callable[[bytes], object] = lambda _: None
        self.typed = b""
        #: What it says first of all.
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
        self._greets = True
        self.at.tell(self, libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED)
        if not paused:
            self._run()

    def _run(self) -> None:
        if self._greets:
            self._greets = False
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

    def __init__(self, connection: "FakeConnection", guest: Guest, running_id: int | None = None) -> None:
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


class FakeConnection:
    """As the binding's virConnect."""

    def __init__(self, at: FakeLibvirt, uri: str) -> None:
        self.at = at
        self.uri = uri
        self.is_open = True
        self._is_over = False
        #: Why it was lost.
        self.lost: int | None = None
        #: How often it was asked for its version, and whether the server reads what is asked on it.
        self.asked_for_version = 0
        self.reads = Gate()
        self._streams = 0
        self.socket, self._theirs = socket.socketpair()
        self._watch = at.bridge._add_handle(
            self.socket.fileno(), libvirt.VIR_EVENT_HANDLE_READABLE, self._readable, self._free
        )
        self._told_of_loss: tuple[Callable[..., object], object] | None = None
        self._listeners: dict[int, tuple[int, Callable[..., object], object]] = {}
        self._numbers = count()

    def _free(self) -> None:
        """Its socket is watched no more."""
        self.socket.close()
        self._theirs.close()
        self.reads.free()

    def call(self) -> None:
        """Ask the server something: it answers where the connection is there, once it reads it."""
        if self.lost is not None:
            refuse(SOCKET_CLOSED)
        if not self.reads.pass_through(self.socket):
            self.lose()
            refuse(CUT)

    def _readable(self, *_: object) -> None:
        self.lose()

    def fill(self) -> None:
        """Its socket takes no more, until the server reads what it was sent."""
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self.socket.send(bytes(4096))

    def lose(self, reason: int = libvirt.VIR_CONNECT_CLOSE_REASON_ERROR) -> None:
        """It is lost; that is told in this thread."""
        if self.lost is not None or self._is_over:
            return
        self.lost = reason
        self.at.bridge._update_handle(self._watch, 0)
        self._give_back()
        told, self._told_of_loss = self._told_of_loss, None
        if told is not None:
            callback, opaque = told
            callback(self, reason, opaque)

    def tell(self, number: int, domain: FakeDomain, details: tuple[object, ...]) -> None:
        """An event comes to who has registered for it."""
        for wanted, callback, opaque in self._listeners.values():
            if wanted == number:
                self.at.loop.call_soon_threadsafe(partial(callback, self, domain, *details, opaque))

    def _freed(self) -> None:
        """A stream is there no more. Where it was the last thing that held a connection that was closed, that ends."""
        self._streams -= 1
        if not self.is_open and not self._is_held and not self._is_over:
            self.end()

    @property
    def _is_held(self) -> bool:
        """Whether something refers to it still."""
        return bool(self._streams or self._listeners or (self.at.remote and self._told_of_loss))

    def end(self) -> None:
        """It is closed, by whoever that is."""
        self._is_over = True
        self._give_back()
        self.at.bridge._remove_handle(self._watch)

    def _give_back(self) -> None:
        """The server drops what was opened here; streams of this process are no server's."""
        if self.at.remote:
            for guest in self.at.guests.values():
                guest.holders = [holder for holder in guest.holders if holder.connection is not self]

    # Libvirt's own names.

    def newStream(self, flags: int) -> FakeStream:  # noqa: N802
        assert flags == libvirt.VIR_STREAM_NONBLOCK
        stream = FakeStream(self)
        self._streams += 1
        weakref.finalize(stream, self._freed).atexit = False
        return stream

    def lookupByUUIDString(self, uuid: str) -> FakeDomain:  # noqa: N802
        self.call()
        if uuid not in self.at.guests:
            text = f"Domain not found: no domain with matching uuid '{uuid}'"
            refuse(Refusal(libvirt.VIR_ERR_NO_DOMAIN, self.at.driver, text))
        return FakeDomain(self, self.at.guests[uuid])

    def listAllDomains(self) -> list[FakeDomain]:  # noqa: N802
        self.call()
        return [FakeDomain(self, guest) for guest in self.at.guests.values()]

    def getLibVersion(self) -> int:  # noqa: N802
        self.asked_for_version += 1
        self.call()
        return 9_000_000

    def getCapabilities(self) -> str:  # noqa: N802
        self.call()
        return _CAPABILITIES.format(host=self.at.host)

    def getURI(self) -> str:  # noqa: N802
        return self.uri

    def getType(self) -> str:  # noqa: N802
        return self.at.kind

    def getHostname(self) -> str:  # noqa: N802
        return "host1"

    def setKeepAlive(self, _interval: int, _count: int) -> int:  # noqa: N802
        return 0

    def registerCloseCallback(self, callback: Callable[..., object], opaque: object) -> None:  # noqa: N802
        self.call()
        self._told_of_loss = callback, opaque

    def unregisterCloseCallback(self) -> None:  # noqa: N802
        self.call()
        self._told_of_loss = None

    def domainEventRegisterAny(  # noqa: N802
        self, _domain: None, number: int, callback: Callable[..., object], opaque: object
    ) -> int:
        self.call()
        registration = next(self._numbers)
        self._listeners[registration] = number, callback, opaque
        return registration

    def domainEventDeregisterAny(self, registration: int) -> None:  # noqa: N802
        self.call()
        del self._listeners[registration]

    def close(self) -> int:
        """Gives whether something still refers to it."""
        if self.lost is None and not self._is_held and not self.reads.pass_through(self.socket):
            self.lose()
        self.is_open = False
        if self._is_held:
            return 1
        self.end()
        return 0
