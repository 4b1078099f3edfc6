"""Where the daemon's socket is, for the daemon and for its clients."""

import os
from collections.abc import Mapping
from pathlib import Path

#: The socket of the system's daemon.
SYSTEM_SOCKET = Path("/run/virtmux/virtmux.sock")


def user_socket(environ: Mapping[str, str]) -> Path:
    """The socket of a daemon that a user runs for their own guests."""
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return Path(runtime, "virtmux", "virtmux.sock")


def socket_paths(path: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> list[Path]:
    """Where a client looks for it, best first: `path` or VIRTMUX_SOCKET alone, else the system's, then the user's."""
    named = path or environ.get("VIRTMUX_SOCKET")
    return [Path(named)] if named else [SYSTEM_SOCKET, user_socket(environ)]
