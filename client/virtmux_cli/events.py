"""`virtmux events`: what happens to all consoles, as it happens and as it happened."""

import asyncio
import contextlib
import time
from typing import NamedTuple

import click

from virtmux.client import Client, connect
from virtmux.errors import VirtmuxError
from virtmux.following import Disconnected, Happening, Reconnected
from virtmux.reasons import Reason
from virtmux_cli.main import complain, run_async, stdout_failed
from virtmux_cli.options import checked
from virtmux_cli.past_events import past_events
from virtmux_cli.streams import Outlet
from virtmux_cli.text import error_line, event_json, event_line, reason_text
from virtmux_cli.when import parse_when

_STDOUT = 1


def _when(text: str) -> int:
    return parse_when(text, time.time_ns())


class Options(NamedTuple):
    """The command line of `events`; `since` is a time (ns)."""

    socket: str | None
    since: int | None
    follow: bool
    as_json: bool


@click.command("events")
@click.option(
    "--since", metavar="WHEN", callback=checked(_when), help="Show what is stored of that time or later, and end."
)
@click.option("--follow", "-f", is_flag=True, help="With --since: go on with what happens.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def command(socket: str | None, *, since: int | None, follow: bool, as_json: bool) -> int:
    """Show marks and reasons of all consoles as they happen, beginning with the consoles that exist.

    After a lost connection it connects again, and every console appears anew. WHEN is, for example, today,
    2026-01-31 12:00, -1h30m or @1700000000.
    """
    return run_async(_events(Options(socket, since, follow or since is None, as_json)))


async def _events(options: Options) -> int:
    outlet = Outlet(_STDOUT)
    try:
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(_show_all(options, outlet), name="follow")
            outlet.failed.add_done_callback(lambda _: following.cancel())
    finally:
        outlet.close()
    if outlet.failed.done():
        return stdout_failed(outlet.failed.result())
    reason = following.result()
    if reason is None:
        return 0
    complain(error_line(reason))
    return reason.exit_status


async def _show_all(options: Options, outlet: Outlet) -> Reason | None:
    """Show what happened and what happens; gives why that ends, None where all was shown."""
    try:
        async with connect(options.socket) as mux:
            for event in [] if options.since is None else await past_events(mux, options.since):
                await _show(event, outlet, as_json=options.as_json)
            if options.follow:
                await _follow(mux, outlet, as_json=options.as_json)
    except VirtmuxError as error:
        await outlet.flush()
        return error.reason
    await outlet.flush()
    return None


async def _follow(mux: Client, outlet: Outlet, *, as_json: bool) -> None:
    async with contextlib.aclosing(mux.events()) as events:
        async for happening in events:
            await _show(happening, outlet, as_json=as_json)


async def _show(happening: Happening, outlet: Outlet, *, as_json: bool) -> None:
    match happening:
        case Disconnected(reason=reason):
            complain(f"virtmux: {reason_text(reason)}; connecting again")
        case Reconnected():
            complain("virtmux: connected again")
        case event:
            await outlet.write(event_json(event) if as_json else event_line(event).encode(errors="replace"))
