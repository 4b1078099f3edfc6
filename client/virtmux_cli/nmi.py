"""`virtmux nmi`: sends a guest a non-maskable interrupt, through libvirt."""

import click

from virtmux.addresses import Address
from virtmux.client import connect
from virtmux_cli.main import run_async
from virtmux_cli.options import by_name, domain_argument, uri_option


@click.command("nmi", short_help="Send a guest a non-maskable interrupt.")
@domain_argument
@uri_option
@click.pass_obj
def command(address: Address | None, *, domain: str, uri: str | None) -> int:
    """Send DOMAIN a non-maskable interrupt: what a guest that is wedged still hears.

    What it does is the guest's affair. Linux with kernel.unknown_nmi_panic=1 panics, and shows where it was.
    """
    return run_async(_send(address, domain, uri))


async def _send(address: Address | None, domain: str, uri: str | None) -> int:
    async with connect(address, reconnect_for=0) as mux:
        await by_name(domain, lambda name, _device: mux.guest(name, "nmi", uri=uri))
    return 0
