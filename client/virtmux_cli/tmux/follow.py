"""`virtmux tmux-follow`, which nobody types: keeps a session in step, from its first window.

It lives as long as that window: tmux ends it with the session.
"""

import asyncio
import contextlib
import math
import os

import click

from virtmux.client import Client, connect
from virtmux.errors import VirtmuxError
from virtmux.following import Disconnected, Reconnected
from virtmux.messages import Event
from virtmux_cli.main import complain, run_async
from virtmux_cli.output import failed
from virtmux_cli.text import event_line, reason_text
from virtmux_cli.tmux.plan import Plan
from virtmux_cli.tmux.session import Session, tmux_server
from virtmux_cli.tmux.step import Daemons, chosen, step

_INTRODUCTION = """\
This window keeps the others in step with virtmuxd: leave it open. What happens is told here.
A guest's window: ^] leaves its console and closes the window.
"""


@click.command("tmux-follow", hidden=True)
@click.pass_context
def command(ctx: click.Context) -> int:
    """Keep the tmux session of this pane in step with the daemon's consoles."""
    inside, pane = os.environ.get("TMUX"), os.environ.get("TMUX_PANE")
    if not inside or not pane:
        raise click.UsageError("this runs in a window that `virtmux tmux` makes")
    session = Session.around(tmux_server(socket_path=inside.split(",")[0]), pane)
    print(_INTRODUCTION)
    return run_async(Follower(session, chosen(ctx)).run())


class Follower:
    """Keeps one session in step. Between two events it does nothing."""

    def __init__(self, session: Session, daemons: Daemons) -> None:
        self._session = session
        self._daemons = daemons
        self._plan = Plan()

    async def run(self) -> int:
        """Follow all daemons until each has sent this client away; gives the first one's exit status."""
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(self._follow(host), name=host or "here") for host in self._daemons.addresses]
        return following[0].result()

    async def _follow(self, host: str | None) -> int:
        try:
            async with connect(self._daemons.addresses[host], reconnect_for=math.inf) as mux:
                await self._follow_events(host, mux)
        except VirtmuxError as error:
            return failed(error)
        return 0

    async def _follow_events(self, host: str | None, mux: Client) -> None:
        """Events tell of changes alone: a list, asked for once they are being told, tells what was before them."""
        listed = False
        async with contextlib.aclosing(mux.events()) as events:
            async for happening in events:
                match happening:
                    case Disconnected(reason=reason):
                        complain(f"virtmux: {reason_text(reason)}; connecting again")
                        continue
                    case Reconnected():
                        complain("virtmux: connected again")
                        listed = False
                    case Event():
                        pass
                if not listed:
                    self._plan.listed(host, await mux.consoles())
                    self._step()
                    listed = True
                if isinstance(happening, Event) and self._plan.happened(host, happening):
                    print(event_line(happening), end="", flush=True)
                    self._step()

    def _step(self) -> None:
        try:
            with self._session.held():
                step(self._session, self._plan, self._daemons)
        except click.ClickException as error:
            complain(f"virtmux: {error.message}")
