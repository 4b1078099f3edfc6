"""What several commands take on their command lines, and how it is read."""

import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from virtmux.errors import Refused
from virtmux.messages import sendable
from virtmux.reasons import Cause
from virtmux.records import Position, parse_number
from virtmux_cli.name_completion import complete_console, complete_domain

_T = TypeVar("_T")
#: What the daemon takes, in bytes.
_LARGEST = (1 << 63) - 1
_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30}


def parse_position(text: str) -> str:
    """A position, or a bare offset, as the daemon takes it.

    Raises:
        ValueError: it is neither.
    """
    return str(parse_number(text) if text.isdecimal() else Position.parse(text))


def parse_size(text: str) -> int:
    """Bytes from a number, alone or with a unit of 1024: 65536, 64K, 8M, 1G.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d{1,15})([KMG]?)", text, re.ASCII)
    size = int(found[1]) << _SHIFTS[found[2]] if found is not None else None
    if size is None or size > _LARGEST:
        raise ValueError(f"not a size: {text!r} (expected for example 65536, 64K or 8M)")
    return size


def checked(parse: Callable[[str], _T]) -> Callable[[click.Context, click.Parameter, str | None], _T | None]:
    """An option's callback that turns what `parse` does not take into a usage error."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> _T | None:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error

    return callback


#: CONSOLE, DOMAIN and --uri as most commands take them.
console_argument = click.argument("console", callback=checked(sendable), shell_complete=complete_console)
domain_argument = click.argument("domain", callback=checked(sendable), shell_complete=complete_domain)
uri_option = click.option("--uri", callback=checked(sendable), help="The hypervisor, where the name is ambiguous.")


async def by_name(console: str, ask: Callable[[str, str | None], Awaitable[_T]]) -> _T:
    """What `ask` gives for the domain and device that CONSOLE means.

    CONSOLE is tried as a whole name before what stands behind its last colon is a device.

    Raises:
        Refused: whatever `ask` raised last.
    """
    domain, _, device = console.rpartition(":")
    try:
        return await ask(console, None)
    except Refused as error:
        if error.reason.cause is not Cause.CONSOLE_MISSING or not domain or not device:
            raise
    return await ask(domain, device)
