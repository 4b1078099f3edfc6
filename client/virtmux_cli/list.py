"""`virtmux list`: every console that the daemon knows, and every hypervisor that it should."""

from collections.abc import Sequence

import click

from virtmux.reasons import CAUSES, Cause
from virtmux_cli.addresses import addresses
from virtmux_cli.asked import ask_all
from virtmux_cli.listing import away_lines, list_json, list_rows, matching
from virtmux_cli.main import complain
from virtmux_cli.name_completion import complete_console
from virtmux_cli.output import write
from virtmux_cli.tables import shown


@click.command("list", short_help="Show the consoles, and what happened to them last.")
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...", shell_complete=complete_console)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def command(ctx: click.Context, *, patterns: Sequence[str], as_json: bool) -> int:
    """Show the consoles: state and since when, clients, last output, last end; and what hypervisor is not connected.

    PATTERN is a glob on DOMAIN or DOMAIN:DEVICE; without any, all consoles are shown. The state is the console's, not
    the guest's: attached, absent (nobody wants it, so virtmux does not hold it), opening, ending, or waiting (it is
    wanted, and cannot be had yet). It may also be paused (its guest is), released, or shared: other libvirt clients can
    read it too.
    """
    told, status = ask_all(addresses(ctx))
    hosts = [host._replace(consoles=matching(host.consoles, patterns)) for host in told]
    if as_json:
        text = b"".join(map(list_json, hosts))
    else:
        away = "".join(f"{line}\n" for line in away_lines(hosts))
        text = (shown(list_rows(hosts)) + away).encode(errors="replace") if hosts else b""
    if patterns and hosts and not any(host.consoles for host in hosts):
        complain(f"virtmux: no console matches {' or '.join(map(ascii, patterns))}; `virtmux list` shows all")
        status = status or CAUSES[Cause.CONSOLE_MISSING].exit_status
    return write(text) or status
