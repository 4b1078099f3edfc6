"""A client on a bare socket that reads when it is told to, and says at the attach how far it may lag."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.harness.follower import PATIENCE
from tests.harness.stream import Expected
from virtmux import Gap, Mark, MarkMessage, Output, PlaceEnded, Reason
from virtmux.messages import DaemonMessage, Place
from virtmux.records import Position
from virtmux.session import ClientSession
from virtmux.wire import encode_message


class Stalled:
    """See the module. Made by `stalled`. The session holds each record to its place; here each byte is looked at."""

    def __init__(self, connection: socket.socket, session: ClientSession, expected: Expected) -> None:
        self.received = 0
        self.gaps: list[Gap] = []
        #: By their numbers.
        self.marks: dict[int, Mark] = {}
        #: Why the place ended; None: it did not.
        self.ended: Reason | None = None
        self.place: Place | None = None
        self._connection = connection
        self._session = session
        self._expected = expected

    @property
    def position(self) -> Position:
        """What comes next."""
        assert self.place is not None
        return self._session.positions[self.place.info.console]

    async def read(self, size: int = 262144) -> None:
        """Read once, up to `size` bytes. Raises TimeoutError where nothing comes."""
        async with asyncio.timeout(PATIENCE):
            data = await asyncio.get_running_loop().sock_recv(self._connection, size)
        assert data, "the daemon closed the connection"
        for said in self._session.receive(data):
            self._take(said)

    async def read_slowly(self, rate: int) -> None:
        """Read `rate` bytes a second, for ever."""
        while True:
            await self.read(rate)
            await asyncio.sleep(1)

    async def catch_up(self, position: Position) -> None:
        """Read as fast as it can until this comes next, or the place has ended."""
        while self.ended is None and self.position != position:
            await self.read()

    def _take(self, said: DaemonMessage | Output) -> None:
        match said:
            case Output(offset=offset, data=data):
                self.received += len(data)
                assert not self._expected.check(offset, data)
            case Gap():
                assert said.mark == said.to_mark, "marks are not skipped"
                self.gaps.append(said)
            case MarkMessage(mark=number, record=mark):
                self.marks[number] = mark
            case Place():
                self.place = said
            case PlaceEnded(reason=reason):
                self.ended = reason
            case _:
                pass


@asynccontextmanager
async def stalled(
    path: Path, domain: str, expected: Expected, lag: dict[str, Any] | None = None
) -> AsyncIterator[Stalled]:
    """A client with a place at the console's end, of which it has read no more than that, until the context is left.

    `lag` is the field of that name (SPEC section 5).
    """
    session = ClientSession()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        connection.connect(str(path))
        attach = {"type": "attach", "id": session.next_id(), "domain": domain} | ({"lag": lag} if lag else {})
        for message in ({"type": "hello"}, attach):
            await asyncio.get_running_loop().sock_sendall(connection, encode_message(json.dumps(message).encode()))
        one = Stalled(connection, session, expected)
        while one.place is None:
            await one.read(4096)
        yield one
