"""The least that any multiplexer in Python does: a process that calls `recv` when libvirt says so, and `send` for each
client. It knows no ends, no history, no slow client and no second console.

    python3 -m tests.bench.peers.bare_loop URI DOMAIN SOCKET [GATHER]

GATHER: gather output for so many milliseconds, or up to 64 KiB, before it is sent.
"""

import asyncio
import socket
import sys
from typing import Any

import libvirt
import libvirtaio
import uvloop

_RECEIVE = 65536
_GATHERED = 65536


class BareLoop:
    """See the module."""

    def __init__(self, loop: asyncio.AbstractEventLoop, uri: str, domain: str, gather: float) -> None:
        self._loop = loop
        self._gather = gather
        self._clients: list[socket.socket] = []
        self._gathered = bytearray()
        self._due: asyncio.Handle | None = None
        connection = libvirt.open(uri)
        self._stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        connection.lookupByName(domain).openConsole(None, self._stream, 0)
        self._stream.eventAddCallback(libvirt.VIR_STREAM_EVENT_READABLE, self._readable, None)

    def serve(self, path: str) -> None:
        """Take clients."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1024)
        self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        client.sendall(b"\n")  # it is among them
        self._clients.append(client)
        self._loop.add_reader(client, self._typed, client)
        client.setblocking(True)  # uvloop does not leave it so; here a slow client holds up all

    def _typed(self, client: socket.socket) -> None:
        data = client.recv(_RECEIVE)
        if data:
            self._stream.send(data)
        else:
            self._loop.remove_reader(client)
            self._clients.remove(client)
            client.close()

    def _readable(self, _stream: Any, _events: int, _opaque: None) -> None:
        data = self._stream.recv(_RECEIVE)
        if self._gather:
            self._gathered += data
            if len(self._gathered) >= _GATHERED:
                self._flush()
            elif self._due is None:
                self._due = self._loop.call_later(self._gather, self._flush)
        else:
            self._send(data)

    def _flush(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        data, self._gathered = self._gathered, bytearray()
        self._send(data)

    def _send(self, data: bytes | bytearray) -> None:
        for client in self._clients:
            client.sendall(data)


def main(uri: str, domain: str, path: str, gather: str = "0") -> None:
    """Serve for ever."""
    loop = uvloop.new_event_loop()
    libvirtaio.virEventRegisterAsyncIOImpl(loop=loop)
    BareLoop(loop, uri, domain, float(gather) / 1000).serve(path)
    loop.run_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
