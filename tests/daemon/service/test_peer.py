"""Who connected: what the kernel tells of a process at a unix socket."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from virtmuxd.service.peer import Peer, peer_of

_CONNECT = """
import os, socket, sys
groups, gid, uid, path = eval(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
os.setgroups(groups), os.setgid(gid), os.setuid(uid)
connection = socket.socket(socket.AF_UNIX)
connection.connect(path)
connection.recv(1)
"""
_DEADLINE = 30.0


def test_who_connected_is_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        groups = frozenset({os.getgid(), *os.getgroups()})
        assert peer_of(theirs) == Peer(os.getpid(), os.getuid(), os.getgid(), groups)


def test_who_is_no_unix_socket_is_not_known() -> None:
    with socket.socket(socket.AF_INET) as listening, pytest.raises(OSError, match="No data"):
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as theirs:
            peer_of(theirs)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take on groups")
@pytest.mark.parametrize("count", [0, 1, 256, 257, 10_000])
def test_all_groups_of_who_connected_are_known_however_many(count: int) -> None:
    supplementary = f"range(100000, {100_000 + count})"
    with TemporaryDirectory(prefix="vmx") as directory, socket.socket(socket.AF_UNIX) as listening:
        Path(directory).chmod(0o755)
        path = Path(directory, "s")
        listening.bind(str(path))
        path.chmod(0o666)
        listening.listen()
        listening.settimeout(_DEADLINE)
        arguments = [sys.executable, "-c", _CONNECT, supplementary, "4712", "4711", str(path)]
        with subprocess.Popen(arguments) as process, listening.accept()[0] as theirs:
            known = peer_of(theirs)
    assert known == Peer(process.pid, 4711, 4712, frozenset({4712, *range(100_000, 100_000 + count)}))
