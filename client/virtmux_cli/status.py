"""`virtmux status`: the daemon itself, and its hypervisors."""

import click

from virtmux_cli.asked import ask_all
from virtmux_cli.listing import Host, away_lines, hypervisor_rows, status_json, status_rows
from virtmux_cli.output import write
from virtmux_cli.servers import servers
from virtmux_cli.tables import shown
from virtmux_cli.text import table


@click.command("status", short_help="Show the daemon and its hypervisors.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> int:
    """Show the daemon: its version and socket, how many consoles and clients it has, and its hypervisors.

    Of each hypervisor: whether it is connected, and why not; the ends of consoles, connections that were cut, calls
    that got stuck, how often the disk did not take a console's records, and the bytes that are in no journal because of
    that, all since the daemon started. The status is 5 where no daemon answers.
    """
    hosts, status = ask_all(servers(ctx))
    text = b"".join(map(status_json, hosts)) if as_json else "\n".join(map(_text, hosts)).encode(errors="replace")
    return write(text) or status


def _text(host: Host) -> str:
    parts = [table(status_rows(host))]
    if host.hypervisors:
        parts.append(shown(hypervisor_rows(host.hypervisors)))
    return "\n".join(parts) + "".join(f"{line}\n" for line in away_lines([host]))
