"""libvirt connections whose blocking calls run in worker threads, each under a deadline.

Every libvirt call is a synchronous RPC. It runs in a thread of the hypervisor's own pool, so that a hung hypervisor can
use up nobody else's; one at a time on a connection; and a connection that misses a deadline is cut at its socket, which
gives the thread back.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import libvirt

from virtmux.reasons import Cause, SavedError
from virtmuxd.hypervisor.bridge import EventBridge, Transport
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed, save

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: What libvirt gives to a close callback, as a cause; 3, closed by the client, is our own doing (LIBVIRT.md section 3).
_CLOSE_CAUSES = {
    libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: Cause.HYPERVISOR_LOST,
    libvirt.VIR_CONNECT_CLOSE_REASON_EOF: Cause.HYPERVISOR_LOST,
    libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: Cause.HYPERVISOR_TIMEOUT,
}
#: How long a call may take to return once its connection is cut, in seconds.
_CUT_GRACE = 5.0


@dataclass(slots=True)
class CallCounts:
    """What became of the blocking calls of one hypervisor."""

    missed_deadlines: int = 0
    stuck: int = 0


class Workers:
    """The threads that may be inside libvirt for one hypervisor: at most `quota` at once."""

    def __init__(self, quota: int, name: str) -> None:
        self.counts = CallCounts()
        self._pool = ThreadPoolExecutor(quota, thread_name_prefix=name)
        self._loop = asyncio.get_running_loop()
        self._last_moment = math.inf

    async def call(self, transport: Transport, deadline: float, api: str, function: Callable[[], _T]) -> _T:
        """Run `function`, which makes libvirt calls over `transport`, within `deadline` seconds.

        Raises:
            CallFailed: libvirt said no.
            DeadlineMissed: it did not return in time; the transport has been cut.
        """
        future = self._loop.run_in_executor(self._pool, partial(_attempt, api, function))
        try:
            async with asyncio.timeout_at(min(self._loop.time() + deadline, self._last_moment)):
                outcome = await asyncio.shield(future)
        except TimeoutError:
            self.counts.missed_deadlines += 1
            transport.cut()
            await self._let_return(future, api)
            raise DeadlineMissed(api) from None
        except asyncio.CancelledError:
            transport.cut()
            await self._let_return(future, api)
            raise
        if isinstance(outcome, SavedError):
            raise CallFailed(outcome)
        return outcome

    async def _let_return(self, future: "asyncio.Future[Any]", api: str) -> None:
        done, _ = await asyncio.wait({future}, timeout=_CUT_GRACE)
        if done:
            future.exception()
        else:
            self.counts.stuck += 1
            _log.error("a libvirt call does not return although its connection was cut", extra={"api": api})

    def finish_within(self, seconds: float) -> None:
        """The daemon stops: calls that begin from now on share one deadline; behind it a hung hypervisor is cut off."""
        self._last_moment = self._loop.time() + seconds

    def close(self) -> None:
        """Let the threads end; all calls have returned, but for those that were counted as stuck."""
        self._pool.shutdown(wait=self.counts.stuck == 0, cancel_futures=True)


def _attempt(api: str, function: Callable[[], _T]) -> _T | SavedError:
    """In the worker thread: save the error before anything can reset it.

    libvirt's exception ends here, with its traceback: the frames in it hold libvirt objects, and the last reference to
    one must not be dropped on the loop, where freeing a connection would be a blocking call.
    """
    try:
        return function()
    except libvirt.libvirtError as error:
        return save(error, api)


class Connection:
    """One libvirt connection. Make it with `open`; `close` it in any case."""

    def __init__(self, workers: Workers, transport: Transport, deadline: float, handle: Any) -> None:
        self.handle = handle
        self.transport = transport
        self._workers = workers
        self._deadline = deadline
        self._one_at_a_time = asyncio.Lock()
        self._undo: list[Callable[[], object]] = []
        self._closing = False
        self._lost = False

    @classmethod
    async def open(cls, uri: str, bridge: EventBridge, workers: Workers, deadline: float) -> "Connection":
        """Connect to `uri`; each call on the connection will have `deadline` seconds.

        Raises:
            CallFailed, DeadlineMissed: as `Workers.call`.
        """
        transport = Transport()

        def connect() -> Any:
            with bridge.opening(transport):
                return libvirt.open(uri)

        try:
            handle = await workers.call(transport, deadline, "virConnectOpen", connect)
        except BaseException:
            transport.close()
            raise
        return cls(workers, transport, deadline, handle)

    async def call(self, api: str, function: Callable[..., _T], *args: Any) -> _T:
        """Make a libvirt call on this connection; `api` is its C name.

        Raises:
            CallFailed, DeadlineMissed: as `Workers.call`.
        """
        async with self._one_at_a_time:
            return await self._workers.call(self.transport, self._deadline, api, partial(function, *args))

    async def watch_close(self, closed: Callable[[Cause], None]) -> None:
        """Have `closed` called on the loop, once, when the connection is lost; not for our own `close`."""
        loop = asyncio.get_running_loop()

        def report(_connection: object, reason: int, _opaque: None) -> None:
            # libvirt calls this in any thread that is inside one of its calls.
            if reason in _CLOSE_CAUSES and not self._closing and not self._lost:
                self._lost = True
                loop.call_soon_threadsafe(closed, _CLOSE_CAUSES[reason])

        await self.call("virConnectRegisterCloseCallback", self.handle.registerCloseCallback, report, None)
        self.undo_at_close(self.handle.unregisterCloseCallback)

    def undo_at_close(self, undo: Callable[[], object]) -> None:
        """Call `undo` in a worker thread before the connection is closed: what is registered keeps it alive."""
        self._undo.append(undo)

    async def close(self) -> None:
        """Close the connection, within its deadline; what fails now has nothing to say any more."""
        self._closing = True
        with suppress(CallFailed, DeadlineMissed):
            await self.call("virConnectClose", self._close)
        self.transport.close()

    def _close(self) -> None:
        while self._undo:
            with suppress(libvirt.libvirtError):
                self._undo.pop()()
        self.handle.close()
        self.handle = None
