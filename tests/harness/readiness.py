"""Waits for a service to say that it is ready, in sd_notify's way: no port is tried and no time is guessed."""

import os
import select
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self


class NeverReadyError(RuntimeError):
    """The service ended, or said nothing until the deadline."""


class ReadinessSocket:
    """The socket that a service finds in NOTIFY_SOCKET. A context manager; bind it before the service starts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        path.chmod(0o666)  # the service may be another user's

    def wait(self, pid: int, *, seconds: float) -> None:
        """Returns once `READY=1` has arrived. Raises NeverReadyError when process `pid` ends first or time is up."""
        process = os.pidfd_open(pid)
        deadline = time.monotonic() + seconds
        try:
            while True:
                said = self._socket.fileno()
                readable, _, _ = select.select([said, process], [], [], max(0.0, deadline - time.monotonic()))
                if said in readable:
                    if b"READY=1" in self._socket.recv(4096).split(b"\n"):
                        return
                elif readable:
                    raise NeverReadyError(f"process {pid} ended before it was ready")
                else:
                    raise NeverReadyError(f"process {pid} was not ready after {seconds} s")
        finally:
            os.close(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)
