"""`virtmux events`: what happens to all consoles, as it happens."""

import asyncio
import contextlib
import sys

import click

from virtmux.client import connect
from virtmux.errors import VirtmuxError
from virtmux.following import Disconnected, Happening, Reconnected
from virtmux_cli.main import run_async
from virtmux_cli.streams import Outlet
from virtmux_cli.text import event_json, event_line, reason_text

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
    loop = asyncio.get_running_loop()
    failures: list[OSError] = []

    def failed(error: OSError) -> None:
        failures.append(error)
        until_failed.reschedule(loop.time())

    outlet = Outlet(_STDOUT, failed)
    try:
        async with asyncio.timeout(None) as until_failed:
            await _follow(socket, outlet, as_json=as_json)
    except TimeoutError:
        raise failures[0] from None
    finally:
        outlet.close()
    return 0


async def _follow(socket: str | None, outlet: Outlet, *, as_json: bool) -> None:
    async with connect(socket) as mux, contextlib.aclosing(mux.events()) as events:
        try:
            async for happening in events:
                await _show(happening, outlet, as_json=as_json)
        except VirtmuxError:
            await outlet.flush()
            raise


async def _show(happening: Happening, outlet: Outlet, *, as_json: bool) -> None:
    match happening:
        case Disconnected(reason=reason):
            print(f"virtmux: {reason_text(reason)}; connecting again", file=sys.stderr)
        case Reconnected():
            print("virtmux: connected again", file=sys.stderr)
        case event:
            await outlet.write(event_json(event) if as_json else event_line(event).encode(errors="replace"))
