"""Where daemons are: at a Unix socket of this host, or at another host by way of ssh."""

import os
import shlex
from collections.abc import Mapping

from virtmux.sockets import socket_paths

#: What sftp(1) asks for as well: what the configuration forwards is for a person's session.
_OPTIONS = ("-T", "-o", "ForwardX11=no", "-o", "ClearAllForwardings=yes")
#: Of a connection that is made again: nobody may sit there, and what is typed is for the guest.
_UNASKED = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10")


class SshHost:
    """Another host as ssh knows it, `[USER@]HOST` or `ssh://[USER@]HOST[:PORT]`; `socket` is the daemon's there, by
    default the usual one. VIRTMUX_SSH names another ssh command, with its arguments.

    Raises:
        ValueError: it is no host's name.
    """

    def __init__(self, name: str, socket: str | os.PathLike[str] | None = None) -> None:
        if not name or name.startswith("-") or not name.isprintable() or " " in name:
            raise ValueError(f"not a host: {name!r} (expected [USER@]HOST)")
        self.name = name
        self.socket = None if socket is None else os.fspath(socket)

    def __str__(self) -> str:
        return self.name

    def command(self, environ: Mapping[str, str], *, again: bool) -> list[str]:
        """The command line that connects. Once more (`again`) it asks for nothing."""
        remote = ["virtmux", *(["--socket", self.socket] if self.socket else []), "dial-stdio"]
        ssh = shlex.split(environ.get("VIRTMUX_SSH") or "ssh")
        return [*ssh, *_OPTIONS, *(_UNASKED if again else ()), "--", self.name, shlex.join(remote)]


Address = str | os.PathLike[str] | SshHost
"""Where a daemon is: the path of its socket, or another host."""


def addresses(address: Address | None, environ: Mapping[str, str]) -> list[Address]:
    """Where to look for the daemon, best first: there, or (None) at the usual places."""
    if isinstance(address, SshHost):
        return [address]
    return [*socket_paths(address, environ)]
