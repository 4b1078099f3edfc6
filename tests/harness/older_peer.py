"""Between a client and a daemon: each is told that the other lacks some features, and knows one that it does not.

What belongs to such a feature and passes all the same fails the test. The connections can be cut, too.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from virtmux.features import Feature
from virtmux.wire import INPUT, MESSAGE, OUTPUT, Decoder, Message, Output, encode_input, encode_message, encode_output

#: The messages of each feature, as SPEC section 3 has them, and fields that ask for something, by their messages.
TYPES = {
    Feature.ROLES: {"role", "company"},
    Feature.WHO: {"who", "client", "kick"},
    Feature.FORCE: set[str](),
    Feature.GUEST: {"guest"},
    Feature.DOMAINS: {"domains", "domain"},
    Feature.ACCESS: set[str](),
    Feature.STATISTICS: {"status", "statistics", "openmetrics", "metrics"},
}
WISHES = {Feature.ROLES: {"exclusive"}, Feature.FORCE: {"force"}}
#: What a peer of another time knows, and nobody here.
_UNHEARD_OF = "of-another-time"


class OlderPeer:
    """See the module. Made by `older_peer`."""

    def __init__(self, path: Path, daemon: Path, missing: Iterable[str]) -> None:
        self.path = path
        self.missing = set(missing)
        self.violations: list[dict[str, Any]] = []
        #: The messages that passed, by their types.
        self.passed: set[str] = set()
        self._daemon = daemon
        self._open: set[socket.socket] = set()
        self._lets_in = asyncio.Event()
        self._lets_in.set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.setblocking(False)
        self._listener.bind(str(path))
        self._listener.listen()

    def close(self) -> None:
        """Leave no socket behind."""
        self._listener.close()
        self.path.unlink()

    def cut(self) -> None:
        """End every connection without a word, and let nobody in until `mend`."""
        self._lets_in.clear()
        for each in self._open:
            each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let everybody in again."""
        self._lets_in.set()

    async def run(self) -> None:
        """Serve until it is cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._lets_in.wait()
                client, _ = await loop.sock_accept(self._listener)
                if self._lets_in.is_set():
                    tasks.create_task(self._serve(client))
                else:
                    client.close()

    async def _serve(self, client: socket.socket) -> None:
        daemon = socket.socket(socket.AF_UNIX)
        with client, daemon:
            for each in (client, daemon):
                each.setblocking(False)
            daemon.connect(str(self._daemon))
            self._open |= {client, daemon}
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._pump(client, daemon, Decoder(frozenset({MESSAGE, INPUT}))))
                    tasks.create_task(self._pump(daemon, client, Decoder(frozenset({MESSAGE, OUTPUT}))))
            finally:
                self._open -= {client, daemon}

    async def _pump(self, source: socket.socket, sink: socket.socket, decoder: Decoder) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while data := await loop.sock_recv(source, 65536):
                for frame in decoder.feed(data):
                    match frame:
                        case Message(payload):
                            await loop.sock_sendall(sink, encode_message(self._changed(payload)))
                        case Output():
                            await loop.sock_sendall(sink, encode_output(*frame))
                        case _:
                            await loop.sock_sendall(sink, encode_input(*frame))
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def _changed(self, payload: bytes) -> bytes:
        message = json.loads(payload)
        self.passed.add(message["type"])
        if message["type"] == "hello":
            known = [each for each in message["features"] if each not in self.missing]
            return json.dumps({**message, "features": [*known, _UNHEARD_OF]}).encode()
        for feature in self.missing:
            wished = any(message.get(wish) for wish in WISHES.get(Feature(feature), ()))
            if message["type"] in TYPES[Feature(feature)] or wished:
                self.violations.append(message)
        return payload


@contextlib.asynccontextmanager
async def older_peer(path: Path, daemon: Path, missing: Iterable[str] = tuple(Feature)) -> AsyncIterator[OlderPeer]:
    """A socket at `path` that leads to `daemon`, and to peers who lack the features `missing`, until it is left."""
    between = OlderPeer(path, daemon, missing)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(between.run())
        try:
            yield between
        finally:
            running.cancel()
            between.close()
    assert between.violations == []
