"""Brings the windows of a session into step with a plan, by one process at a time."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

import click

from virtmux.addresses import Address, SshHost
from virtmux_cli.addresses import addresses
from virtmux_cli.tmux.naming import Key
from virtmux_cli.tmux.plan import Open, Plan, Rename, Restart, Retag
from virtmux_cli.tmux.session import Session


class Daemons:
    """Which daemons a session is for, by host; None is this host."""

    def __init__(self, addresses: Sequence[Address | None], socket: str | None) -> None:
        """`socket` is that of this host, or the one to look for at each of the others."""
        self._socket = socket
        #: What `virtmux.connect` takes for each of them.
        self.addresses: dict[str | None, Address | None] = {_host(address): address or socket for address in addresses}

    @property
    def text(self) -> str:
        """The options of the command for all of them, as they would be typed."""
        return shlex.join(self._options(*self.addresses))

    def attach(self, key: Key) -> list[str]:
        """The command of a console's window. A console is named by its UUID: that is never another's, nor an option.
        tmux has no option of a window's that keeps its buffers and the clipboard from a guest."""
        attach = ["attach", "--stay", "--wait", "--no-clipboard", "--uri", key.uri, "--", f"{key.uuid}:{key.device}"]
        return [*program(), *self._options(key.host), *attach]

    def follow(self) -> list[str]:
        """The command that keeps a session in step."""
        return [*program(), *self._options(*self.addresses), "tmux-follow"]

    def _options(self, *hosts: str | None) -> list[str]:
        socket = [] if self._socket is None else ["--socket", self._socket]
        return socket + [word for host in hosts if host is not None for word in ("-H", host)]


def _host(address: Address | None) -> str | None:
    return address.name if isinstance(address, SshHost) else None


def chosen(ctx: click.Context) -> Daemons:
    """Those of the command line. A window has a working directory of its own, so a socket of this host is absolute."""
    found = addresses(ctx)
    first = found[0]
    if isinstance(first, SshHost):
        return Daemons(found, first.socket)
    socket = first or os.environ.get("VIRTMUX_SOCKET")
    return Daemons([None], None if socket is None else str(Path(socket).absolute()))


def program() -> list[str]:
    """This `virtmux` again, whatever PATH tmux has. Nothing is imported from where it happens to be started."""
    installed = Path(sys.executable).with_name("virtmux")
    if installed.exists():
        return [str(installed)]
    return [sys.executable, "-P", "-c", "from virtmux_cli.main import main; main()"]


def step(session: Session, plan: Plan, daemons: Daemons) -> None:
    """Do what is to be done now. The caller holds the session.

    Raises:
        click.ClickException: tmux does not do it.
    """
    purpose = session.purpose
    if purpose is None:
        return
    for action in plan.actions(session.contents().panes, purpose.patterns):
        match action:
            case Open(key, name, real_name):
                session.open(key, name, real_name, daemons.attach(key))
            case Restart(pane, key):
                session.restart(pane, key, daemons.attach(key))
            case Retag(pane, key):
                session.retag(pane, key)
            case Rename(window, name, real_name):
                session.rename(window, name, real_name)
            case _:
                assert_never(action)
