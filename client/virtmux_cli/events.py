"""`virtmux events`: what happens to all consoles, as it happens."""

import asyncio
import contextlib

import click

from virtmux.client import connect
from virtmux.errors import VirtmuxError
from virtmux.following import Disconnected, Happening, Reconnected
from virtmux.reasons import Reason
from virtmux_cli.main import complain, run_async, stdout_failed
from virtmux_cli.streams import Outlet
from virtmux_cli.text import error_line, event_json, event_line, reason_text

_STDOUT = 1


@click.command("events")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def command(socket: str | None, *, as_json: bool) -> int:
    """Show marks and reasons of all consoles as they happen, beginning with the consoles that exist.

    After a lost connection it connects again, and every console appears anew.
    """
    return run_async(_events(socket, as_json=as_json))


async def _events(socket: str | None, *, as_json: bool) -> int:
    outlet = Outlet(_STDOUT)
    try:
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(_follow(socket, outlet, as_json=as_json), name="follow")
            outlet.failed.add_done_callback(lambda _: following.cancel())
    finally:
        outlet.close()
    if outlet.failed.done():
        return stdout_failed(outlet.failed.result())
    reason = following.result()
    complain(error_line(reason))
    return reason.exit_status


async def _follow(socket: str | None, outlet: Outlet, *, as_json: bool) -> Reason:
    """Show what happens, and return why it ends."""
    try:
        async with connect(socket) as mux, contextlib.aclosing(mux.events()) as events:
            async for happening in events:
                await _show(happening, outlet, as_json=as_json)
            raise AssertionError("events end by an error")
    except VirtmuxError as error:
        await outlet.flush()
        return error.reason


async def _show(happening: Happening, outlet: Outlet, *, as_json: bool) -> None:
    match happening:
        case Disconnected(reason=reason):
            complain(f"virtmux: {reason_text(reason)}; connecting again")
        case Reconnected():
            complain("virtmux: connected again")
        case event:
            await outlet.write(event_json(event) if as_json else event_line(event).encode(errors="replace"))
