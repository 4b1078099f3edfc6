"""`virtmux send`: input for a console, from a script."""

import click

from virtmux_cli.automation.console import Where, at_console, reported, seconds_of, talk
from virtmux_cli.automation.parts import Piece, TextCommand, given, input_options, pieces
from virtmux_cli.automation.sending import Pace, send
from virtmux_cli.durations import parse_duration
from virtmux_cli.main import run_async
from virtmux_cli.options import checked, console_argument, uri_option
from virtmux_cli.output import write
from virtmux_cli.text import json_line


@click.command("send", cls=TextCommand, options_metavar="[OPTIONS]", short_help="Send text, keys and files.")
@console_argument
@click.argument("text", nargs=-1, metavar="[TEXT...]", expose_value=False)
@input_options
@click.option("--delay", metavar="S", callback=checked(parse_duration), help="Wait S seconds between characters.")
@click.option(
    "--chunk", metavar="N", type=click.IntRange(min=1), default=1, help="With --delay: send N characters at a time."
)
@click.option("--timeout", metavar="S", callback=checked(parse_duration), help="Fail unless it is accepted so soon.")
@uri_option
@click.option("--json", "as_json", is_flag=True, help="Print the position before the text, as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    console: str,
    line: bool,
    terminal: str,
    delay: float | None,
    chunk: int,
    timeout: float | None,
    uri: str | None,
    as_json: bool,
) -> int:
    """Send TEXT to CONSOLE, and keys, files and secrets, in the order in which they stand; - is stdin.

    It ends once all was written to the guest's serial line. The words of TEXT are separated by blanks, and nothing is
    added behind them but by --line or --key enter. A secret is named by its file or variable, so that it stands in no
    argument. Status 7: --timeout ran out; the others are those of `attach`.
    """
    try:
        sent = pieces(given(ctx), line=line, terminal=terminal)
    except ValueError as error:
        raise click.UsageError(str(error), ctx) from error
    if not sent:
        raise click.UsageError("there is nothing to send", ctx)
    where, pace = Where(ctx.obj, console, uri), Pace(delay or 0.0, chunk)
    return run_async(_send(where, sent, pace, seconds_of(timeout), as_json=as_json))


async def _send(where: Where, sent: list[Piece], pace: Pace, seconds: float | None, *, as_json: bool) -> int:
    say = talk(as_json=as_json)

    async def work() -> int:
        async with at_console(where) as console:
            position = str(console.position)
            await send(console, sent, say, pace, seconds)
            size = sum(len(each.data) for each in sent)
            told = {"type": "sent", "console": console.place.info.id, "position": position, "size": size}
            return write(json_line(told)) if as_json else 0

    return await reported(say, seconds, work)
