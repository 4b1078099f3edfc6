"""`virtmux reclaim`: the end of a `virtmux release`."""

import click

from virtmux.addresses import Address
from virtmux.client import connect
from virtmux_cli.main import run_async
from virtmux_cli.options import by_name, console_argument, uri_option


@click.command("reclaim", short_help="Hold a released console again.")
@console_argument
@uri_option
@click.pass_obj
def command(address: Address | None, *, console: str, uri: str | None) -> int:
    """Let virtmux hold CONSOLE again, which was released. It takes it once it is free, never by force.

    It does not end a `virtmux release CONSOLE -- CMD` that still runs.
    """
    return run_async(_reclaim(address, console, uri))


async def _reclaim(address: Address | None, console: str, uri: str | None) -> int:
    async with connect(address, reconnect_for=0) as mux:
        await by_name(console, lambda domain, device: mux.reclaim(domain, device, uri=uri))
    return 0
