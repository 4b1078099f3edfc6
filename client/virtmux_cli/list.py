"""`virtmux list`: every console that the daemon knows."""

import sys

import click

from virtmux.client import connect
from virtmux_cli.main import run_async, stdout_failed
from virtmux_cli.text import json_line, list_table


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def command(socket: str | None, *, as_json: bool) -> int:
    """Show the consoles: state and since when, clients, last output, last end."""
    return run_async(_list(socket, as_json=as_json))


async def _list(socket: str | None, *, as_json: bool) -> int:
    async with connect(socket, reconnect_for=0) as mux:
        infos = await mux.consoles()
    text = b"".join(json_line(info) for info in infos) if as_json else list_table(infos).encode(errors="replace")
    try:
        sys.stdout.buffer.write(text)
        sys.stdout.flush()
    except OSError as error:
        return stdout_failed(error)
    return 0
