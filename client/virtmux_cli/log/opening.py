"""Finds who tells what is stored of a console: the daemon, or the journal's files where none answers."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from virtmux.addresses import Address, SshHost
from virtmux.client import connect
from virtmux.errors import ConnectionLost, Refused
from virtmux.journal.directory import Journal
from virtmux.journal.names import journal_directories
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, ConsoleId, Reason
from virtmux_cli.log.command import log_command
from virtmux_cli.log.from_daemon import DaemonSource
from virtmux_cli.log.from_files import FileSource
from virtmux_cli.log.source import LogSource
from virtmux_cli.options import by_name


@asynccontextmanager
async def open_source(address: Address | None, console: str, uri: str | None) -> AsyncIterator[LogSource]:
    """See `virtmux_cli.log.source.OpenSource`."""
    async with AsyncExitStack() as stack:
        try:
            mux = await stack.enter_async_context(connect(address))
        except ConnectionLost as error:
            if error.reason.cause is not Cause.SERVER_LOST or isinstance(address, SshHost):
                raise
            yield await by_name(console, partial(_from_files, error.reason))
            return
        told = await by_name(console, lambda domain, device: mux.histories(domain, device, uri=uri))
        first = told[0].console
        yield DaemonSource(mux, [info for info in told if _is_same(info.console, first)])


async def _from_files(no_daemon: Reason, domain: str, device: str | None) -> FileSource:
    """The first journal that has something of such a console.

    Raises:
        ConnectionLost: there is no journal.
        Refused: nothing of such a console is stored, or it may not be read.
    """
    directories = journal_directories(os.environ)
    for directory in directories:
        journal = Journal(directory)
        try:
            if found := journal.find(domain, device):
                return FileSource(journal, found[0], no_daemon)
        except PermissionError as error:
            text = f"no virtmuxd answers, and this user may not read {error.filename}"
            raise Refused(reason_now(Cause.ACCESS_DENIED, text=text)) from error
    if not any(directory.is_dir() for directory in directories):
        raise ConnectionLost(no_daemon)
    places = ", ".join(map(str, directories))
    text = f"no virtmuxd answers, and nothing of {domain!r} is stored in {places}"
    raise Refused(reason_now(Cause.CONSOLE_MISSING, text=text))


def _is_same(one: ConsoleId, other: ConsoleId) -> bool:
    return (one.hypervisor, one.uuid, one.device) == (other.hypervisor, other.uuid, other.device)


command = log_command(open_source)
