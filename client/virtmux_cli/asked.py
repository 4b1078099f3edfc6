"""Asks the daemons of one host or of several what they know. Without a loop, to be fast."""

from collections.abc import Sequence
from contextlib import ExitStack

from virtmux.addresses import Address, SshHost
from virtmux.asking import Asking
from virtmux.errors import VirtmuxError
from virtmux_cli.listing import Host
from virtmux_cli.output import failed


def ask_all(addresses: Sequence[Address | None], *, statistics: bool = False) -> tuple[list[Host], int]:
    """What each of them says, asked all at once, and the exit status; those that do not answer are complained about.

    `statistics`: also what it counts and measures.
    """
    hosts: list[Host] = []
    failures: list[int] = []
    with ExitStack() as stack:
        asked: list[tuple[Address | None, Asking]] = []
        for address in addresses:
            try:
                asked.append((address, stack.enter_context(Asking(address))))
            except VirtmuxError as error:
                failures.append(failed(error))
        for address, asking in asked:
            try:
                greeting, hypervisors, consoles, found = asking.answer()
                measured = asking.statistics() if statistics else None
            except VirtmuxError as error:
                failures.append(failed(error))
                continue
            name = address.name if isinstance(address, SshHost) else None
            infos = [each.info for each in hypervisors], [each.info for each in consoles]
            hosts.append(Host(name, greeting, *infos, found, measured))
    return hosts, failures[0] if failures else 0
