"""`virtmux dial-stdio`: stdin and stdout as a connection to the daemon, for `virtmux --host` beyond ssh."""

import contextlib
import os
import select
import socket
from threading import Thread

import click

from virtmux.addresses import Address, addresses
from virtmux.dialing import CLOSING_S, GREETING_S, Dialed, dial
from virtmux.errors import VirtmuxError
from virtmux.messages import Goodbye, encode
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause

_STDIN, _STDOUT = 0, 1
_PIECE = 65536


@click.command("dial-stdio", hidden=True)
@click.pass_obj
def command(address: Address | None) -> int:
    """Connect stdin and stdout with the daemon's socket, until the daemon closes it.

    The end of stdin is passed on, and what the daemon says after it is still written. Where no daemon can be reached,
    whoever is at the other end is told so in the protocol.
    """
    try:
        dialed = dial(addresses(address, os.environ))
    except VirtmuxError as error:
        _write(encode(Goodbye(error.reason)))
        return error.reason.exit_status
    try:
        return _pass(dialed)
    finally:
        if dialed.ssh is not None:
            dialed.ssh.end(CLOSING_S)


def _pass(dialed: Dialed) -> int:
    """Pass on both ways until the daemon closes, and give the exit status."""
    with dialed.socket as connection:
        connection.setblocking(True)
        Thread(target=_send, args=(connection,), name="stdin", daemon=True).start()
        if not select.select([connection], [], [], GREETING_S)[0]:
            # Whoever connected here cannot tell that from an ssh that still asks for a password.
            reason = reason_now(Cause.SERVER_LOST, f"{dialed.address}: no greeting within {GREETING_S:g} s")
            _write(encode(Goodbye(reason)))
            return reason.exit_status
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(_PIECE):
                if not _write(data):
                    break
    return 0


def _send(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the daemon has closed: what it said last is still to be read
        while data := os.read(_STDIN, _PIECE):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)


def _write(data: bytes) -> bool:
    """Whether somebody took it."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(_STDOUT, rest) :]
    except BrokenPipeError:
        return False
    return True
