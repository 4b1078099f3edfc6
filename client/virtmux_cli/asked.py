"""Asks the daemons of one host or of several what they know. Without a loop, to be fast."""

from collections.abc import Sequence
from contextlib import ExitStack

from virtmux.addresses import Server, SshHost
from virtmux.asking import Asking
from virtmux.errors import VirtmuxError
from virtmux_cli.listing import Host
from virtmux_cli.output import failed


def ask_all(servers: Sequence[Server], *, statistics: bool = False) -> tuple[list[Host], int]:
    """What each of them says, asked all at once, and the exit status; those that do not answer are complained about.

    `statistics`: also what it counts and measures.
    """
    hosts: list[Host] = []
    failures: list[int] = []
    with ExitStack() as stack:
        asked: list[tuple[Server, Asking]] = []
        for server in servers:
            try:
                asked.append((server, stack.enter_context(Asking(server))))
            except VirtmuxError as error:
                failures.append(failed(error))
        for server, asking in asked:
            try:
                greeting, hypervisors, consoles, address = asking.answer()
                measured = asking.statistics() if statistics else None
            except VirtmuxError as error:
                failures.append(failed(error))
                continue
            name = server.name if isinstance(server, SshHost) else None
            infos = [each.info for each in hypervisors], [each.info for each in consoles]
            hosts.append(Host(name, greeting, *infos, address, measured))
    return hosts, failures[0] if failures else 0
