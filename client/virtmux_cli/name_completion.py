"""The names of consoles and domains for a shell that completes them: live from the daemon, or none at once."""

from collections.abc import Iterator

import click

from virtmux.addresses import Address, SshHost
from virtmux.messages import ConsoleInfo

#: Seconds: somebody waits at the keyboard. ssh, which asks nothing now, needs more.
_PATIENCE_S = 0.5
_SSH_PATIENCE_S = 3.0


def complete_console(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Consoles that begin so: by their domains, and by DOMAIN:DEVICE where there is a choice or that is typed."""
    found = sorted(set(_names(_consoles(ctx), incomplete)))
    return [name for name in found if name.startswith(incomplete)]


def complete_domain(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Domains that begin so."""
    found = {info.id.domain for info in _consoles(ctx) if _can_be_typed(info)}
    return sorted(name for name in found if name.startswith(incomplete))


def _names(consoles: list[ConsoleInfo], incomplete: str) -> Iterator[str]:
    devices: dict[str, set[str]] = {}
    for info in filter(_can_be_typed, consoles):
        devices.setdefault(info.id.domain, set()).add(info.id.device)
    for domain, aliases in devices.items():
        yield domain
        if len(aliases) > 1 or incomplete.startswith(f"{domain}:"):
            yield from (f"{domain}:{alias}" for alias in aliases)


def _can_be_typed(info: ConsoleInfo) -> bool:
    """A name with control characters is none to put on a command line."""
    return info.id.domain.isprintable() and info.id.device.isprintable()


def _consoles(ctx: click.Context) -> list[ConsoleInfo]:
    """What the daemon knows that the words before the name mean; nothing where it does not answer."""
    from virtmux.asking import Asking
    from virtmux.errors import VirtmuxError

    options = ctx.find_root().params
    hosts = options.get("hosts") or ()
    try:
        address: Address | None = SshHost(hosts[-1], options.get("socket")) if hosts else options.get("socket")
        with Asking(address, seconds=_SSH_PATIENCE_S if hosts else _PATIENCE_S) as asking:
            return [each.info for each in asking.answer().consoles]
    except (VirtmuxError, ValueError):
        return []
