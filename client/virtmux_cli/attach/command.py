"""`virtmux attach`: the options; what it does is in `session`."""

import os
from typing import Literal, TypedDict, Unpack

import click

from virtmux.addresses import Address
from virtmux.messages import MAX_SECONDS, MIN_LAG, Lag
from virtmux_cli.attach.escape import DEFAULT, parse_escape
from virtmux_cli.attach.policy import Leave
from virtmux_cli.attach.session import Options, attach
from virtmux_cli.durations import parse_duration
from virtmux_cli.main import run_async
from virtmux_cli.options import checked, console_argument, parse_position, parse_size, uri_option
from virtmux_cli.screen.window import REPLAY

_STDOUT = 1
#: What a person is shown first.
_REPLAY = "bytes:16384"
_LEAST_AGE = 0.001
#: Options of `virsh console`, and what there is for them here.
_VIRSH = {
    "-c": "`--uri` names the hypervisor",
    "-e": "`--escape` says which key leaves",
    "--devname": "a device is named as in web1:serial1",
    "--force": "`virtmux console --force` takes a console from another libvirt client",
}


class Given(TypedDict):
    """The command line of `attach` as click gives it; times in seconds, sizes in bytes."""

    console: str
    uri: str | None
    stay: bool
    once: bool
    wait: float | None
    read_only: bool
    exclusive: bool
    steal: bool
    escape: str | None
    as_json: bool
    quiet: bool
    no_clipboard: bool
    linger: float | None
    replay: str | None
    position: str | None
    too_slow: Literal["gap", "leave", "wait"]
    max_lag: int
    max_age: float


class AttachCommand(click.Command):
    """Lets `--wait` stand alone before the console's name: only `--wait=S` takes a value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spell a bare `--wait` out, and help whoever comes from virsh."""
        options = args.index("--") if "--" in args else len(args)
        spelt = ["--wait=forever" if arg == "--wait" else arg for arg in args[:options]]
        try:
            return super().parse_args(ctx, spelt + args[options:])
        except click.NoSuchOption as unknown:
            if unknown.option_name not in _VIRSH:
                raise
            text = f"no such option '{unknown.option_name}': {_VIRSH[unknown.option_name]}"
            raise click.UsageError(text, ctx) from None


def parse_replay(text: str) -> str:
    """What of the past is shown first: a size, `all`, `boot` or `none`, as the daemon takes it; or `screen`.

    Raises:
        ValueError: it is none of these.
    """
    if text in {"all", "boot", "none", REPLAY}:
        return text
    try:
        return f"bytes:{parse_size(text)}"
    except ValueError:
        raise ValueError(f"not a replay: {text!r} (expected a size like 16K, all, boot, screen or none)") from None


def _lag_size(text: str) -> int:
    size = parse_size(text)
    if size < MIN_LAG:
        raise ValueError(f"{text} is too little, at least {MIN_LAG} bytes have to be allowed")
    return size


def escape_key(text: str) -> str:
    """An escape key, as it was written.

    Raises:
        ValueError: it is none.
    """
    parse_escape(text)
    return text


