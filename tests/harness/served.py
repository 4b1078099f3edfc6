"""A client of the daemon's service, at the other end of a real socketpair, that counts along as clients do."""

import asyncio
import os
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from virtmux.journal.directory import Journal
from virtmux.messages import (
    Attach,
    ClientHello,
    ClientMessage,
    DaemonHello,
    DaemonMessage,
    Detach,
    Done,
    Goodbye,
    Place,
    encode,
)
from virtmux.people import Person
from virtmux.reasons import Cause, Phase, Reason
from virtmux.session import ClientSession
from virtmux.wire import Output, encode_input
from virtmuxd.core.access import AccessRules
from virtmuxd.core.door import Door
from virtmuxd.core.limits import LimitRules, LimitsInForce
from virtmuxd.core.registry import Registry
from virtmuxd.service.audit import Audit
from virtmuxd.service.callers import UNKNOWN
from virtmuxd.service.client import Client
from virtmuxd.service.clients import Clients
from virtmuxd.service.hall import Hall
from virtmuxd.service.journal.readers import Readers
from virtmuxd.service.library import Library
from virtmuxd.service.measurements import Measurements
from virtmuxd.service.peer import Peer as Process
from virtmuxd.service.proofs import Proofs

#: The user of a test's clients.
UID = 1000
#: Seconds after which a test that waits for the daemon has failed.
DEADLINE = 10.0
#: Why a test sends a client away.
STOPPING = Reason(cause=Cause.SERVER_STOPPING, text="stopping", phase=Phase.SERVER, at="2026-01-31T12:00:00.000000Z")

_T = TypeVar("_T", bound=DaemonMessage | Output)


class Peer:
    """The client's end. Everything that is read passes a `ClientSession`, which holds the daemon to its protocol."""

    def __init__(self, connection: socket.socket, client: Client, hall: Hall, served: "asyncio.Task[Reason]") -> None:
        self.socket = connection
        self.client = client
        self.hall = hall
        self.session = ClientSession()
        self._served = served
        self._heard: deque[DaemonMessage | Output] = deque()

    async def send(self, data: bytes) -> None:
        """Send these bytes, whatever they are."""
        async with asyncio.timeout(DEADLINE):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def say(self, *said: ClientMessage) -> None:
        """Send messages, all at once."""
        await self.send(b"".join(encode(message) for message in said))

    async def put(self, console: int, attachment: int, offset: int, data: bytes) -> None:
        """Send input."""
        await self.send(encode_input(console, attachment, offset, data))

    async def hear(self) -> DaemonMessage | Output | None:
        """What comes next; None at the end of the connection."""
        async with asyncio.timeout(DEADLINE):
            while not self._heard:
                try:
                    data = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
                except ConnectionResetError:
                    return None
                if not data:
                    return None
                self._heard.extend(self.session.receive(data))
        return self._heard.popleft()

    async def expect(self, kind: type[_T]) -> _T:
        """What comes next, which must be of this kind."""
        heard = await self.hear()
        assert isinstance(heard, kind), heard
        return heard

    async def until(self, kind: type[_T]) -> _T:
        """The next of this kind; what comes before it is dropped."""
        while not isinstance(heard := await self.hear(), kind):
            assert heard is not None, f"the connection ended before a {kind.__name__}"
        return heard

    async def greet(self, *features: str) -> None:
        """Exchange hellos; the client knows these features."""
        await self.say(ClientHello(features=list(features)))
        await self.expect(DaemonHello)

    async def attach(self, domain: str = "web1", **asked: Any) -> Place:
        """Take a place that is given at once."""
        await self.say(Attach(self.session.next_id(), domain, **asked))
        return await self.expect(Place)

    async def placed(self, domain: str = "web1", **asked: Any) -> Place:
        """Take a place; what comes before it is dropped."""
        await self.say(Attach(self.session.next_id(), domain, **asked))
        return await self.until(Place)

    async def goodbye(self) -> Reason:
        """The reason of the goodbye that comes next, with which the connection ends."""
        said = await self.until(Goodbye)
        assert await self.hear() is None
        assert await self.ended() == said.reason
        return said.reason

    async def ended(self) -> Reason:
        """What the daemon says why it ended the connection."""
        async with asyncio.timeout(DEADLINE):
            return await self._served


async def everything_taken(peer: Peer) -> None:
    """The daemon has taken all that the peer sent: it has answered what came last."""
    request = peer.session.next_id()
    await peer.say(Detach(request, 2**32 - 1))
    assert (await peer.until(Done)).id == request


def limited(**rules: Any) -> LimitsInForce:
    """These limits, and the others as they are by default."""
    return LimitsInForce(LimitRules(**rules))


def empty_library(registry: Registry) -> Library:
    """One whose journal holds nothing, and forgets nothing."""
    return Library(registry, Journal(Path("/nonexistent")), Readers(), lambda _key, then: then(None))


def hall(
    registry: Registry,
    library: Library | None = None,
    clients: Clients | None = None,
    limits: LimitsInForce | None = None,
    exempt: frozenset[int] = frozenset(),
) -> Hall:
    """What the clients of a test have in common. Their user may do everything; `exempt` users are not counted."""
    clients, limits = clients or Clients(), limits or LimitsInForce(LimitRules())
    return Hall(
        registry,
        library or empty_library(registry),
        clients,
        DaemonHello(software="virtmuxd test"),
        AccessRules((), {UID, os.getuid()}),
        Proofs(None, b""),
        Measurements(registry, clients, 0, per_console=True),
        limits,
        Door(limits, exempt),
    )


def connection(buffer: int | None = None) -> tuple[socket.socket, socket.socket]:
    """A client's end of a connection and the daemon's. `buffer`: what the kernel holds for the client, in bytes."""
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setblocking(False)
    if buffer is not None:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    return ours, theirs


def newcomer(
    theirs: socket.socket,
    entrance: Hall,
    *,
    read_only: bool = False,
    user: str = "alice",
    groups: frozenset[int] = frozenset({UID}),
) -> Client:
    """The service's side of a client that was just let in."""
    process = Process(4711, UID, UID, groups)
    who = Person(entrance.clients.next_number(), user, process.uid, process.pid)
    client = Client(theirs, who, process, entrance, Audit(who, UNKNOWN, read_only=read_only), read_only=read_only)
    entrance.clients.add(who.client, client)
    return client


@asynccontextmanager
async def served(
    registry: Registry,
    library: Library | None = None,
    *,
    read_only: bool = False,
    limits: LimitsInForce | None = None,
    buffer: int | None = None,
    clients: Clients | None = None,
    user: str = "alice",
    groups: frozenset[int] = frozenset({UID}),
    access: AccessRules | None = None,
    proofs: Proofs | None = None,
) -> AsyncIterator[Peer]:
    """A client that the service has just accepted. `buffer`: what the kernel holds for it, in bytes."""
    ours, theirs = connection(buffer)
    entrance = hall(registry, library, clients, limits)
    entrance.proofs = proofs or entrance.proofs
    entrance.access = access or entrance.access
    with theirs:
        async with asyncio.TaskGroup() as tasks:
            client = newcomer(theirs, entrance, read_only=read_only, user=user, groups=groups)
            entrance.idle.newcomer()
            task = tasks.create_task(client.run(), name="client")
            with ours:
                yield Peer(ours, client, entrance, task)
