"""`virtmux dial-stdio`: stdin and stdout as a connection to the daemon, for `virtmux --host` beyond ssh."""

import contextlib
import os
import socket as sockets
from threading import Thread

import click

from virtmux.addresses import Server, addresses
from virtmux.dialing import CLOSING_S, dial
from virtmux.errors import VirtmuxError
from virtmux.messages import Goodbye, encode

_STDIN, _STDOUT = 0, 1
_PIECE = 65536


@click.command("dial-stdio", hidden=True)
@click.pass_obj
def command(socket: Server) -> int:
    """Connect stdin and stdout with the daemon's socket, until the daemon closes it.

    The end of stdin is passed on, and what the daemon says after it is still written. Where no daemon can be reached,
    whoever is at the other end is told so in the protocol.
    """
    try:
        dialed = dial(addresses(socket, os.environ))
    except VirtmuxError as error:
        _write(encode(Goodbye(error.reason)))
        return error.reason.exit_status
    with dialed.socket as connection:
        connection.setblocking(True)
        Thread(target=_send, args=(connection,), name="stdin", daemon=True).start()
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(_PIECE):
                if not _write(data):
                    break
    if dialed.ssh is not None:
        dialed.ssh.end(CLOSING_S)
    return 0


def _send(connection: sockets.socket) -> None:
    with contextlib.suppress(OSError):  # the daemon has closed: what it said last is still to be read
        while data := os.read(_STDIN, _PIECE):
            connection.sendall(data)
        connection.shutdown(sockets.SHUT_WR)


def _write(data: bytes) -> bool:
    """Whether somebody took it."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(_STDOUT, rest) :]
    except BrokenPipeError:
        return False
    return True