@click.command("attach", cls=AttachCommand, short_help="Watch and use a console.")
@console_argument
@uri_option
@click.option("--stay", is_flag=True, help="Wait for the guest's next start when it ends.")
@click.option("--once", is_flag=True, help="Leave at any end.")
@click.option(
    "--wait",
    metavar="[=S]",
    callback=checked(parse_duration),
    help="Wait for a guest that does not run, a busy console, or a lost hypervisor.",
)
@click.option("--read-only", is_flag=True, help="Send no input.")
@click.option("--exclusive", is_flag=True, help="Let nobody else type; others may watch, and are told.")
@click.option("--steal", is_flag=True, help="With --exclusive: also where somebody else has it so.")
@click.option(
    "--escape", metavar="^X|none", callback=checked(escape_key), help=f"The key that leaves; {DEFAULT} on a terminal."
)
@click.option("--json", "as_json", is_flag=True, help="Reasons as JSON Lines on stderr.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but why it failed.")
@click.option("--no-clipboard", is_flag=True, help="Let the guest neither set nor read the terminal's clipboard.")
@click.option(
    "--linger",
    metavar="S",
    callback=checked(parse_duration),
    help="After stdin's end, leave once S seconds were silent.",
)
@click.option(
    "--replay",
    metavar="BYTES|all|boot|screen|none",
    callback=checked(parse_replay),
    help="What of the past to show first: so much of this boot, all that is stored, this boot, or what a terminal "
    "would show now; 16K where stdout is a terminal, else none.",
)
@click.option(
    "--from", "position", metavar="POSITION", callback=checked(parse_position), help="Where to start, instead."
)
@click.option(
    "--too-slow",
    type=click.Choice(["gap", "leave", "wait"]),
    default="gap",
    show_default=True,
    help="What happens when stdout takes too little of what comes.",
)
@click.option(
    "--max-lag",
    metavar="BYTES",
    default="1M",
    show_default=True,
    callback=checked(_lag_size),
    help="How much may wait for stdout.",
)
@click.option(
    "--max-age",
    metavar="S",
    default="5",
    show_default=True,
    callback=checked(parse_duration),
    help="By how much what waits may be older than what comes.",
)
@click.pass_obj
def command(address: Address | None, **given: Unpack[Given]) -> int:
    """Watch and use CONSOLE, which is DOMAIN[:DEVICE]; DOMAIN is a name, UUID or running id.

    The guest's output goes to stdout, stdin goes to the guest. On a terminal it begins with the last lines of this
    boot, and says who else is there and who may type; leaving, the terminal is as it was. It rides out what passes by
    itself (a lost connection, a restart of virtmuxd or libvirtd, a migration that virtmux follows) and leaves when the
    guest ends, with a status that says why: 3 no such console, 4 not allowed, 5 virtmuxd gone, 6 hypervisor gone,
    7 --wait ran out, 8 busy, 9 guest not running, 10 guest ended, 11 guest crashed, 12 sent away or too slow; 0 after
    the escape key, --linger, or when nobody reads stdout any more.
    """
    return run_async(attach(_options(address, given)))


def _options(address: Address | None, given: Given) -> Options:
    """What was asked for.

    Raises:
        click.UsageError: it contradicts itself.
    """
    leaving = leave(stay=given["stay"], once=given["once"], wait=given["wait"] is not None)
    if given["read_only"] and given["exclusive"]:
        raise click.UsageError("--read-only and --exclusive exclude each other")
    if given["steal"] and not given["exclusive"]:
        raise click.UsageError("--steal is nothing without --exclusive")
    return Options(
        address=address,
        console=given["console"],
        uri=given["uri"],
        leave=leaving,
        wait_s=given["wait"],
        read_only=given["read_only"],
        exclusive=given["exclusive"],
        steal=given["steal"],
        escape=given["escape"],
        as_json=given["as_json"],
        quiet=given["quiet"],
        clipboard=not given["no_clipboard"],
        linger_s=given["linger"],
        position=given["position"],
        replay=given["replay"] or (_REPLAY if os.isatty(_STDOUT) else None),
        lag=_lag(given["too_slow"], given["max_lag"], given["max_age"]),
    )


def leave(*, stay: bool, once: bool, wait: bool = False) -> Leave:
    """When the person wants to leave.

    Raises:
        click.UsageError: that contradicts itself.
    """
    if stay and once:
        raise click.UsageError("--stay and --once exclude each other")
    return Leave(stay, once, wait)


def _lag(then: Literal["gap", "leave", "wait"], size: int, age: float) -> Lag | None:
    return None if then == "wait" else Lag(size, max(min(age, MAX_SECONDS), _LEAST_AGE), then)
