"""The command line of `virtmux log`, and what it does with a source."""

import asyncio
import contextlib
import os
import re
import time
from typing import NamedTuple, TypedDict, Unpack

import click

from virtmux.addresses import Address
from virtmux.errors import VirtmuxError
from virtmux.records import Position
from virtmux.sanitize import Sanitizer, printable
from virtmux_cli.log.asciicast import Asciicast
from virtmux_cli.log.boots import boots_table
from virtmux_cli.log.choice import Choice, NotStored, boots
from virtmux_cli.log.jsonlines import JsonLog
from virtmux_cli.log.raw import RawLog
from virtmux_cli.log.records import History
from virtmux_cli.log.selection import selected
from virtmux_cli.log.source import LogSource, OpenSource
from virtmux_cli.log.text import Rendering, TextLog
from virtmux_cli.main import complain, run_async, stdout_failed
from virtmux_cli.options import checked, console_argument, parse_position, uri_option
from virtmux_cli.streams import Outlet
from virtmux_cli.text import error_line
from virtmux_cli.when import parse_when

_STDOUT = 1
#: Lines that `-f` alone begins with, as in journalctl.
_LINES = 10
_ALL = -1
_BARE_BOOT = re.compile(r"-(f*)b|--boot")
_NUMBER = re.compile(r"[+-]?\d{1,9}", re.ASCII)


class Options(NamedTuple):
    """What `log` is to show, and how."""

    address: Address | None
    console: str
    uri: str | None
    choice: Choice
    output: str
    timestamps: bool
    list_boots: bool


class Given(TypedDict):
    """The command line of `log` as click gives it; times in ns."""

    console: str
    uri: str | None
    follow: bool
    lines: int | None
    boot: int | None
    list_boots: bool
    since: int | None
    until: int | None
    start: Position | int | None
    timestamps: bool
    output: str


class LogCommand(click.Command):
    """Lets `-b` and `--boot` stand alone: as in journalctl, what follows is their value only if it is a number."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spell a bare `-b` out."""
        options = args.index("--") if "--" in args else len(args)
        spelt: list[str] = []
        waiting = False
        for arg in args[:options]:
            bare = _BARE_BOOT.fullmatch(arg)
            if bare:
                spelt += [f"-{flag}" for flag in bare[1] or ""] + ["--boot=0"]
            elif waiting and _NUMBER.fullmatch(arg):
                spelt[-1] = f"--boot={arg}"
            else:
                spelt.append(arg)
            waiting = bare is not None
        return super().parse_args(ctx, spelt + args[options:])


def _boot(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"not the number of a boot: {text!r} (0 is the newest, -1 the one before, 1 the oldest)")
    return int(text)


def _lines(text: str) -> int:
    if text != "all" and not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise ValueError(f"not a number of lines: {text!r} (or all)")
    return _ALL if text == "all" else int(text)


def _position(text: str) -> Position | int:
    known = parse_position(text)
    return int(known) if known.isdecimal() else Position.parse(known)


def _when(text: str) -> int:
    return parse_when(text, time.time_ns())


