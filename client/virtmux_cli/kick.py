"""`virtmux kick`: sends a client away."""

import click

from virtmux.addresses import Address
from virtmux.client import connect
from virtmux_cli.main import run_async
from virtmux_cli.options import checked

#: What the daemon takes.
_MOST, _MOST_DIGITS = (1 << 32) - 1, 10


def _number(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and int(text) <= _MOST:
        return int(text)
    raise ValueError(f"not the number of a client: {text!r} (`virtmux who` shows them)")


@click.command("kick", short_help="Send a client away.")
@click.argument("client", callback=checked(_number))
@click.pass_obj
def command(address: Address | None, *, client: int) -> int:
    """Send CLIENT away, a number that `virtmux who` shows. It is told by whom, and `attach` leaves with status 12."""
    return run_async(_kick(address, client))


async def _kick(address: Address | None, client: int) -> int:
    async with connect(address, reconnect_for=0) as mux:
        await mux.kick(client)
    return 0
