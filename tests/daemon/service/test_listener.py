"""The daemon's sockets: who gets in, and how the stop is told."""

import asyncio
import errno
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness.consoles import Consoles
from tests.harness.served import hall
from virtmux.messages import Attach, ClientHello, Goodbye, ListConsoles, ServerHello, encode
from virtmux.reasons import Cause
from virtmux.session import ClientSession
from virtmuxd.core.registry import Registry
from virtmuxd.service import listener as listener_module
from virtmuxd.service.callers import Caller, Callers
from virtmuxd.service.listener import Listener, bind
from virtmuxd.service.peer import Peer

DEADLINE = 10.0


@pytest.fixture
def path() -> Iterator[Path]:
    with TemporaryDirectory(prefix="vmx") as directory:
        yield Path(directory) / "v.sock"


@asynccontextmanager
async def listening(
    path: Path, registry: Registry | None = None, callers: Callers | None = None
) -> AsyncIterator[asyncio.Event]:
    """A listener at `path`; setting what this gives stops it, as does the end of the block."""
    stop = asyncio.Event()
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        served = registry or Consoles().registry
        listener = Listener(bind(path), hall(served), callers or Callers(), read_only=False)
        tasks.create_task(listener.run(stop))
        yield stop
        stop.set()


async def connected(path: Path) -> socket.socket:
    """A connection that the listener has greeted."""
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, str(path))
    await loop.sock_sendall(connection, encode(ClientHello()))
    (hello,) = ClientSession().receive(await loop.sock_recv(connection, 65536))
    assert isinstance(hello, ServerHello)
    return connection


async def everything(connection: socket.socket) -> bytes:
    """What comes on this connection until its end."""
    loop, received = asyncio.get_running_loop(), b""
    while data := await loop.sock_recv(connection, 65536):
        received += data
    return received


async def goodbye(connection: socket.socket) -> Goodbye:
    """The goodbye that ends this connection."""
    (said,) = ClientSession().receive(await everything(connection))
    assert isinstance(said, Goodbye)
    return said


def test_a_socket_is_private_from_the_start(path: Path) -> None:
    with bind(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_socket_that_was_left_behind_is_replaced(path: Path) -> None:
    bind(path).close()

    with bind(path) as listening_, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        listening_.accept()[0].close()


async def test_at_the_stop_every_client_is_told_and_nobody_else_gets_in(path: Path) -> None:
    async with listening(path) as stop:
        clients = [await connected(path) for _ in range(3)]
        stop.set()
        for client in clients:
            with client:
                said = await goodbye(client)
                assert said.reason.cause is Cause.SERVER_STOPPING
                assert said.reason.retry.will_retry
    with socket.socket(socket.AF_UNIX) as late, pytest.raises(ConnectionRefusedError):
        late.connect(str(path))


class _Directory(Callers):
    """A directory of users that can be made not to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def of(self, peer: Peer) -> Caller:
        """As `Callers.of`."""
        self.asked.set()
        await self.answers.wait()
        return Caller(str(peer.uid))


async def test_who_is_still_coming_in_at_the_stop_is_told_too(path: Path) -> None:
    names, loop = _Directory(), asyncio.get_running_loop()
    async with listening(path, callers=names) as stop:
        with await connected(path) as inside, socket.socket(socket.AF_UNIX) as coming:
            names.answers.clear()
            names.asked.clear()
            coming.setblocking(False)
            await loop.sock_connect(coming, str(path))
            await names.asked.wait()
            stop.set()
            assert (await goodbye(inside)).reason.cause is Cause.SERVER_STOPPING
            names.answers.set()
            _, said = ClientSession().receive(await everything(coming))
            assert isinstance(said, Goodbye)
            assert said.reason.cause is Cause.SERVER_STOPPING


async def test_the_stop_does_not_wait_for_who_does_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virtmuxd.service.client._GOODBYE_DEADLINE", 0.01)
    consoles = Consoles()
    for number in range(200):
        consoles.add(f"guest{number}", uuid=f"{number}")
    async with listening(path, consoles.registry) as stop:
        client = await connected(path)
        with client:
            client.send(encode(ListConsoles(1)) * 100)
            await asyncio.sleep(0)
            stop.set()


async def test_a_client_that_breaks_the_protocol_is_dismissed_alone(path: Path) -> None:
    async with listening(path):
        with await connected(path) as rude, await connected(path) as other:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(rude, b"\xff" * 100)
            assert (await goodbye(rude)).reason.cause is Cause.PROTOCOL_ERROR
            await loop.sock_sendall(other, encode(Attach(1, "nobody")))
            assert b'"refused"' in await loop.sock_recv(other, 65536)


async def test_running_out_of_descriptors_is_waited_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "_EXHAUSTED_PAUSE", 0.0)
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, iter([errno.EMFILE, errno.ENFILE])

    async def failing(sock: socket.socket) -> tuple[socket.socket, object]:
        for number in failures:
            raise OSError(number, os.strerror(number))
        accepted: tuple[socket.socket, object] = await accept(sock)
        return accepted

    monkeypatch.setattr(loop, "sock_accept", failing)
    async with listening(path):
        (await connected(path)).close()
