"""Brings the windows of a session into step with a plan, by one process at a time."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, assert_never

from virtmux_cli.tmux.naming import Key
from virtmux_cli.tmux.plan import Open, Plan, Rename, Restart, Retag
from virtmux_cli.tmux.session import Session


class Daemons(NamedTuple):
    """Which daemons a session is for: what stands behind `virtmux` for all of them, and for one of a host."""

    socket: str | None
    hosts: Sequence[str | None] = (None,)

    def server(self, host: str | None) -> str | None:
        """What `virtmux.connect` takes for a host."""
        if host is not None:
            raise NotImplementedError(host)
        return self.socket

    @property
    def text(self) -> str:
        """The options for all of them, as they would be typed."""
        return shlex.join(self.options(*self.hosts))

    def options(self, *hosts: str | None) -> list[str]:
        """The global options of the command for the daemons of these hosts."""
        socket = [] if self.socket is None else ["--socket", self.socket]
        return socket + [word for host in hosts if host is not None for word in ("--host", host)]

    def attach(self, key: Key) -> list[str]:
        """The command of a console's window. A console is named by its UUID: that is never another's, nor an option."""
        attach = ["attach", "--stay", "--wait", "--uri", key.uri, "--", f"{key.uuid}:{key.device}"]
        return [*program(), *self.options(key.host), *attach]

    def follow(self) -> list[str]:
        """The command that keeps a session in step."""
        return [*program(), *self.options(*self.hosts), "tmux-follow"]


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
