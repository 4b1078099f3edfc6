"""`virtmux who`: who is connected to the daemon, and what each may do where."""

import click

from virtmux.addresses import Address
from virtmux.client import connect
from virtmux.errors import Refused
from virtmux.messages import sendable
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause
from virtmux_cli.main import run_async
from virtmux_cli.options import checked
from virtmux_cli.output import write
from virtmux_cli.who_text import is_at, is_meant, who_json, who_table


@click.command("who", short_help="Show who is connected, and who may type.")
@click.argument("console", required=False, callback=checked(sendable))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def command(address: Address | None, *, console: str | None, as_json: bool) -> int:
    """Show who is connected, or who is at CONSOLE: the number, user and process, since when, by which socket, with what
    software, and at which consoles, where each may type or only watch.

    `virtmux kick` takes the number.
    """
    return run_async(_who(address, console, as_json=as_json))


async def _who(address: Address | None, console: str | None, *, as_json: bool) -> int:
    async with connect(address, reconnect_for=0) as mux:
        clients = await mux.who()
        if console is not None:
            clients = [each for each in clients if is_at(each, console)]
            if not clients and not any(is_meant(info.id, console) for info in (await mux.inventory()).consoles):
                text = f"there is no console {console!r}; `virtmux list` shows what there is"
                raise Refused(reason_now(Cause.CONSOLE_MISSING, text=text))
    return write(who_json(clients) if as_json else who_table(clients).encode(errors="replace"))
