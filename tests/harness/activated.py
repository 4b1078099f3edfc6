"""Runs a command with a listening socket, as systemd does: `python -m tests.harness.activated SOCKET COMMAND...`."""

import os
import socket
import sys
from pathlib import Path

_FIRST = 3


def main(path: str, *command: str) -> None:
    """Become the command, with a socket at `path` for which nobody has listened before."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    if listening.fileno() != _FIRST:
        os.dup2(listening.fileno(), _FIRST)
    os.set_inheritable(_FIRST, True)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    os.execvp(command[0], command)


def activated(path: Path) -> list[str]:
    """What stands before a command so that it gets a socket at `path`; tests run it in the checkout."""
    return [sys.executable, "-m", "tests.harness.activated", str(path)]


if __name__ == "__main__":
    main(*sys.argv[1:])
