"""The metrics socket: just enough HTTP/1.1 for `GET /metrics`, one request a connection.

Whoever may connect may read. A request has a size, a connection has a deadline, and there are few at once.
"""

import asyncio
import logging
import socket
from http import HTTPStatus
from typing import NamedTuple

from virtmuxd.service.exposition import Format
from virtmuxd.service.measurements import Measurements

_log = logging.getLogger(__name__)

PATH = "/metrics"
#: The longest head of a request, in bytes.
MAX_HEAD = 8192
#: Seconds for a connection, and within which it asks for something.
DEADLINE = 10.0
HEAD_DEADLINE = 2.0
#: Connections at once: the next ones wait.
MAX_CONNECTIONS = 8
#: Seconds to wait before accepting again where it failed: out of file descriptors, or of memory.
_EXHAUSTED_PAUSE = 1.0
_END_OF_HEAD = b"\r\n\r\n"


class MetricsListener:
    """Answers requests at one listening socket, which it closes in the end."""

    def __init__(self, listening: socket.socket, measurements: Measurements) -> None:
        self._listening = listening
        self._measurements = measurements
        self._loop = asyncio.get_running_loop()
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        async with asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(self._accept(), name="accept metrics")
            await stop.wait()
            accepting.cancel()
        self._listening.close()

    async def _accept(self) -> None:
        async with asyncio.TaskGroup() as connections:
            while True:
                await self._free.acquire()
                try:
                    connection, _ = await self._loop.sock_accept(self._listening)
                except OSError as error:
                    _log.error("no more connections can be accepted for metrics", extra={"error": error.strerror})
                    self._free.release()
                    await asyncio.sleep(_EXHAUSTED_PAUSE)
                    continue
                connections.create_task(self._serve(connection), name="metrics")

    async def _serve(self, connection: socket.socket) -> None:
        try:
            async with asyncio.timeout(DEADLINE):
                connection.setblocking(False)
                await self._loop.sock_sendall(connection, await self._answer(connection))
                await self._until_gone(connection)
        except (TimeoutError, OSError):
            pass  # it asks too slowly, does not read, or is gone
        except Exception:  # noqa: BLE001  # the failure boundary of a connection
            _log.exception("a bug while metrics were served")
        finally:
            connection.close()
            self._free.release()

    async def _until_gone(self, connection: socket.socket) -> None:
        """Read what it may still send: closed with that unread, the kernel would throw away the answer."""
        connection.shutdown(socket.SHUT_WR)
        while await self._loop.sock_recv(connection, MAX_HEAD):
            pass

    async def _answer(self, connection: socket.socket) -> bytes:
        head = b""
        async with asyncio.timeout(HEAD_DEADLINE):
            while _END_OF_HEAD not in head:
                data = await self._loop.sock_recv(connection, MAX_HEAD)
                head += data
                if len(head) > MAX_HEAD:
                    return _response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                if not data:
                    return _response(HTTPStatus.BAD_REQUEST) if head else b""
        request = parse(head)
        if isinstance(request, HTTPStatus):
            return _response(request)
        text = await asyncio.shield(self._measurements.text(request.format))
        return _response(HTTPStatus.OK, text, request.format.value, with_body=request.with_body)


class Request(NamedTuple):
    """What a request for metrics wants."""

    format: Format
    with_body: bool


def parse(head: bytes) -> Request | HTTPStatus:
    """What the head of a request wants, or why it gets nothing."""
    line, *fields = head.partition(_END_OF_HEAD)[0].decode("latin-1").split("\r\n")
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return HTTPStatus.BAD_REQUEST
    method, target, _ = words
    if target.partition("?")[0] != PATH:
        return HTTPStatus.NOT_FOUND
    if method not in ("GET", "HEAD"):
        return HTTPStatus.METHOD_NOT_ALLOWED
    accept = ",".join(value for name, _, value in (each.partition(":") for each in fields) if name.lower() == "accept")
    plain = "text/plain" in accept and "application/openmetrics-text" not in accept
    return Request(Format.PROMETHEUS if plain else Format.OPENMETRICS, with_body=method == "GET")


def _response(
    status: HTTPStatus, body: bytes = b"", kind: str = "text/plain; charset=utf-8", *, with_body: bool = True
) -> bytes:
    body = body if status is HTTPStatus.OK else f"{status.value} {status.phrase}\n".encode()
    fields = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        fields.append("Allow: GET, HEAD")
    return "\r\n".join(fields).encode() + _END_OF_HEAD + (body if with_body else b"")
