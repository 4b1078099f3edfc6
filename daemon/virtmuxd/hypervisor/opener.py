"""How a console comes to be open, and what its opening fails with; one opening at a time."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from virtmux.messages import State
from virtmux.reasons import Cause, SavedError
from virtmuxd.core.console import Console
from virtmuxd.core.events import OpenFailed
from virtmuxd.core.evidence import connecting_cause, opening_cause
from virtmuxd.core.log_fields import of_console
from virtmuxd.hypervisor.connection import Connection, Route
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed
from virtmuxd.hypervisor.stream import ConsoleStream

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenConsole:
    """An open console, and since when (ns), where it was opened ahead."""

    connection: Connection
    stream: ConsoleStream
    since: int | None = None


class Opener:
    """Opens one console, over a connection for each time, and knows what is open: `close_all` at the end."""

    def __init__(self, console: Console, route: Route, lost: Callable[[Connection, Cause], None]) -> None:
        """`lost` is called on the loop, once, when a connection on which it was opened is lost."""
        self._console = console
        self._route = route
        self._lost = lost
        self._one_at_a_time = asyncio.Lock()
        self._ahead: OpenConsole | None = None
        #: All that are open and that nobody has begun to close.
        self._streams: set[ConsoleStream] = set()

    async def open(self, *, force: bool = False) -> OpenConsole | OpenFailed:
        """Open the console, or give what was opened ahead; by `force`, whoever has it loses it."""
        async with self._one_at_a_time:
            ahead, self._ahead = self._ahead, None
            if ahead is not None and ahead.connection.lost is not None:
                await self.close(ahead.stream)
                ahead = None
            return ahead or await self._open(force=force)

    async def open_ahead(self) -> None:
        """Open it for the next `open`; libvirt keeps its output until then."""
        async with self._one_at_a_time:
            opened = await self._open()
            self._ahead = replace(opened, since=time.time_ns()) if isinstance(opened, OpenConsole) else None

    async def give_up_ahead(self) -> None:
        """What was opened ahead is not needed, unless the console is to be opened now."""
        async with self._one_at_a_time:
            if self._console.machine.state is not State.OPENING and self._ahead is not None:
                ahead, self._ahead = self._ahead, None
                await self.close(ahead.stream)

    async def close(self, stream: ConsoleStream) -> tuple[SavedError, ...]:
        """Close it, once: whoever comes first, also where that is cancelled. Gives what failed meanwhile."""
        self._streams.discard(stream)
        return await stream.close()

    async def close_all(self) -> None:
        """Close all that is open."""
        while self._streams:
            await self.close(next(iter(self._streams)))

    async def _open(self, *, force: bool = False) -> OpenConsole | OpenFailed:
        try:
            connection = await self._route.connect()
        except CallFailed as failed:
            return OpenFailed(time.time_ns(), failed.error, connecting_cause(failed.error))
        except DeadlineMissed:
            return OpenFailed(time.time_ns(), cause=Cause.HYPERVISOR_TIMEOUT)
        key = self._console.key
        try:
            await connection.watch_close(partial(self._lost, connection))
            if force:
                _log.warning("a console is taken by force, as somebody asked", extra=of_console(self._console.id))
            stream = await ConsoleStream.open(connection, key.uuid, key.device, force=force)
        except CallFailed as failed:
            await connection.close()
            return OpenFailed(time.time_ns(), failed.error, self._why_not(failed.error))
        except DeadlineMissed:
            await connection.close()
            return OpenFailed(time.time_ns(), cause=Cause.HYPERVISOR_TIMEOUT)
        except BaseException:
            await connection.close()
            raise
        self._streams.add(stream)
        return OpenConsole(connection, stream)

    def _why_not(self, error: SavedError) -> Cause:
        """What the error of an opening means; that the device is no PTY is known without it."""
        cause = opening_cause(error)
        not_pty = self._console.naming.backend != "pty"
        return Cause.CONSOLE_NOT_PTY if not_pty and cause is Cause.STREAM_ERROR else cause
