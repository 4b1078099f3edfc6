"""`virtmux forget`: deletes what is stored of a console."""

import click

from virtmux.addresses import Address
from virtmux.client import connect
from virtmux_cli.main import run_async
from virtmux_cli.options import by_name, console_argument, uri_option


@click.command("forget", short_help="Delete what is stored of a console.")
@console_argument
@uri_option
@click.pass_obj
def command(address: Address | None, *, console: str, uri: str | None) -> int:
    """Delete what is stored of CONSOLE: its logs on the disk and what is held in memory.

    CONSOLE may be one whose guest is undefined, by its name or UUID. One that is held goes on, and what comes from then
    on is stored as before.
    """
    return run_async(_forget(address, console, uri))


async def _forget(address: Address | None, console: str, uri: str | None) -> int:
    async with connect(address, reconnect_for=0) as mux:
        await by_name(console, lambda domain, device: mux.forget(domain, device, uri=uri))
    return 0
