"""`virtmux wait`: until a console is attached, or has ended."""

import asyncio
import random

import click

from virtmux.addresses import Address
from virtmux.console import Console
from virtmux.errors import ConsoleEnded, Refused, TimedOut
from virtmux.messages import PlaceEnded
from virtmux.reasons import Cause, Reason
from virtmux_cli.attach.policy import NEXT_START, Leave, leaves_refused, leaves_with, retries
from virtmux_cli.attach.state import End
from virtmux_cli.attach.talk import Talk
from virtmux_cli.automation.console import Where, at_console, reported, seconds_of, talk
from virtmux_cli.durations import parse_duration
from virtmux_cli.main import run_async
from virtmux_cli.options import checked, console_argument, uri_option
from virtmux_cli.output import write
from virtmux_cli.text import json_line, reason_text

_PATIENT = Leave(wait=True)


@click.command("wait", short_help="Wait until a console is attached or has ended.")
@console_argument
@click.argument("until", type=click.Choice(["attached", "ended"]), metavar="attached|ended")
@click.option("--timeout", metavar="S", callback=checked(parse_duration), help="Give up after S seconds.")
@uri_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: the position, or the reason.")
@click.pass_obj
def command(
    address: Address | None, *, console: str, until: str, timeout: float | None, uri: str | None, as_json: bool
) -> int:
    """Wait until CONSOLE is attached or has ended; at once, where that is so already.

    It holds the console meanwhile, so that this catches a guest's first byte:
    `virsh start --paused web1 && virtmux wait web1 attached && virsh resume web1`.

    `attached` prints the position at which it is, for `expect --from`. It waits for a guest that is not started yet, a
    busy console and a lost hypervisor. `ended` prints the reason, and any end of the guest is status 0; what passes by
    itself, as a takeover, is none. Status 7: --timeout ran out; 3: there is no such console.
    """
    work = _attached if until == "attached" else _ended
    return run_async(work(Where(address, console, uri), seconds_of(timeout), as_json=as_json))


async def _attached(where: Where, seconds: float | None, *, as_json: bool) -> int:
    say = talk(as_json=as_json)
    why: list[Reason] = []

    async def work() -> int:
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                return await _until_attached(where, say, why, as_json=as_json)
        except TimeoutError:
            what = f"{where.console} was not attached"
            raise TimedOut(what, seconds or 0.0, reason=why[-1] if why else None) from None

    return await reported(say, seconds, work)


async def _until_attached(where: Where, say: Talk, why: list[Reason], *, as_json: bool) -> int:
    """`why` is where the reasons that it waits are noted."""
    backoff = retries(random.random)
    while True:
        try:
            async with at_console(where) as console:
                await wait_attached(console, say, why)
                position = str(console.position)
                told = {"type": "attached", "console": console.place.info.id, "position": position}
                return write(json_line(told) if as_json else f"{position}\n".encode())
        except Refused as error:
            if leaves_refused(error.reason, _PATIENT) is not None:
                raise
            _say_once(say, why, error.reason)
        await asyncio.sleep(backoff.next())


async def wait_attached(console: Console, say: Talk, why: list[Reason]) -> None:
    """Take records until the console is attached, as long as it may be.

    Raises:
        ConsoleEnded: it will not be, or somebody has to help.
    """
    while console.attachment is None:
        state = console.progress
        if state.caught_up and state.why is not None:
            if leaves_with(state.why, _PATIENT, begun=False) is not None:
                raise ConsoleEnded(state.why)
            _say_once(say, why, state.why)
        if isinstance(record := await anext(console), PlaceEnded):
            raise ConsoleEnded(record.reason)


async def wait_ended(console: Console, seconds: float | None) -> Reason:
    """The reason of the guest's end.

    Raises:
        TimedOut: it did not end within so many seconds.
        ConsoleEnded: what ended was something else, for good.
    """
    reason = await console.until_ended(timeout=seconds, is_end=_is_final)
    if reason.exit_status in NEXT_START or reason.cause is Cause.GUEST_UNDEFINED:
        return reason
    raise ConsoleEnded(reason)


def print_end(reason: Reason, *, as_json: bool) -> int:
    """Print why it ended; gives the exit status."""
    return write(json_line(reason) if as_json else f"{reason_text(reason)}\n".encode(errors="replace"))


def _is_final(reason: Reason) -> bool:
    return leaves_with(reason, Leave(), begun=True) is not None


async def _ended(where: Where, seconds: float | None, *, as_json: bool) -> int:
    say = talk(as_json=as_json)

    async def work() -> int:
        async with at_console(where) as console:
            reason = await wait_ended(console, seconds)
        return print_end(reason, as_json=as_json)

    return await reported(say, seconds, work)


def _say_once(say: Talk, said: list[Reason], reason: Reason) -> None:
    if not said or said[-1].cause is not reason.cause:
        say.end(End(reason, None), begun=False)
    said.append(reason)
