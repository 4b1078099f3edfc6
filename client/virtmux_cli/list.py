"""`virtmux list`: every console that the daemon knows, and every hypervisor that it should."""

import sys

import click

from virtmux.client import connect
from virtmux_cli.main import run_async, stdout_failed
from virtmux_cli.text import list_json, list_text


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def command(socket: str | None, *, as_json: bool) -> int:
    """Show the consoles: state and since when, clients, last output, last end; and what hypervisor is not connected.

    A console may also be paused (its guest is), released, or shared: other libvirt clients can read it too.
    """
    return run_async(_list(socket, as_json=as_json))


async def _list(socket: str | None, *, as_json: bool) -> int:
    async with connect(socket, reconnect_for=0) as mux:
        inventory = await mux.inventory()
    text = list_json(*inventory) if as_json else list_text(*inventory).encode(errors="replace")
    try:
        sys.stdout.buffer.write(text)
        sys.stdout.flush()
    except OSError as error:
        return stdout_failed(error)
    return 0
