"""`virtmux release`: let a console go, for a time, until it is reclaimed, or while a command runs."""

import asyncio
import contextlib
import math
import shutil
import signal
from collections.abc import Sequence

import click

from virtmux.addresses import Address
from virtmux.client import Client, connect
from virtmux.messages import MAX_SECONDS
from virtmux.sanitize import printable
from virtmux_cli.durations import parse_duration
from virtmux_cli.main import complain, run_async
from virtmux_cli.options import by_name, checked, console_argument, uri_option
from virtmux_cli.signals import handled
from virtmux_cli.statuses import SIGNALLED
from virtmux_cli.terminal import Terminal

_STDIN = 0
#: As shells say it.
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
#: What a terminal sends to the command itself as well, for which it alone decides.
_FROM_THE_KEYBOARD = (signal.SIGINT, signal.SIGQUIT)


def parse_length(text: str) -> float | None:
    """Seconds, or None for ever.

    Raises:
        ValueError: it is no duration, or one of no length, or too long.
    """
    seconds = parse_duration(text)
    if math.isinf(seconds):
        return None
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"more than 0 and at most {MAX_SECONDS} seconds, or `forever`")
    return seconds


class ReleaseCommand(click.Command):
    """Takes a command to be run only behind `--`: `release web1 db1` is no wish to run `db1`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse a command without its `--`, and a `--` without a command."""
        given = list(args)
        rest = super().parse_args(ctx, args)
        run = ctx.params.get("run", ())
        if run and given[-len(run) - 1] != "--":
            text = "a command to be run stands behind `--`, as in `release web1 -- virsh console web1`"
            raise click.UsageError(text, ctx)
        if not run and given[-1:] == ["--"]:
            raise click.UsageError("there is no command behind `--`", ctx)
        return rest


@click.command(
    "release",
    cls=ReleaseCommand,
    options_metavar="[--for DURATION] [--uri URI]",
    short_help="Let go of a console, for others.",
)
@console_argument
@click.argument("run", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD...]")
@click.option("--for", "seconds", metavar="DURATION", callback=checked(parse_length), help="For example 90, 5m or 2h.")
@uri_option
@click.pass_obj
def command(
    address: Address | None, *, console: str, run: Sequence[str], seconds: float | None, uri: str | None
) -> int:
    """Have virtmux let CONSOLE go, so that others can use it, `virsh console` for example.

    It lasts for DURATION, or until `virtmux reclaim`, over restarts of virtmuxd too. With CMD it lasts while CMD runs,
    on this terminal, and the exit status is CMD's.
    """
    if run and seconds is not None:
        raise click.UsageError("--for and a command exclude each other")
    if run:
        return run_async(_release_while(address, console, uri, run))
    return run_async(_release(address, console, uri, seconds))


async def _release(address: Address | None, console: str, uri: str | None, seconds: float | None) -> int:
    async with connect(address, reconnect_for=0) as mux:
        await by_name(console, lambda domain, device: mux.release(domain, device, uri=uri, seconds=seconds))
    return 0


async def _release_while(address: Address | None, console: str, uri: str | None, run: Sequence[str]) -> int:
    if shutil.which(run[0]) is None:  # said before anybody loses the console for it
        complain(f"virtmux: {printable(run[0])}: command not found")
        return _NOT_FOUND
    async with connect(address, reconnect_for=math.inf) as mux, contextlib.AsyncExitStack() as stack:
        await by_name(console, lambda domain, device: _let_go(stack, mux, domain, device, uri))
        return await _run(run)


async def _let_go(
    stack: contextlib.AsyncExitStack, mux: Client, domain: str, device: str | None, uri: str | None
) -> None:
    await stack.enter_async_context(mux.released(domain, device, uri=uri))


async def _run(run: Sequence[str]) -> int:
    """Run a command to its end, whatever is typed meanwhile, and return its exit status as a shell does."""
    process: asyncio.subprocess.Process | None = None
    early: list[int] = []

    def pass_on(number: int) -> None:
        if process is None:
            early.append(number)
        elif number not in _FROM_THE_KEYBOARD:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    terminal = Terminal(_STDIN)
    with handled(pass_on, terminal.suspend, terminal.resume):
        try:
            process = await asyncio.create_subprocess_exec(*run)
        except OSError as error:
            complain(f"virtmux: {printable(run[0])}: {error.strerror}")
            return _NOT_EXECUTABLE
        for number in early:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        status = await process.wait()
    return status if status >= 0 else SIGNALLED - status
