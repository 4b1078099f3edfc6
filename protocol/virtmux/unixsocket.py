"""A connected Unix stream socket whose two directions fail apart.

What the peer said last, its goodbye, is still read after a write has failed; asyncio's transports drop it then.
"""

import asyncio
import socket

_READ = 262144
_HIGH_WATER = 65536


class UnixSocket:
    """Owns the non-blocking socket; for one event loop. `read` is for one task, `send` and `drain` for any."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._unsent = bytearray()
        self._drained = asyncio.Event()
        self._drained.set()

    async def read(self) -> bytes:
        """What has arrived, at most 256 KiB; empty at the end.

        Raises:
            OSError: the connection was reset.
        """
        return await self._loop.sock_recv(self._socket, _READ)

    def send(self, data: bytes) -> None:
        """Send now what the socket takes, and the rest as soon as it does. Closed or broken it drops all."""
        if self._closed:
            return
        self._unsent += data
        self._flush()
        if self._unsent:
            self._loop.add_writer(self._socket, self._flush)
        if len(self._unsent) > _HIGH_WATER:
            self._drained.clear()

    async def drain(self) -> None:
        """Wait while more than 64 KiB are unsent. Returns when the connection broke, too."""
        await self._drained.wait()

    async def close(self, flush_s: float) -> None:
        """Send the rest within `flush_s` seconds, then close. Closing again does nothing."""
        if self._closed:
            return
        try:
            if self._unsent:
                self._drained.clear()
                async with asyncio.timeout(flush_s):
                    await self._drained.wait()
        except TimeoutError:
            pass
        finally:
            self._loop.remove_writer(self._socket)
            self._drained.set()
            self._socket.close()

    @property
    def _closed(self) -> bool:
        return self._socket.fileno() == -1

    def _flush(self) -> None:
        try:
            del self._unsent[: self._socket.send(self._unsent)]
        except (BlockingIOError, InterruptedError):
            return
        except (BrokenPipeError, ConnectionResetError):
            self._unsent.clear()
        if not self._unsent:
            self._loop.remove_writer(self._socket)
            self._drained.set()
