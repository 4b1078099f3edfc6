"""`virtmux tmux`: makes or joins the session, and has somebody keep it in step."""

import asyncio
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from virtmux.client import connect
from virtmux.reasons import CAUSES, Cause
from virtmux.sanitize import printable
from virtmux_cli.globs import fit
from virtmux_cli.main import complain
from virtmux_cli.options import checked
from virtmux_cli.tmux.naming import Key, session_name
from virtmux_cli.tmux.plan import Plan
from virtmux_cli.tmux.session import Purpose, Session, tmux_server
from virtmux_cli.tmux.step import Daemons, chosen, step

if TYPE_CHECKING:
    from libtmux import Server

_STDIN, _STDOUT = 0, 1


@click.command("tmux", short_help="Give each console a window of tmux.")
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option(
    "--session",
    "name",
    metavar="NAME",
    default="virtmux",
    show_default=True,
    callback=checked(session_name),
    help="The tmux session that is made or joined.",
)
@click.option("--attach/--no-attach", default=True, show_default=True, help="Show the session in this terminal.")
@click.option("--socket-name", "-L", metavar="NAME", help="The tmux server, as for tmux -L.")
@click.pass_context
def command(ctx: click.Context, *, patterns: Sequence[str], name: str, attach: bool, socket_name: str | None) -> int:
    """Make or join a tmux session with a window for each console, or for those that PATTERN fits.

    PATTERN is a glob over DOMAIN, DOMAIN:DEVICE or the UUID. Each window attaches, and stays: a guest that ends leaves
    its reason in the window and in its name, and comes back by itself. New guests get a window. The escape key leaves a
    console and closes its window, which comes back once the guest starts anew, or with the next `virtmux tmux`. The
    session's first window tells what happens, and keeps the others in step as long as it is there.
    """
    if attach and not (os.isatty(_STDIN) and os.isatty(_STDOUT)):
        raise click.UsageError("there is no terminal in which the session could be shown; use --no-attach")
    server = tmux_server(socket_name=socket_name)
    daemons = chosen(ctx)
    plan = Plan()
    found = asyncio.run(_fill(plan, daemons, patterns))
    if patterns and not found:
        globs = printable(shlex.join(patterns))
        complain(f"virtmux: no console matches {globs}; `virtmux list` shows what there is")
        return CAUSES[Cause.CONSOLE_MISSING].exit_status
    session, made = _find_or_make(server, name, daemons, patterns)
    with session.held():
        _join(session, name, plan, daemons, patterns)
        if made or patterns:
            _select(session, found)
    if attach:
        _show(session, name)
        return 0
    words = shlex.join(["tmux", *([] if socket_name is None else ["-L", socket_name]), "attach", "-t", name])
    complain(f"virtmux: the tmux session {name} is in step; `{words}` shows it")
    return 0


async def _fill(plan: Plan, daemons: Daemons, patterns: Sequence[str]) -> list[Key]:
    """Ask the daemons for their consoles; gives those that fit, in the order of their windows."""
    found: list[tuple[str, str, Key]] = []
    for host, address in daemons.addresses.items():
        async with connect(address, reconnect_for=0) as mux:
            infos = await mux.consoles()
        plan.listed(host, infos)
        keys = [(info.id.domain, Key.of(host, info.id)) for info in infos]
        found += [(host or "", domain, key) for domain, key in keys if fit(patterns, domain, key.device, key.uuid)]
    return [key for _, _, key in sorted(found)]


def _find_or_make(server: "Server", name: str, daemons: Daemons, patterns: Sequence[str]) -> tuple[Session, bool]:
    """The session, and whether it was made."""
    if session := Session.find(server, name):
        return session, False
    if session := Session.make(server, name, daemons.follow(), Purpose(daemons.text, patterns)):
        return session, True
    if session := Session.find(server, name):
        return session, False
    raise click.ClickException(f"the tmux session {name} ended as it was made; try again")


def _join(session: Session, name: str, plan: Plan, daemons: Daemons, patterns: Sequence[str]) -> None:
    """Widen the session to what is asked for now, and bring back what was closed."""
    before = session.purpose
    if before is not None and before.daemon != daemons.text:
        other = f"`virtmux {before.daemon}`" if before.daemon else "the usual socket"
        text = f"the tmux session {name} is for the daemon of {other}; take another session with --session"
        raise click.ClickException(printable(text))
    session.purpose = Purpose(daemons.text, _widened(before, patterns))
    step(session, plan, daemons)
    contents = session.contents()
    if contents.follower is None:
        session.start_follower(daemons.follow(), contents.dead_follower)


def _widened(before: Purpose | None, patterns: Sequence[str]) -> Sequence[str]:
    if before is None:
        return patterns
    if not before.patterns or not patterns:
        return []
    return [*before.patterns, *(pattern for pattern in patterns if pattern not in before.patterns)]


def _select(session: Session, found: Sequence[Key]) -> None:
    """Show the first window of those that were asked for."""
    windows = {pane.key: pane.window for pane in session.contents().panes}
    for key in found:
        if key in windows:
            session.select(windows[key])
            return


def _show(session: Session, name: str) -> None:
    """Go there: from within tmux the client switches, else this process becomes one of tmux."""
    inside = os.environ.get("TMUX", "").split(",")[0]
    if not inside:
        words = session.attach_command()
        os.execvp(words[0], words)  # noqa: S606 - a shell has no part in it
    if Path(inside).resolve() != Path(session.socket_path).resolve():
        text = f"this terminal is in another tmux; the session {name} is there, attach to it from outside"
        raise click.ClickException(text)
    session.switch_client()
