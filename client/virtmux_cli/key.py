"""`virtmux key`: presses keys at a guest, through libvirt."""

from collections.abc import Sequence

import click

from virtmux.addresses import Address
from virtmux.client import Client, connect
from virtmux_cli.linux_keys import parse_chord
from virtmux_cli.main import run_async
from virtmux_cli.options import by_name, console_argument, uri_option


def _chords(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> list[list[int]]:
    try:
        return [parse_chord(value) for value in values]
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


@click.command("key", short_help="Press keys at the guest's keyboard.")
@console_argument
@click.argument("keys", nargs=-1, required=True, metavar="KEYS...", callback=_chords)
@click.option(
    "--hold",
    metavar="MS",
    type=click.IntRange(0, 10_000),
    default=100,
    show_default=True,
    help="For how many milliseconds each is held.",
)
@uri_option
@click.pass_obj
def command(address: Address | None, *, console: str, keys: list[list[int]], hold: int, uri: str | None) -> int:
    """Press KEYS at the keyboard of the guest of CONSOLE, one after the other.

    Each is one key or several together: `alt-sysrq-b`, `ctrl-alt-delete`, `f2`, `enter`. They go through libvirt to the
    guest's keyboard, not to its serial port, and reach a guest whose console takes nothing any more.
    """
    return run_async(_press(address, console, keys, hold, uri))


async def _press(address: Address | None, console: str, chords: list[list[int]], hold: int, uri: str | None) -> int:
    async with connect(address, reconnect_for=0) as mux:
        await by_name(console, lambda domain, _device: _press_all(mux, domain, chords, hold, uri))
    return 0


async def _press_all(mux: Client, domain: str, chords: list[list[int]], hold: int, uri: str | None) -> None:
    for keys in chords:
        await mux.guest(domain, "key", uri=uri, keys=keys, hold_ms=hold)
