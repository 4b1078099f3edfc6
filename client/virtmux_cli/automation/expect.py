"""`virtmux expect`: wait for what a console says, from a script."""

import asyncio
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click

from virtmux.console import Console
from virtmux.matching import Search
from virtmux_cli.attach.state import not_shown
from virtmux_cli.attach.talk import Talk
from virtmux_cli.automation.console import Where, at_console, reported, seconds_of, talk
from virtmux_cli.automation.expected import expect
from virtmux_cli.automation.match_text import match_json, match_line
from virtmux_cli.automation.parts import InputCommand, Piece, given, input_options, pieces, redacted, redacted_so_far
from virtmux_cli.automation.script import Script, load
from virtmux_cli.automation.sending import Pace, send
from virtmux_cli.automation.steps import run
from virtmux_cli.durations import parse_duration
from virtmux_cli.main import run_async
from virtmux_cli.options import checked, console_argument, parse_position, uri_option
from virtmux_cli.output import write
from virtmux_cli.statuses import FURTHER

_MOST_PATTERNS = 100


class Expected(NamedTuple):
    """The command line of `expect` without a script."""

    patterns: list[bytes]
    sent: list[Piece]
    seconds: float | None
    position: str | None
    as_json: bool


@click.command("expect", cls=InputCommand, short_help="Wait until a console says something.")
@console_argument
@click.argument("regex", nargs=-1, metavar="REGEX...")
@click.option("--send", metavar="TEXT", expose_value=False, help="Send TEXT first.")
@input_options
@click.option("--timeout", metavar="S", callback=checked(parse_duration), help="Give up after S seconds.")
@click.option(
    "--from",
    "position",
    metavar="POSITION",
    callback=checked(parse_position),
    help="Where to begin; else with what comes now.",
)
@click.option(
    "--script",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Do what the steps of a TOML file say.",
)
@uri_option
@click.option("--json", "as_json", is_flag=True, help="Print the match as JSON, with its groups and its position.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    console: str,
    regex: tuple[str, ...],
    line: bool,
    terminal: str,
    timeout: float | None,
    position: str | None,
    script: Path | None,
    uri: str | None,
    as_json: bool,
) -> int:
    """Wait until CONSOLE says what one of the REGEX matches, and print the match.

    REGEX is Python's, on bytes. What is given by --send, --key, --file and --secret-... is sent first, in its order.
    Status 0: the first REGEX matched; 21, 22, ...: the second, the third, ...; 7: --timeout ran out; if the console
    ends, or is not attached, that of the reason, as `attach` has it. Of several matches the one that begins first
    counts. POSITION is what `send --json`, `wait attached` or `expect --json` told, so that nothing is missed between
    two commands.
    """
    where = Where(ctx.obj, console, uri)
    parts = given(ctx)
    if script is not None:
        if regex or parts or line:
            raise click.UsageError("--script excludes patterns and input: both stand in its steps", ctx)
        steps = _loaded(ctx, script)
        return run_async(run(where, steps, seconds_of(timeout), position, as_json=as_json))
    try:
        sent = pieces(parts, line=line, terminal=terminal)
    except ValueError as error:
        raise click.UsageError(str(error), ctx) from error
    patterns = _patterns(ctx, regex)
    return run_async(_expect(where, Expected(patterns, sent, seconds_of(timeout), position, as_json)))


def _loaded(ctx: click.Context, script: Path) -> Script:
    try:
        return load(script)
    except ValueError as error:
        raise click.UsageError(str(error), ctx) from error


def _patterns(ctx: click.Context, regex: tuple[str, ...]) -> list[bytes]:
    patterns = [each.encode(errors="surrogateescape") for each in regex]
    if len(patterns) > _MOST_PATTERNS:
        raise click.UsageError(f"at most {_MOST_PATTERNS} patterns have a status of their own", ctx)
    try:
        Search(list(patterns))
    except ValueError as error:
        raise click.UsageError(str(error), ctx) from error
    return patterns


async def _expect(where: Where, expected: Expected) -> int:
    say = talk(as_json=expected.as_json)
    redact = partial(redacted, sent=expected.sent)

    async def work() -> int:
        async with at_console(where, expected.position) as console:
            for what in not_shown(console.place):
                say.missing(what)
            seconds = await _send(console, expected, say)
            match = await expect(console, expected.patterns, seconds, say)
            printed = write(match_json(match, redact) if expected.as_json else match_line(match, redact))
        return printed or (FURTHER + match.index if match.index else 0)

    return await reported(say, expected.seconds, work, partial(redacted_so_far, sent=expected.sent))


async def _send(console: Console, expected: Expected, say: Talk) -> float | None:
    """Send what there is to send; gives the seconds that are left."""
    if not expected.sent:
        return expected.seconds
    loop = asyncio.get_running_loop()
    began = loop.time()
    await send(console, expected.sent, say, Pace(), expected.seconds)
    return None if expected.seconds is None else max(0.0, expected.seconds - (loop.time() - began))
