"""`virtmux screen`: what a terminal would show now."""

import contextlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from virtmux.addresses import Address
from virtmux.client import Client, connect
from virtmux.console import Console
from virtmux.errors import ConnectionLost, Refused
from virtmux.messages import Gap, PlaceEnded
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause
from virtmux.records import Position
from virtmux.wire import Output
from virtmux_cli.main import complain, run_async
from virtmux_cli.options import by_name, checked, console_argument, uri_option
from virtmux_cli.output import write
from virtmux_cli.screen.window import WINDOW
from virtmux_cli.text import gap_line, json_line, local_time

if TYPE_CHECKING:
    from virtmux_cli.screen.emulator import Emulator

_SIZE = re.compile(r"(\d{1,4})x(\d{1,4})", re.ASCII)
_MOST = 1000


class Size(NamedTuple):
    """Of a terminal, in characters."""

    columns: int
    lines: int


class Options(NamedTuple):
    """The command line of `screen`."""

    address: Address | None
    console: str
    uri: str | None
    size: Size
    ansi: bool
    as_json: bool


def parse_size(text: str) -> Size:
    """Columns and lines from `80x24`.

    Raises:
        ValueError: it is none, or one that no terminal has.
    """
    found = _SIZE.fullmatch(text)
    size = Size(int(found[1]), int(found[2])) if found is not None else Size(0, 0)
    if not (2 <= size.columns <= _MOST and 1 <= size.lines <= _MOST):
        raise ValueError(f"not the size of a terminal: {text!r} (expected COLUMNSxLINES, for example 80x24)")
    return size


@click.command("screen", short_help="Show what a terminal would show now.")
@console_argument
@click.option(
    "--size",
    metavar="COLSxROWS",
    default="80x24",
    show_default=True,
    callback=checked(parse_size),
    help="The terminal's size, for which the guest has drawn.",
)
@click.option("--ansi", is_flag=True, help="With colours.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: lines, cursor, and up to which position.")
@uri_option
@click.pass_obj
def command(address: Address | None, *, console: str, size: Size, ansi: bool, as_json: bool, uri: str | None) -> int:
    """Show what a terminal at CONSOLE would show now, from the last 256 KiB that the guest said in this boot.

    It does not open the console: what nobody held it for is not there.
    """
    if ansi and as_json:
        raise click.UsageError("--ansi and --json exclude each other")
    return run_async(_screen(Options(address, console, uri, size, ansi, as_json)))


async def _screen(options: Options) -> int:
    from virtmux_cli.screen.drawing import coloured_lines, text_lines
    from virtmux_cli.screen.emulator import Emulator

    emulator = Emulator(*options.size)
    async with connect(options.address) as mux, contextlib.AsyncExitStack() as stack:

        async def attach(domain: str, device: str | None) -> Console:
            return await stack.enter_async_context(_place(mux, domain, device, options.uri))

        console = await by_name(options.console, attach)
        info = console.place.info
        if console.place.withheld:
            detail = f"you have no right to read what {info.id.domain} said before"
            raise Refused(reason_now(Cause.ACCESS_DENIED, detail, console=info.id))
        await _replay(console, emulator)
    if info.attachment is None:
        known = f"it was like this at {local_time(info.last_output)}" if info.last_output else "nothing of it is known"
        complain(f"virtmux: the console is not held now; {known}")
    screen = emulator.screen
    if not options.as_json:
        return write(_text((coloured_lines if options.ansi else text_lines)(screen)))
    cursor = {"x": min(screen.cursor.x, screen.columns - 1), "y": screen.cursor.y, "hidden": screen.cursor.hidden}
    told = {
        "type": "screen",
        "console": info.id,
        "position": info.position,
        "columns": screen.columns,
        "lines": screen.lines,
        "cursor": cursor,
        "alternate": screen.primary is not None,
        "text": text_lines(screen),
    }
    return write(json_line(told))


def _place(
    mux: Client, domain: str, device: str | None, uri: str | None
) -> "contextlib.AbstractAsyncContextManager[Console]":
    return mux.attach(domain, device, uri=uri, replay=f"bytes:{WINDOW}", read_only=True, hold=False)


async def _replay(console: Console, emulator: "Emulator") -> None:
    """Feed the emulator what was there when the place was given."""
    end = Position.parse(console.place.info.position)
    while console.position.offset < end.offset:
        match await anext(console):
            case Output(offset=offset, data=data):
                emulator.feed(data[: end.offset - offset])
            case Gap() as gap:
                complain(gap_line(gap))
            case PlaceEnded(reason=reason):
                raise ConnectionLost(reason)
            case _:
                pass


def _text(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
