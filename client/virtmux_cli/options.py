"""What several commands take on their command lines, and how it is read."""

import math
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from virtmux.errors import Refused
from virtmux.messages import sendable
from virtmux.reasons import Cause
from virtmux.records import Position, parse_number

_T = TypeVar("_T")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: What the daemon takes, in bytes.
_LARGEST = (1 << 63) - 1
_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30}
_PART = r"(\d+(?:\.\d+)?)([smhd])"


def parse_duration(text: str) -> float:
    """Seconds from a number, alone or with units: 90, 5m, 2h, 1h30m; `forever` is infinite.

    Raises:
        ValueError: it is none of them.
    """
    if text == "forever":
        return math.inf
    if re.fullmatch(r"\d+(?:\.\d+)?", text, re.ASCII):
        return float(text)
    if re.fullmatch(f"(?:{_PART})+", text, re.ASCII):
        return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
    raise ValueError(f"not a duration: {text!r} (expected for example 90, 5m, 2h or 1h30m)")


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


console_argument = click.argument("console", callback=checked(sendable))
domain_argument = click.argument("domain", callback=checked(sendable))
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