def log_command(open_source: OpenSource) -> click.Command:
    """`virtmux log`, which reads what `open_source` opens."""

    @click.command("log", cls=LogCommand, short_help="Show what a console said, as it is stored.")
    @console_argument
    @uri_option
    @click.option("--follow", "-f", is_flag=True, help="Go on with what comes; begins with the last 10 lines.")
    @click.option("--lines", "-n", metavar="N|all", callback=checked(_lines), help="Only the last N lines.")
    @click.option(
        "--boot",
        "-b",
        metavar="[N]",
        callback=checked(_boot),
        help="Only since the guest's last start; -1: only from the start before it up to there; 1: the first stored.",
    )
    @click.option(
        "--list-boots", is_flag=True, help="Show the starts of which something is stored, and how they ended."
    )
    @click.option("--since", "-S", metavar="WHEN", callback=checked(_when), help="Only what came then or later.")
    @click.option("--until", "-U", metavar="WHEN", callback=checked(_when), help="Only what came then or before.")
    @click.option("--from", "start", metavar="POSITION", callback=checked(_position), help="Where to start.")
    @click.option("--timestamps", is_flag=True, help="Before each line the time at which it began.")
    @click.option(
        "--output",
        "-o",
        type=click.Choice(["text", "raw", "json", "asciicast"]),
        default="text",
        help="Text, on a terminal without escape sequences; the guest's bytes; JSON Lines; an asciicast of version 2.",
    )
    @click.pass_obj
    def command(address: Address | None, **given: Unpack[Given]) -> int:
        """Show what CONSOLE said, as far as it is stored: all of it, the oldest first.

        CONSOLE is DOMAIN[:DEVICE]; DOMAIN is a name, UUID or running id. WHEN is, for example, 2026-01-31 12:00, 12:00,
        today, -1h30m or @1700000000.
        """
        return run_async(show(_options(address, given), open_source))

    return command


def _options(address: Address | None, given: Given) -> Options:
    """What was asked for.

    Raises:
        click.UsageError: it contradicts itself.
    """
    boot, since, until, start = given["boot"], given["since"], given["until"], given["start"]
    follow, lines, output = given["follow"], given["lines"], given["output"]
    for one, other, both in (
        ("--boot", "--from", boot is not None and start is not None),
        ("--follow", "--until", follow and until is not None),
    ):
        if both:
            raise click.UsageError(f"{one} and {other} exclude each other")
    if given["timestamps"] and output != "text":
        raise click.UsageError(f"--timestamps is for text, and {output} has its own times or none")
    if lines is None and follow and (boot, since, start) == (None, None, None):
        lines = _LINES
    choice = Choice(boot, since, until, start, None if lines == _ALL else lines, follow)
    return Options(address, given["console"], given["uri"], choice, output, given["timestamps"], given["list_boots"])


async def show(options: Options, open_source: OpenSource) -> int:
    """Write what was asked for to stdout, and return the exit status."""
    outlet = Outlet(_STDOUT)
    try:
        async with asyncio.TaskGroup() as tasks:
            copying = tasks.create_task(_copy(options, open_source, outlet), name="copy")
            outlet.failed.add_done_callback(lambda _: copying.cancel())
    finally:
        outlet.close()
    return stdout_failed(outlet.failed.result()) if outlet.failed.done() else copying.result()


async def _copy(options: Options, open_source: OpenSource, outlet: Outlet) -> int:
    complaint, status = None, 0
    try:
        async with open_source(options.address, options.console, options.uri) as source:
            if options.list_boots:
                await outlet.write(boots_table(boots(await source.histories())).encode(errors="replace"))
            else:
                await _records(source, options, outlet)
    except VirtmuxError as error:
        complaint, status = error_line(error.reason), error.reason.exit_status
    except NotStored as error:
        complaint, status = f"virtmux: {error}", 1
    await outlet.flush()
    if complaint is not None:
        complain(complaint)
    return status


async def _records(source: LogSource, options: Options, outlet: Outlet) -> None:
    rendering, found = _rendering(options), False
    async with contextlib.aclosing(selected(source, options.choice)) as records:
        async for record in records:
            found = found or not isinstance(record, History)
            await outlet.write(rendering.render(record))
    await outlet.write(rendering.close())
    if not found:
        complain(f"virtmux: nothing that was asked for is stored of {printable(options.console)}")


def _rendering(options: Options) -> Rendering:
    match options.output:
        case "raw":
            return RawLog(lambda sentence: complain(f"virtmux: {sentence}"))
        case "json":
            return JsonLog()
        case "asciicast":
            return Asciicast(options.console)
        case _:
            return TextLog(Sanitizer() if os.isatty(_STDOUT) else None, timestamps=options.timestamps)
