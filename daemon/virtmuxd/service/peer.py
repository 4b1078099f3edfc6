"""Who is at the other end of a unix socket: what the kernel kept of the process when it connected."""

import ctypes
import errno
import os
import socket
import struct
from typing import NamedTuple

_CREDENTIALS = struct.Struct("3i")
#: Not named by Python; asm-generic/socket.h, the same on every architecture that libvirt knows but PA-RISC and SPARC.
_SO_PEERGROUPS = 59
_GID = struct.calcsize("I")
_libc = ctypes.CDLL(None, use_errno=True)


class Peer(NamedTuple):
    """A process that connected. `groups` are all that it had then, its own (`gid`) and the supplementary ones; `pid` is
    0 where the kernel does not tell it, as of another pid namespace."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int]


def peer_of(connection: socket.socket) -> Peer:
    """The process that connected, as the kernel saw it then (SO_PEERCRED, SO_PEERGROUPS).

    Raises:
        OSError: the kernel does not say.
    """
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(said)
    return Peer(pid, uid, gid, frozenset({gid, *_supplementary(connection)}))


def _supplementary(connection: socket.socket) -> list[int]:
    """By libc: Python's `getsockopt` gives 1024 bytes at most, which are 256 groups, and a user may have 65536."""
    room = 0
    while True:
        groups = (ctypes.c_uint32 * room)()
        size = ctypes.c_uint32(room * _GID)
        given = _libc.getsockopt(
            connection.fileno(), socket.SOL_SOCKET, _SO_PEERGROUPS, ctypes.byref(groups), ctypes.byref(size)
        )
        if given == 0:
            return list(groups)[: size.value // _GID]
        number = ctypes.get_errno()
        if number != errno.ERANGE:
            raise OSError(number, os.strerror(number))
        room = size.value // _GID  # the kernel has said how many there are, and they do not change any more
