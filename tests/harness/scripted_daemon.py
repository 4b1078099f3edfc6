"""A daemon whose every word a test writes down: it listens on a real Unix socket and speaks real frames.

    async with ScriptedDaemon(path) as daemon:
        peer = await daemon.accept()
        request = await peer.expect(Attach)
        peer.say(place(request.id))
        peer.output(b"login: ", at=0)

Every wait ends after `DEADLINE_S` seconds with an error, so that a wrong script fails instead of hanging.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from msgspec.structs import replace

from virtmux.console import Console
from virtmux.following import Record
from virtmux.messages import (
    Attach,
    ClientMessage,
    Confirm,
    ConsoleInfo,
    Counters,
    DaemonHello,
    DaemonMessage,
    Goodbye,
    HypervisorInfo,
    Limits,
    MarkMessage,
    Place,
    ProcessInfo,
    State,
    Statistics,
    Tally,
    Threads,
    encode,
)
from virtmux.reasons import Cause, ConsoleId, Phase, Reason, Retry, sentence
from virtmux.records import Attached, Ended, Mark
from virtmux.session import DaemonSession
from virtmux.wire import Input, encode_output

DEADLINE_S = 10.0
HISTORY = "00" * 15 + "a1"
OTHER_HISTORY = "00" * 15 + "b2"
AT = "2025-03-01T12:00:00.000000Z"
HANDLE = 7
CONSOLE = ConsoleId(
    hypervisor="0a/QEMU/system",
    uri="qemu:///system",
    domain="web1",
    uuid="5d3f9a5e-0000-4000-8000-000000000001",
    device="serial0",
    incarnation=1,
)

MEASURED = Statistics(
    since=AT,
    clients=3,
    client_ends={Cause.DETACHED: 4, Cause.EVICTED: 1},
    consoles={State.ATTACHED: 2},
    unheld=1,
    places=2,
    lag=17,
    tally=Tally(5, 2, 1.25, 1000, 3000, 1, 20, 9, 2, 1, 6),
    counters=Counters(),
    threads=Threads(2, 524, 1),
    journal_failing=2,
    journal_lag=42,
    loop_lag=0.0125,
    process=ProcessInfo(34, 1024, 45 << 20, 12.25),
)

_T = TypeVar("_T", bound=ClientMessage | Input)


def reason(cause: Cause, *, will_retry: bool = False, **facts: Any) -> Reason:
    """A Reason as the daemon would make it for `CONSOLE`."""
    said = Reason(
        cause=cause,
        text=sentence(cause, CONSOLE),
        phase=Phase.LIFECYCLE,
        console=CONSOLE,
        offset=0,
        at=AT,
        retry=Retry(will_retry),
    )
    return replace(said, **facts)


def console_info(**facts: Any) -> ConsoleInfo:
    """An attached console with nothing in its history yet."""
    info = ConsoleInfo(
        console=HANDLE,
        id=CONSOLE,
        state=State.ATTACHED,
        since=AT,
        running=True,
        backend="pty",
        clients=1,
        attachment=1,
        position=f"{HISTORY}:0:1",
        last_output=None,
        last_end=None,
        exclusive=True,
        paused=False,
        policy="on-demand",
        released=None,
        journal="memory",
    )
    return replace(info, **facts)


def hypervisor_info(**facts: Any) -> HypervisorInfo:
    """A hypervisor that is connected."""
    info = HypervisorInfo(
        uri=CONSOLE.uri,
        id=CONSOLE.hypervisor,
        connected=True,
        since=AT,
        reason=None,
        exclusive=True,
        consoles=1,
        counters=Counters(),
    )
    return replace(info, **facts)


def place(
    request: int, *, position: str | None = None, end: str | None = None, read_only: bool = False, **facts: Any
) -> Place:
    """The answer to `attach`: at `position`, by default the `end` of the console's records, which are none yet."""
    why, missing = facts.pop("reason", None), facts.pop("missing", False)
    more = {name: facts.pop(name) for name in ("role", "by", "withheld", "proof") if name in facts}
    end = end or position or f"{HISTORY}:0:1"
    return Place(request, console_info(position=end, **facts), position or end, read_only, missing, why, **more)


def waiting(request: int, why: Reason, **facts: Any) -> Place:
    """The answer to `attach` where the console could not be opened."""
    return place(request, state=State.WAITING, attachment=None, running=False, reason=why, **facts)


