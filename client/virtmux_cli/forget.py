"""`virtmux forget`: deletes what is stored of a console."""

import click

from virtmux.addresses import Server
from virtmux.client import connect
from virtmux_cli.main import run_async
from virtmux_cli.options import by_name, console_argument, uri_option


@click.command("forget", short_help="Delete what is stored of a console.")
@console_argument
@uri_option
@click.pass_obj
def command(server: Server, *, console: str, uri: str | None) -> int:
    """Delete what is stored of CONSOLE: its logs on the disk and what is held in memory.

    CONSOLE may be one whose guest is undefined, by its name or UUID. One that is held goes on, and what comes from then
    on is stored as before.
    """
    return run_async(_forget(server, console, uri))


async def _forget(server: Server, console: str, uri: str | None) -> int:
    async with connect(server, reconnect_for=0) as mux:
        await by_name(console, lambda domain, device: mux.forget(domain, device, uri=uri))
    return 0
