"""Where `virtmux log` has its records from."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from virtmux.addresses import Address
from virtmux_cli.log.records import HistoryInfo, Record, Start


class LogSource(Protocol):
    """What is stored of one console."""

    async def histories(self) -> Sequence[HistoryInfo]:
        """The histories of which something is stored, oldest first; the last is the one that the console goes on with,
        if it does, even where that is empty.

        Raises:
            VirtmuxError: they cannot be read.
        """

    def records(self, history: str, start: Start, *, follow: bool) -> AsyncGenerator[Record, None]:
        """The records of a history from `start` on, in order, each once, and a Gap for what is missing between them.

        It ends with the last record that is stored. With `follow` it goes on with what comes, also beyond the end of
        the history, which a History tells.

        Raises:
            VirtmuxError: they cannot be read, or come no more.
        """


OpenSource = Callable[[Address | None, str, str | None], AbstractAsyncContextManager[LogSource]]
"""Opens the source for a daemon, CONSOLE and a hypervisor's URI (None: any).

Entering it raises VirtmuxError where there is no such console, or nobody to ask.
"""
