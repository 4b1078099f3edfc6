"""`virtmux doctor`: the command."""

import asyncio
import os
import shutil

import click

from virtmux.addresses import Address, SshHost
from virtmux.client import Client, Inventory, connect
from virtmux.console import Console
from virtmux.domains import DomainInfo
from virtmux.errors import Refused, VirtmuxError
from virtmux.messages import ConsoleInfo, State, sendable
from virtmux.reasons import Cause
from virtmux.sockets import socket_paths
from virtmux.wire import Output
from virtmux_cli.doctor.console import attach_findings, claim_findings, output_findings, shared_findings
from virtmux_cli.doctor.door import door_findings, far_findings
from virtmux_cli.doctor.finding import Finding, findings_json, findings_text, main_status
from virtmux_cli.doctor.guest import guest_findings, no_domain
from virtmux_cli.doctor.holders import find_holders
from virtmux_cli.doctor.host import hypervisor_findings, journal_findings
from virtmux_cli.main import run_async
from virtmux_cli.options import by_name, checked, uri_option
from virtmux_cli.output import write
from virtmux_cli.text import console_name, local_time

#: For so many seconds a guest is listened to that has said nothing yet.
_LISTEN_S = 2.0
_WIDEST = 100


@click.command("doctor", short_help="Find out why a console is blank or missing.")
@click.argument("console", required=False, callback=checked(sendable))
@uri_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def command(address: Address | None, *, console: str | None, uri: str | None, as_json: bool) -> int:
    """Find out why CONSOLE is blank or missing, and what to do; without CONSOLE, whether virtmux works.

    With --host it does not know which other programs hold a console there: run it there to learn that.

    To see whether the console can be had it attaches, as `virtmux attach` would, and types nothing. The exit status is
    0 where nothing is wrong, else that of the main cause.
    """
    return run_async(_doctor(address, console, uri, as_json=as_json))


async def _doctor(address: Address | None, console: str | None, uri: str | None, *, as_json: bool) -> int:
    fine = "Nothing is wrong."
    try:
        async with connect(address, reconnect_for=0) as mux:
            inventory = await mux.inventory()
            if console is None:
                findings = hypervisor_findings(inventory.hypervisors) + journal_findings(inventory.consoles)
            else:
                is_here = not isinstance(address, SshHost)
                findings, fine = await _examine(mux, inventory, console, uri, is_here=is_here)
    except VirtmuxError as error:
        if isinstance(address, SshHost):
            findings = far_findings(error.reason, address)
        else:
            findings = door_findings(error.reason, socket_paths(address, os.environ))
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    text = findings_json(findings) if as_json else findings_text(findings, fine, width).encode(errors="replace")
    return write(text) or main_status(findings)


async def _examine(
    mux: Client, inventory: Inventory, console: str, uri: str | None, *, is_here: bool
) -> tuple[list[Finding], str]:
    """What is wrong with one console; and what is said where nothing is."""
    try:
        domain, device = await _find(mux, console, uri)
    except Refused as error:
        if error.reason.cause is not Cause.CONSOLE_MISSING:
            away = hypervisor_findings(inventory.hypervisors)
            return away or door_findings(error.reason, []), ""
        missing = no_domain(console, (info.id.domain for info in inventory.consoles))
        return [*hypervisor_findings(inventory.hypervisors), missing], ""
    findings = guest_findings(domain, device)
    known = [info for info in inventory.consoles if (info.id.uri, info.id.uuid) == (domain.uri, domain.uuid)]
    info = next((each for each in known if device in (None, each.id.device)), None)
    if info is None or findings:
        return findings, ""
    findings = claim_findings(info)
    if not findings:
        async with mux.attach(domain.uuid, info.id.device, uri=domain.uri) as place:
            findings, info = await _listen(place, domain, is_here=is_here)
    return findings + journal_findings([info]) + shared_findings(info), _fine(info)


async def _find(mux: Client, console: str, uri: str | None) -> tuple[DomainInfo, str | None]:
    """The domain, which runs if one of this name does, and the device that was named."""

    async def ask(domain: str, device: str | None) -> tuple[DomainInfo, str | None]:
        found = await mux.domains(domain, uri=uri)
        return next((info for info in found if info.running), found[0]), device

    return await by_name(console, ask)


async def _listen(place: Console, domain: DomainInfo, *, is_here: bool) -> tuple[list[Finding], ConsoleInfo]:
    """What is wrong at a console where somebody has just come; `is_here`: it is one of this host."""
    info, why_not = place.place.info, place.place.reason
    if info.state is not State.ATTACHED:
        is_busy = why_not is not None and why_not.cause is Cause.CONSOLE_BUSY
        names = domain.domain, domain.uuid
        holders = find_holders(names, why_not) if is_here and is_busy and why_not is not None else []
        return attach_findings(info, why_not, holders), info
    if info.last_output is None and not await _speaks(place):
        return output_findings(info, domain, _LISTEN_S), info
    return [], info


async def _speaks(place: Console) -> bool:
    """Whether its guest says anything in a while."""
    try:
        async with asyncio.timeout(_LISTEN_S):
            async for record in place:
                if isinstance(record, Output):
                    return True
    except TimeoutError:
        pass
    return False


def _fine(info: ConsoleInfo) -> str:
    spoke = f", and its guest spoke last at {local_time(info.last_output)}" if info.last_output else ""
    return (
        f"Nothing is wrong with {console_name(info.id)}: it can be attached to{spoke}. "
        "Where it looks blank, press Enter: a prompt comes again."
    )
