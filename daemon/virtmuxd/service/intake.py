"""What one client sends, read as it comes, or no faster than the limits allow: what is beyond waits in the socket."""

import asyncio
import socket
from contextlib import suppress

from virtmuxd.core.bucket import Bucket
from virtmuxd.core.limits import LimitsInForce

_READ = 65536
#: Seconds' worth of bytes that are read at once, at least, where a rate is set.
_PIECE = 1 / 8


class Intake:
    """See the module. `active_at` is when something came last, in the loop's time."""

    def __init__(self, connection: socket.socket, limits: LimitsInForce, *, window: int) -> None:
        """A `window` of input, at least, is read at once after a pause."""
        self._socket = connection
        self._limits = limits
        self._window = window
        self._bucket = Bucket()
        self._stopped = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._watched = False
        self.active_at = self._loop.time()

    async def read(self) -> bytes:
        """What has come; empty at the end.

        Raises:
            OSError: the connection was reset.
        """
        data = await self._next(await self._room())
        self.active_at = self._loop.time()
        if self._limits.rules.input_rate:
            self._bucket.take(len(data))
        return data

    async def _next(self, room: int) -> bytes:
        """Wait until something has come, and give it.

        It asks before it waits: libuv tells of a socket's error once, and what came before that is still to be read
        (docs/libvirt.md, "Threads and the event loop").
        """
        waited = False
        while (data := self._receive(room)) is None:
            await self._wait()
            waited = True
        if not waited:
            await asyncio.sleep(0)  # others have their turn
        return data

    def _receive(self, room: int) -> bytes | None:
        """What is there, up to `room`; None where there is nothing yet."""
        try:
            return self._socket.recv(room)
        except BlockingIOError:
            return None

    async def _wait(self) -> None:
        """Wait until something comes."""
        self._waiter = self._loop.create_future()
        if not self._watched:
            self._watched = True
            self._loop.add_reader(self._socket, self._readable)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _readable(self) -> None:
        """The loop goes on watching between two reads, since mostly somebody waits again before more comes; if nobody
        does, that ends here."""
        if self._waiter is None:
            self.stop_watching()
        elif not self._waiter.done():
            self._waiter.set_result(None)

    def stop_watching(self) -> None:
        """Watch the socket no more; the next wait watches it again."""
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._socket)

    async def _room(self) -> int:
        """Wait until the rate allows some bytes; gives how many."""
        while (rate := self._limits.rules.input_rate) and not self._stopped.is_set():
            room = self._bucket.level(rate, max(rate, self._window), self._loop.time())
            least = max(1, int(rate * _PIECE))
            if room >= least:
                return min(room, _READ)
            with suppress(TimeoutError):
                async with asyncio.timeout((least - room) / rate):
                    await self._stopped.wait()
        return _READ

    def stop(self) -> None:
        """Receive no more: `read` gives what has come already, then the end."""
        self._stopped.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)
