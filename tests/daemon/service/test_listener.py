"""The daemon's sockets: who gets in, and how the stop is told."""

import asyncio
import errno
import logging
import os
import resource
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness.consoles import Consoles
from tests.harness.served import hall
from virtmux.messages import Attach, ClientHello, DaemonHello, Goodbye, ListConsoles, encode
from virtmux.reasons import Cause, Phase, Reason
from virtmux.session import ClientSession
from virtmuxd.core.limits import LimitRules, LimitsInForce
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
    path: Path,
    registry: Registry | None = None,
    callers: Callers | None = None,
    *,
    limits: LimitsInForce | None = None,
    exempt: frozenset[int] = frozenset(),
) -> AsyncIterator[asyncio.Event]:
    """A listener at `path`; setting what this gives stops it, as does the end of the block."""
    stop = asyncio.Event()
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        served = registry or Consoles().registry
        entrance = hall(served, limits=limits, exempt=exempt)
        listener = Listener(bind(path), entrance, callers or Callers(), read_only=False)
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
    assert isinstance(hello, DaemonHello)
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


async def refused(path: Path) -> Reason:
    """The reason with which a connection that was just made is turned away, behind the greeting."""
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)
    with connection:
        await asyncio.get_running_loop().sock_connect(connection, str(path))
        hello, said = ClientSession().receive(await everything(connection))
    assert isinstance(hello, DaemonHello)
    assert isinstance(said, Goodbye)
    return said.reason


async def test_as_many_clients_come_in_as_may_and_the_next_is_told_why_not(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = LimitsInForce(LimitRules(clients=2))
    async with listening(path, limits=limits):
        with await connected(path), await connected(path) as second:
            reason = await refused(path)
            assert (reason.cause, reason.phase) == (Cause.EVICTED, Phase.SERVER)
            assert "2 clients are connected, the most that limits.clients allows" in reason.text
            (record,) = (each for each in caplog.records if each.message == "client refused")
            assert (vars(record)["uid"], vars(record)["pid"]) == (os.getuid(), os.getpid())

            second.shutdown(socket.SHUT_WR)
            await everything(second)
            (await connected(path)).close()

            limits.rules = LimitRules(clients=3)
            (await connected(path)).close()


async def test_one_user_has_as_many_clients_as_one_may(path: Path) -> None:
    async with listening(path, limits=LimitsInForce(LimitRules(clients_per_user=1))):
        with await connected(path):
            reason = await refused(path)
            assert f"1 clients of uid {os.getuid()} are connected" in reason.text


async def test_clients_that_are_still_coming_in_are_counted(path: Path) -> None:
    callers = _Directory()
    callers.answers.clear()
    async with listening(path, callers=callers, limits=LimitsInForce(LimitRules(clients=1))):
        with socket.socket(socket.AF_UNIX) as coming:
            coming.setblocking(False)
            await asyncio.get_running_loop().sock_connect(coming, str(path))
            await callers.asked.wait()
            assert (await refused(path)).cause is Cause.EVICTED
        callers.answers.set()


async def test_who_does_not_count_comes_in_always(path: Path) -> None:
    async with listening(path, limits=LimitsInForce(LimitRules(clients=1)), exempt=frozenset({os.getuid()})):
        with await connected(path), await connected(path), await connected(path):
            pass


async def test_where_accepting_fails_otherwise_it_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "_EXHAUSTED_PAUSE", 0.0)
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, iter([errno.ENOMEM, errno.ECONNABORTED])

    async def failing(sock: socket.socket) -> tuple[socket.socket, object]:
        for number in failures:
            raise OSError(number, os.strerror(number))
        accepted: tuple[socket.socket, object] = await accept(sock)
        return accepted

    monkeypatch.setattr(loop, "sock_accept", failing)
    async with listening(path):
        (await connected(path)).close()


@contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """This process may open so many more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as lowest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno() + number, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def said_of_descriptors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "descriptors" in record.message]


SHORT, AGAIN = "there are no file descriptors left for clients", "there are file descriptors for clients again"


async def test_the_last_file_descriptors_are_not_for_clients(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with listening(path):
        with await connected(path) as inside:
            with descriptors_left(5):  # fewer than are kept back
                for _ in range(3):
                    reason = await refused(path)
                    assert reason.cause is Cause.EVICTED
                    assert "no file descriptors left for clients" in reason.text
                await asyncio.get_running_loop().sock_sendall(inside, encode(Attach(1, "nobody")))
                assert b'"refused"' in await asyncio.get_running_loop().sock_recv(inside, 65536)
                assert said_of_descriptors(caplog) == [SHORT]
            (await connected(path)).close()
            assert said_of_descriptors(caplog) == [SHORT, AGAIN]


async def test_with_no_file_descriptor_at_all_clients_are_still_told_why_not(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "_EXHAUSTED_PAUSE", 0.0)  # asyncio's own loop asks before anybody is there
    loop = asyncio.get_running_loop()
    async with listening(path):
        with await connected(path), socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            with descriptors_left(0):
                for connection in (first, second):
                    connection.setblocking(False)
                    await loop.sock_connect(connection, str(path))
                    _, said = ClientSession().receive(await everything(connection))
                    assert isinstance(said, Goodbye)
                    assert "Too many open files" in said.reason.text
            assert said_of_descriptors(caplog) == [SHORT]
        (await connected(path)).close()
