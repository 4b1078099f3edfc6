"""The service manager, which is systemd mostly: the sockets that it holds for this daemon, and what it is told."""

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Tell the service manager, if one listens (sd_notify(3)): `READY=1`, `STOPPING=1`."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.sendall(state.encode())


def activated_sockets() -> list[socket.socket]:
    """The listening sockets that it holds for this process (sd_listen_fds(3)); none without it."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    sockets = [socket.socket(fileno=3 + number) for number in range(int(os.environ.get("LISTEN_FDS", "0")))]
    for each in sockets:
        each.setblocking(False)
        os.set_inheritable(each.fileno(), False)
    return sockets


def is_for_metrics(listening: socket.socket) -> bool:
    """Whether such a socket is the one for metrics: it says so by its path, or has none."""
    return listening.family != socket.AF_UNIX or str(listening.getsockname()).endswith("-metrics.sock")


def is_read_only(listening: socket.socket) -> bool:
    """Whether such a socket, for clients, is the one that is only to watch: it says so by its path."""
    return str(listening.getsockname()).endswith("-ro.sock")