class Peer:
    """One client's connection, as the daemon sees it."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._session = DaemonSession()
        self._heard: deque[ClientMessage | Input] = deque()
        #: What the client said first.
        self.hello: ClientMessage | Input | None = None
        self._outgoing = bytearray()

    async def hear(self) -> ClientMessage | Input | None:
        """What the client says next; None once it has closed the connection."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE_S):
            while not self._heard:
                try:
                    data = await loop.sock_recv(self._socket, 65536)
                except ConnectionResetError:
                    return None
                if not data:
                    return None
                self._heard += self._session.receive(data)
        return self._heard.popleft()

    async def expect(self, kind: type[_T]) -> _T:
        """What the client says next, which must be of this kind. A `confirm` is passed over unless it is asked for."""
        heard = await self.hear()
        while isinstance(heard, Confirm) and kind is not Confirm:
            heard = await self.hear()
        assert isinstance(heard, kind), f"expected {kind.__name__}, got {heard}"
        return heard

    async def expect_input(self, size: int) -> bytes:
        """Input of exactly `size` bytes, in however many frames."""
        data = b""
        while len(data) < size:
            data += (await self.expect(Input)).data
        assert len(data) == size
        return data

    async def gone(self) -> None:
        """Wait until the client has closed, whatever it says before."""
        while await self.hear() is not None:
            pass

    def say(self, *messages: DaemonMessage) -> None:
        """Send messages in one piece: a client that leaves over the first of them has been sent them all."""
        self.send(b"".join(map(encode, messages)))

    def output(self, data: bytes, at: int, handle: int = HANDLE) -> None:
        """Send output whose first byte is at `at`."""
        self.send(encode_output(handle, at, data))

    def mark(self, number: int, record: Mark, at: int, handle: int = HANDLE) -> None:
        """Send a mark."""
        self.say(MarkMessage(handle, at, number, record))

    def attached(self, number: int, at: int, attachment: int = 2) -> None:
        """Send an `attached` mark."""
        self.mark(number, Attached(AT, attachment, 1), at)

    def ended(self, number: int, why: Reason, at: int, attachment: int | None = 1) -> None:
        """Send an `ended` mark."""
        self.mark(number, Ended(AT, attachment, why), at)

    def send(self, data: bytes) -> None:
        """Send raw bytes at once; they must fit the socket's buffer (see `pour` for many)."""
        sent = self._socket.send(data)
        assert sent == len(data), "the socket is full: use pour()"

    async def pour(self, *sent: bytes | DaemonMessage) -> None:
        """Send raw bytes and messages, as the client takes them."""
        for each in sent:
            data = each if isinstance(each, bytes) else encode(each)
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    def goodbye(self, why: Reason) -> None:
        """Send the last message and close."""
        self.say(Goodbye(why))
        self.close()

    def close(self) -> None:
        """Close the connection without a word."""
        self._socket.close()


class ScriptedDaemon:
    """Listens at `path` while its context lasts; entering it again is the daemon's restart."""

    def __init__(self, path: Path, *, limits: Limits | None = None, features: Sequence[str] = ()) -> None:
        self.path = path
        self._features = list(features)
        self._limits = limits or Limits()
        self._peers: list[Peer] = []
        self._listener: socket.socket | None = None

    async def __aenter__(self) -> Self:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.setblocking(False)
        self._listener.bind(str(self.path))
        self._listener.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Close everything without a word, as a killed daemon would, and leave no socket behind."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for peer in self._peers:
            peer.close()
        self.path.unlink(missing_ok=True)

    async def accept(self, *, greet: bool = True) -> Peer:
        """The next client, greeted at once, unless `greet` is false, and its hello."""
        assert self._listener is not None
        async with asyncio.timeout(DEADLINE_S):
            connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        peer = Peer(connection)
        self._peers.append(peer)
        if greet:
            self.greet(peer)
        peer.hello = await peer.hear()
        return peer

    def greet(self, peer: Peer) -> None:
        """Say hello; a client may have gone already."""
        with contextlib.suppress(BrokenPipeError):
            peer.say(DaemonHello(software="scripted", limits=self._limits, features=self._features))


@contextlib.asynccontextmanager
async def playing(
    daemon: ScriptedDaemon, script: Callable[[ScriptedDaemon], Coroutine[Any, Any, None]]
) -> AsyncIterator[None]:
    """Play the daemon's part beside the client's; both must come to their end, and either's error ends both."""
    async with asyncio.timeout(2 * DEADLINE_S), daemon, asyncio.TaskGroup() as tasks:
        tasks.create_task(script(daemon))
        yield


async def attached(daemon: ScriptedDaemon) -> Peer:
    """A client that has attached and got a place at the end of an empty history."""
    peer = await daemon.accept()
    peer.say(place((await peer.expect(Attach)).id))
    return peer


async def taken(console: Console, count: int) -> list[Record]:
    """The next `count` records that a client takes."""
    return [await anext(console) for _ in range(count)]
