"""`virtmux console`: what `virsh console` does, word for word, at a console that others use at the same time.

For scripts and tools that call `virsh console`: flags, texts and exit statuses are virsh's.
"""

import os
from typing import NamedTuple

import click

from virtmux.addresses import Address, SshHost
from virtmux.client import Client, connect
from virtmux.domains import DomainInfo
from virtmux.errors import VirtmuxError
from virtmux.messages import sendable
from virtmux_cli.attach.escape import DEFAULT
from virtmux_cli.attach.policy import Leave
from virtmux_cli.attach.session import Options, attach
from virtmux_cli.main import complain, run_async
from virtmux_cli.options import checked
from virtmux_cli.output import write
from virtmux_cli.statuses import SIGNALLED
from virtmux_cli.virsh.options import default_uri, known, meant
from virtmux_cli.virsh.talk import VirshTalk
from virtmux_cli.virsh.text import (
    FAILED,
    NO_TERMINAL,
    NOT_CONNECTED,
    NOT_RUNNING,
    bad_escape,
    connected_lines,
    end_error,
    error,
    is_escape,
    no_device,
    no_domain,
    no_value,
    start_error,
)

_STDIN = 0


class ConsoleCommand(click.Command):
    """Complains about its command line in virsh's words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, or say what virsh says and end with its status."""
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as unknown:
            complain(error(f"command 'console' doesn't support option {unknown.option_name}"))
            ctx.exit(FAILED)
        except click.UsageError as wrong:
            complain(error(wrong.format_message()))
            ctx.exit(FAILED)
        if not ctx.resilient_parsing:
            words, domain, device = (ctx.params.pop(name) for name in ("words", "domain", "devname"))
            try:
                found = meant(words, domain, device)
                ctx.params |= {name: value and sendable(value) for name, value in found._asdict().items()}
            except ValueError as wrong:
                complain(error(str(wrong)))
                ctx.exit(FAILED)
        return rest


def _connected(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The hypervisor. This host's environment says nothing of another host's."""
    named = default_uri(os.environ) if value is None and not isinstance(ctx.obj, SshHost) else value
    return checked(sendable)(ctx, param, named)


class Wanted(NamedTuple):
    """The command line."""

    address: Address | None
    domain: str
    device: str | None
    uri: str | None
    escape: str
    force: bool
    safe: bool
    resume: bool
    quiet: bool


@click.command("console", short_help="Do what `virsh console` does.", cls=ConsoleCommand)
@click.argument("words", metavar="DOMAIN [NAME]", nargs=-1)
@click.option("--domain", hidden=True)
@click.option("--devname", metavar="NAME", help="The console's device.")
@click.option("--force", is_flag=True, help="Take it from another libvirt client that holds it.")
@click.option("--safe", is_flag=True, help="Only where libvirt gives it to one client at a time.")
@click.option("--resume", is_flag=True, help="Resume a paused guest once connected.")
@click.option("--escape", "-e", metavar="^X", default=DEFAULT, show_default=True, help="The key that leaves.")
@click.option(
    "--connect", "-c", "uri", metavar="URI", callback=_connected, help="The hypervisor; by default as for virsh."
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
@click.pass_obj
def command(
    address: Address | None,
    *,
    domain: str,
    device: str | None,
    force: bool,
    safe: bool,
    resume: bool,
    escape: str,
    uri: str | None,
    quiet: bool,
) -> int:
    """Connect to the console of DOMAIN, or to its device NAME, as `virsh console` does, for scripts that say so today.

    Flags, texts and exit statuses (0 and 1) are virsh's; -c and -e may also stand before `console`. Others may use the
    console at the same time. `virtmux attach` tells why a console ended.
    """
    if not is_escape(escape):
        complain(bad_escape(escape))
        return FAILED
    wanted = Wanted(address, domain, device, uri, escape, force, safe, resume, quiet)
    empty = next((option for option, value in (("domain", domain), ("devname", device)) if value == ""), None)
    return _end(wanted, [no_value(empty)]) if empty else run_async(_console(wanted))


async def _console(wanted: Wanted) -> int:
    try:
        async with connect(wanted.address, reconnect_for=0) as mux:
            why_not, domain = await _look(mux, wanted)
    except VirtmuxError as failed:
        return _end(wanted, start_error(failed.reason, wanted.domain))
    return _end(wanted, why_not) if domain is None else await _attach(wanted, domain)


async def _look(mux: Client, wanted: Wanted) -> tuple[list[str], DomainInfo | None]:
    """The domain that is to be attached to; or, without one, what there is to say instead."""
    served = {info.uri: info for info in (await mux.inventory()).hypervisors}
    if wanted.uri is not None and wanted.uri not in served:
        return [NOT_CONNECTED, error(f"virtmuxd serves {', '.join(served)}, and not {wanted.uri}")], None
    found = await mux.domains(wanted.domain, uri=wanted.uri)
    domain = next((info for info in found if info.running), found[0])
    why_not = _why_not(wanted, domain, exclusive=served[domain.uri].exclusive)
    return (why_not, None) if why_not else ([], domain)


def _why_not(wanted: Wanted, domain: DomainInfo, *, exclusive: bool) -> list[str]:
    """What keeps it from being attached to, in the order in which virsh looks."""
    devices = [info.device for info in domain.devices]
    lines: list[str] = []
    if not domain.served:
        lines = [*no_domain(wanted.domain), error("virtmuxd does not look after it (its option `domain`)")]
    elif not domain.running:
        lines = [NOT_RUNNING]
    elif not os.isatty(_STDIN):
        lines = [NO_TERMINAL]
    elif wanted.safe and not exclusive:
        lines = [error("this driver gives a console to several clients at once, so it is not safe")]
    elif not devices or known(wanted.device, devices) not in (None, *devices):
        lines = [no_device(wanted.device)]
    return lines


def _lines(wanted: Wanted, domain: DomainInfo) -> str:
    return "" if wanted.quiet else connected_lines(domain.domain, wanted.escape)


async def _attach(wanted: Wanted, domain: DomainInfo) -> int:
    device = known(wanted.device, [info.device for info in domain.devices])
    talk = VirshTalk(_lines(wanted, domain))

    async def resume() -> None:
        if wanted.resume and domain.paused:
            async with connect(wanted.address, reconnect_for=0) as mux:
                await mux.guest(domain.uuid, "resume", uri=domain.uri)

    options = Options(
        console=domain.uuid if device is None else f"{domain.uuid}:{device}",
        address=wanted.address,
        uri=domain.uri,
        leave=Leave(once=True),
        escape=wanted.escape,
        quiet=True,
        force=wanted.force,
        once_attached=resume,
    )
    status = await attach(options, talk)
    if status >= SIGNALLED:
        return status
    ended = talk.ended
    line = error(ended) if isinstance(ended, str) else end_error(ended)
    return _end(wanted, [line] if line is not None else [])


def _end(wanted: Wanted, errors: list[str]) -> int:
    """Say them, and the empty line that virsh has behind all that it does; gives its status."""
    for line in errors:
        complain(line)
    if not wanted.quiet and NOT_CONNECTED not in errors:
        write(b"\n")
    return FAILED if errors else 0
