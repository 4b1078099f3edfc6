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
from tests.harness.fake_guest import FakeDomain, FakeGuest
from tests.harness.fake_stream import CUT, SOCKET_CLOSED, FakeStream, Refusal, add_callback, last_error, refuse
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.transport import Transport

_CAPABILITIES = "<capabilities><host><uuid>{host}</uuid></host></capabilities>"


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
        self.guests: dict[str, FakeGuest] = {}
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

    def add(self, name: str = "web1", uuid: str = UUID) -> FakeGuest:
        """Define a guest."""
        self.guests[uuid] = FakeGuest(self, name, uuid)
        return self.guests[uuid]

    def next_running_id(self) -> int:
        return next(self._running_ids)

    @property
    def open_now(self) -> int:
        """How many connections are open."""
        return sum(connection.is_open for connection in self.connections)

    def tell(self, guest: FakeGuest, event: int, detail: int = 0) -> None:
        """A lifecycle event of a guest comes, on the loop."""
        running_id = -1 if event == libvirt.VIR_DOMAIN_EVENT_STOPPED else guest.running_id
        self.tell_any(guest, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, event, detail, running_id=running_id)

    def tell_any(self, guest: FakeGuest, number: int, *details: object, running_id: int = -1) -> None:
        """An event of a guest comes, on the loop."""
        for connection in self.connections:
            if connection.is_open:
                connection.tell(number, FakeDomain(connection, guest, running_id), details)


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
