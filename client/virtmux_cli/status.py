"""`virtmux status`: the daemon itself, and its hypervisors."""

import os

import click

from virtmux.addresses import Address
from virtmux.asking import Asking
from virtmux.errors import VirtmuxError
from virtmux.sanitize import printable
from virtmux_cli.addresses import addresses
from virtmux_cli.asked import ask_all
from virtmux_cli.listing import Host, away_lines, hypervisor_rows, status_json, status_rows
from virtmux_cli.output import failed, write
from virtmux_cli.tables import shown
from virtmux_cli.text import table

_STDOUT = 1


@click.command("status", short_help="Show the daemon and its hypervisors.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--openmetrics", is_flag=True, help="All metrics, of each console too, as OpenMetrics text.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool, openmetrics: bool) -> int:
    """Show the daemon: its version and socket, its consoles and clients, what it counts and measures, and its
    hypervisors.

    Of each hypervisor: whether it is connected, and why not; the ends of consoles, connections that were cut, calls
    that got stuck, how often the disk did not take a console's records, and the bytes that are in no journal because of
    that, all since the daemon started. The status is 5 where no daemon answers.

    With --openmetrics it prints what a monitoring system would scrape, for example for the textfile collector of
    node_exporter; docs/metrics.md lists the names.
    """
    if openmetrics:
        if as_json or len(addresses(ctx)) > 1:
            raise click.UsageError("--openmetrics is for one host, and without --json")
        return _print_metrics(addresses(ctx)[0])
    hosts, status = ask_all(addresses(ctx), statistics=True)
    text = b"".join(map(status_json, hosts)) if as_json else "\n".join(map(_text, hosts)).encode(errors="replace")
    return write(text) or status


def _print_metrics(address: Address | None) -> int:
    try:
        with Asking(address) as asking:
            asking.answer()
            text = asking.openmetrics()
    except VirtmuxError as error:
        return failed(error)
    if os.isatty(_STDOUT):  # a name is a label, whatever is in it
        text = "\n".join(map(printable, text.split("\n")))
    return write(text.encode())


def _text(host: Host) -> str:
    parts = [table(status_rows(host))]
    if host.hypervisors:
        parts.append(shown(hypervisor_rows(host.hypervisors)))
    return "\n".join(parts) + "".join(f"{line}\n" for line in away_lines([host]))
