"""`virtmux start`: starts a guest; with `--attach` so that nothing of what it says is missed."""

import contextlib

import click

from virtmux.addresses import Address
from virtmux.client import Client, connect
from virtmux.console import Console
from virtmux.errors import ConnectionLost, Refused
from virtmux.messages import GuestAction, MarkMessage, PlaceEnded
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Reason
from virtmux.records import Attached, Ended
from virtmux.sanitize import printable
from virtmux_cli.attach.command import escape_key, leave
from virtmux_cli.attach.escape import DEFAULT
from virtmux_cli.attach.session import Options, attach
from virtmux_cli.durations import parse_duration
from virtmux_cli.main import complain, run_async
from virtmux_cli.options import by_name, checked, console_argument, uri_option
from virtmux_cli.text import reason_text

#: What a console may wait for before its guest is started.
_TO_BE_STARTED = (Cause.GUEST_NOT_RUNNING, Cause.GUEST_UNDEFINED)


@click.command("start", short_help="Start a guest; with --attach from its first byte.")
@console_argument
@uri_option
@click.option("--attach", "-a", "attached", is_flag=True, help="Attach to its console: not a byte is missed.")
@click.option("--paused", is_flag=True, help="Leave it paused, for example for a debugger.")
@click.option("--stay", is_flag=True, help="With --attach: wait for the guest's next start when it ends.")
@click.option("--once", is_flag=True, help="With --attach: leave at any end.")
@click.option("--read-only", is_flag=True, help="With --attach: send no input.")
@click.option(
    "--escape",
    metavar="^X|none",
    callback=checked(escape_key),
    help=f"With --attach: the key that leaves; {DEFAULT} on a terminal.",
)
@click.option("--json", "as_json", is_flag=True, help="With --attach: reasons as JSON Lines on stderr.")
@click.option("--quiet", "-q", is_flag=True, help="With --attach: say nothing but why it failed.")
@click.option(
    "--linger",
    "linger_s",
    metavar="S",
    callback=checked(parse_duration),
    help="With --attach: after stdin's end, leave once S seconds were silent.",
)
@click.pass_obj
def command(
    address: Address | None,
    *,
    console: str,
    uri: str | None,
    attached: bool,
    paused: bool,
    stay: bool,
    once: bool,
    read_only: bool,
    escape: str | None,
    as_json: bool,
    quiet: bool,
    linger_s: float | None,
) -> int:
    """Start the guest of CONSOLE, which is DOMAIN[:DEVICE].

    With --attach it is started paused, attached to, and then resumed, so that its first byte is there. What the options
    do, and with what status it ends, is that of `virtmux attach`.
    """
    if not attached and (stay or once or read_only or escape or as_json or quiet or linger_s is not None):
        raise click.UsageError("the options of `attach` need --attach")
    if not attached:
        return run_async(_start(address, console, uri, "start-paused" if paused else "start"))
    options = Options(
        console=console,
        address=address,
        uri=uri,
        leave=leave(stay=stay, once=once),
        read_only=read_only,
        escape=escape,
        as_json=as_json,
        quiet=quiet,
        linger_s=linger_s,
    )
    return run_async(_start_attached(options, paused=paused))


async def _start(address: Address | None, console: str, uri: str | None, action: GuestAction) -> int:
    async with connect(address, reconnect_for=0) as mux:
        await by_name(console, lambda domain, _device: mux.guest(domain, action, uri=uri))
    return 0


async def _start_attached(options: Options, *, paused: bool) -> int:
    """Start it with a place at its console, until `attach` has one of its own."""
    async with connect(options.address) as mux, contextlib.AsyncExitStack() as stack:
        place = await by_name(
            options.console,
            lambda domain, device: stack.enter_async_context(mux.attach(domain, device, uri=options.uri)),
        )
        console = place.place.info.id
        why_not = _why_not(place)
        if why_not is not None:
            raise Refused(why_not)
        name = printable(console.domain)
        try:
            await mux.guest(console.uuid, "start-paused", uri=console.uri)
        except ConnectionLost as lost:
            complain(f"virtmux: {reason_text(lost.reason)}; where {name} is paused now: `virsh resume {name}`")
            return lost.reason.exit_status
        why_not = await _until_attached(place)
        if why_not is not None:
            complain(f"virtmux: guest {name} is paused, not attached to: {reason_text(why_not)}; `virsh resume {name}`")
            return why_not.exit_status

        async def go_on() -> None:
            if not paused:
                await _resume(mux, place)
            await stack.aclose()

        where = options._replace(console=f"{console.uuid}:{console.device}", uri=console.uri)
        return await attach(where._replace(position=str(place.position), once_attached=go_on))


async def _resume(mux: Client, place: Console) -> None:
    await mux.guest(place.place.info.id.uuid, "resume", uri=place.place.info.id.uri)


def _why_not(place: Console) -> Reason | None:
    """Why a guest that is started would not be attached to; it is better not to start it then."""
    info, reason = place.place.info, place.place.reason
    if info.backend != "pty":
        return reason_now(Cause.CONSOLE_NOT_PTY, console=info.id)
    return reason if reason is not None and reason.cause not in _TO_BE_STARTED else None


async def _until_attached(place: Console) -> Reason | None:
    """Wait until the console is attached; gives the reason where it is not."""
    async for record in place:
        match record:
            case MarkMessage(record=Attached()):
                return None
            case MarkMessage(record=Ended(reason=reason)) | PlaceEnded(reason=reason):
                return reason
            case _:
                pass  # what concerns other starts of it
    return None
