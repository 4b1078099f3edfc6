"""Where the daemons are: `--socket`, and `--host`, which some commands take more than once."""

import signal
from collections.abc import Sequence
from typing import NoReturn

import click

from virtmux.addresses import Address, SshHost
from virtmux_cli.statuses import SIGNALLED

#: The commands that show several hosts together.
SEVERAL = frozenset({"events", "list", "status", "tmux", "tmux-follow"})
_KEY = "virtmux.addresses"


def choose(ctx: click.Context, socket: str | None, hosts: Sequence[str]) -> None:
    """Keep them: `ctx.obj` is the first one, as most commands take it.

    Raises:
        click.UsageError: one is no host, or there is more than one for a command that takes one.
    """
    chosen: list[Address | None] = []
    for host in hosts:
        try:
            chosen.append(SshHost(host, socket))
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param_hint="'--host'") from error
    if len(chosen) > 1 and ctx.invoked_subcommand not in SEVERAL:
        raise click.UsageError(f"--host is given {len(chosen)} times, and `{ctx.invoked_subcommand}` is for one host")
    if chosen:
        # An ssh that asks for a password would be left behind by what just dies.
        signal.signal(signal.SIGTERM, _terminated)
    ctx.meta[_KEY] = chosen or [socket]
    ctx.obj = ctx.meta[_KEY][0]


def _terminated(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - signal's signature
    raise SystemExit(SIGNALLED + number)


def addresses(ctx: click.Context) -> list[Address | None]:
    """All that were chosen."""
    chosen: list[Address | None] = ctx.meta[_KEY]
    return chosen
