"""Opens a connection to a daemon: of this host by its Unix socket, of another one by ssh. Needs no event loop."""

import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from virtmux.addresses import Address, SshHost
from virtmux.errors import ConnectionLost, Refused, VirtmuxError
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Phase, Reason

if TYPE_CHECKING:
    from virtmux.ssh import SshProcess

#: Seconds within which a daemon greets. ssh may have a password to ask for, and has limits of its own.
GREETING_S = 10.0
#: Seconds for what was sent last, and for an ssh to end by itself.
CLOSING_S = 1.0
#: What the library calls itself in its `hello`.
SOFTWARE = "virtmux-python"


class Dialed(NamedTuple):
    """A connected, non-blocking stream socket, and the ssh behind it, if there is one. Whoever dialed owns both."""

    address: Address
    socket: socket.socket
    ssh: "SshProcess | None" = None


def dial(addresses: Sequence[Address], *, again: bool = False) -> Dialed:
    """Connect to the first of `addresses` where somebody listens; whether a daemon answers is still to be seen.

    `again`: it was connected to before, and nobody is to be asked for a password now.

    Raises:
        Refused: there is a socket, and its mode keeps this user out (`access-denied`).
        ConnectionLost: nobody listens at any of them (`server-lost`), or there is no ssh.
    """
    failures: list[tuple[Address, OSError]] = []
    for address in addresses:
        try:
            return _by_ssh(address, again=again) if isinstance(address, SshHost) else Dialed(address, _connect(address))
        except OSError as error:
            failures.append((address, error))
    raise _not_connected(failures)


def ended(reason: Reason) -> VirtmuxError:
    """The error for why there is no connection."""
    return Refused(reason) if reason.cause is Cause.ACCESS_DENIED else ConnectionLost(reason)


def said_by(address: Address, reason: Reason) -> Reason:
    """The reason in a daemon's goodbye, which names the host where that is another one."""
    return replace(reason, text=f"{address}: {reason.text}") if isinstance(address, SshHost) else reason


def broken(address: Address, error: Exception, *, greeted: bool) -> Reason:
    """Why there is no connection to who breaks the protocol. Until it has `greeted`, ssh may bring another's words."""
    if greeted or not isinstance(address, SshHost):
        return reason_now(Cause.PROTOCOL_ERROR, str(error), phase=Phase.CONNECTION)
    text = (
        f"what comes from {address} is not from virtmux; `ssh {address} true` must print nothing: "
        "see what the shell there reads at its start"
    )
    return reason_now(Cause.SERVER_LOST, text=text)


def _connect(path: str | os.PathLike[str]) -> socket.socket:
    """A Unix socket answers at once: where its queue is full the answer is EAGAIN."""
    unconnected = socket.socket(socket.AF_UNIX)
    try:
        unconnected.settimeout(0)
        unconnected.connect(os.fspath(path))
    except BaseException:
        unconnected.close()
        raise
    return unconnected


def _by_ssh(host: SshHost, *, again: bool) -> Dialed:
    from virtmux.ssh import SshProcess

    ours, streams = socket.socketpair()
    with streams:
        try:
            process = SshProcess(host, streams, again=again)
        except ValueError as error:
            ours.close()
            raise OSError(f"VIRTMUX_SSH: {error}") from error
        except BaseException:
            ours.close()
            raise
    ours.setblocking(False)
    return Dialed(host, ours, process)


def _not_connected(failures: Sequence[tuple[Address, OSError]]) -> VirtmuxError:
    detail = ", ".join(f"{address}: {error.strerror or error}" for address, error in failures)
    if any(isinstance(address, SshHost) for address, _ in failures):
        return ConnectionLost(reason_now(Cause.SERVER_LOST, text=f"ssh cannot be run: {detail}"))
    closed = next((address for address, error in failures if isinstance(error, PermissionError)), None)
    if closed is not None:
        text = f"this user may not open virtmuxd's socket {closed}"
        return Refused(reason_now(Cause.ACCESS_DENIED, text=text, phase=Phase.CONNECTION))
    text = f"no virtmuxd answers: {detail}"
    return ConnectionLost(reason_now(Cause.SERVER_LOST, text=text, phase=Phase.CONNECTION))
