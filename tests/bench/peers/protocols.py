"""The clients of each multiplexer, as they speak with it: no more than it takes to count what comes, and to type."""

import os
import pty
import re
import socket
import struct
from collections.abc import Callable

from virtmux.messages import Attach, ClientHello, Place, encode
from virtmux.session import ClientSession
from virtmux.wire import HEADER_SIZE, OUTPUT, encode_input


class Client:
    """Counts the bytes of output among those received: all of them. `pid` is that of a program which is the client."""

    def __init__(self, descriptor: int, pid: int | None = None) -> None:
        self.descriptor = descriptor
        self.pid = pid
        self.received = 0

    def take(self, data: memoryview) -> None:
        """Count."""
        self.received += len(data)

    def typed(self, data: bytes) -> bytes:
        """What to send, for that input."""
        return data

    def close(self) -> None:
        """It leaves."""
        os.close(self.descriptor)
        if self.pid is not None:
            os.waitpid(self.pid, 0)


class FramedClient(Client):
    """The same in virtmux's frames. Only their headers are looked at."""

    _HEADER = struct.Struct(">IB")
    #: What a frame of output has besides: a console and an offset.
    _BESIDES = 4 + 8

    def __init__(self, descriptor: int, place: Place) -> None:
        super().__init__(descriptor)
        self._place = place
        self._typed = 0
        self._begun = b""
        self._missing = 0
        self._is_output = False

    def take(self, data: memoryview) -> None:
        if self._begun:
            data = memoryview(self._begun + data)
            self._begun = b""
        at, end = 0, len(data)
        while at < end:
            if self._missing == 0:
                if end - at < HEADER_SIZE:
                    self._begun = bytes(data[at:])
                    return
                length, kind = self._HEADER.unpack_from(data, at)
                at += HEADER_SIZE
                self._missing = length - 1
                self._is_output = kind == OUTPUT
                if self._is_output:
                    self.received -= self._BESIDES
            step = min(self._missing, end - at)
            if self._is_output:
                self.received += step
            self._missing -= step
            at += step

    def typed(self, data: bytes) -> bytes:
        info, offset = self._place.info, self._typed
        self._typed += len(data)
        return encode_input(info.console, info.attachment or 0, offset, data)


# How each protocol's clients get there.


def _unix(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    return client


def _tcp(port: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", int(port)))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def _told(client: socket.socket, said: bytes, answer: bytes) -> bytes:
    """Say something and wait for an answer, which ends like that."""
    client.sendall(said)
    heard = b""
    while re.search(answer + rb"\Z", heard) is None:
        more = client.recv(1)
        if not more:
            raise ConnectionError(f"{said!r} was answered by {heard!r}")
        heard += more
    return heard


def plain(path: str, _domain: str) -> Client:
    """Bytes, and nothing else, behind a newline."""
    client = _unix(path)
    client.recv(1)
    return Client(client.detach())


def virtmux(path: str, domain: str) -> Client:
    """The daemon's own protocol."""
    client = _unix(path)
    session = ClientSession()
    client.sendall(encode(ClientHello()) + encode(Attach(session.next_id(), domain)))
    while True:
        header = client.recv(HEADER_SIZE, socket.MSG_WAITALL)
        for said in session.receive(header + client.recv(struct.unpack(">I", header[:4])[0] - 1, socket.MSG_WAITALL)):
            if isinstance(said, Place):
                return FramedClient(client.detach(), said)


def conserver(port: str, name: str) -> Client:
    """Its client asks one port for another, and attaches there."""
    first = _tcp(port)
    _told(first, b"", rb"ok\r\n")
    _told(first, b"login root\r\n", rb"ok\r\n")
    there = _told(first, b"call %s\r\n" % name.encode(), rb"\d+\r\n").decode().strip()
    first.close()
    client = _tcp(there)
    _told(client, b"", rb"ok\r\n")
    _told(client, b"login root\r\n", rb"ok\r\n")
    _told(client, b"call %s\r\n" % name.encode(), rb"\r\n")
    _told(client, b"\5c;", rb"connected\]\r\n")
    return Client(client.detach())


def conman(port: str, name: str) -> Client:
    """Its client joins those that are there."""
    client = _tcp(port)
    _told(client, b"HELLO USER='root' TTY='none'\n", rb"\n")
    _told(client, b"CONNECT CONSOLE='%s' OPTION=JOIN\n" % name.encode(), rb"OK.*\n")
    return Client(client.detach())


def command(*words: str) -> Client:
    """A program on a terminal of its own, which ends when that is gone."""
    child, descriptor = pty.fork()
    if child == 0:
        os.execvp(words[0], words)
    return Client(descriptor, child)


PROTOCOLS: dict[str, Callable[..., Client]] = {
    each.__name__: each for each in (plain, virtmux, conserver, conman, command)
}
