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

#: What libvirt gives to a close callback, as a cause; 3, closed by the client, is our own doing. libvirtaio knows no
#: HANGUP, so what libvirt's own loop reports as EOF arrives as ERROR: they are treated alike.
_CLOSE_CAUSES = {
    libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: Cause.HYPERVISOR_LOST,
    libvirt.VIR_CONNECT_CLOSE_REASON_EOF: Cause.HYPERVISOR_LOST,
    libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: Cause.HYPERVISOR_TIMEOUT,
}
#: How long a call may take to return once its connection is cut, in seconds.
_CUT_GRACE = 5.0


class Workers:
    """Threads that may be inside libvirt for one hypervisor: at most `quota` at once."""

    def __init__(self, quota: int, name: str) -> None:
        #: Calls that did not return although their connection was cut.
        self.stuck = 0
        self._quota = asyncio.Semaphore(quota)
        self._pool = ThreadPoolExecutor(quota, thread_name_prefix=name)
        self._loop = asyncio.get_running_loop()
        self._last_moment = math.inf

    async def call(self, transport: Transport, deadline: float, api: str, function: Callable[[], _T]) -> _T:
        """Run `function`, which makes libvirt calls over `transport`, within `deadline` seconds of getting a thread.

        Raises:
            CallFailed: libvirt said no.
            DeadlineMissed: no thread was free for as long, or it did not return in time; then the transport is cut.
        """
        try:
            async with asyncio.timeout_at(min(self._loop.time() + deadline, self._last_moment)):
                await self._quota.acquire()
        except TimeoutError:
            raise DeadlineMissed(api) from None
        future = self._loop.run_in_executor(self._pool, partial(_attempt, api, function))
        future.add_done_callback(self._free)  # a thread that is stuck is not free when its call is given up
        try:
            async with asyncio.timeout_at(min(self._loop.time() + deadline, self._last_moment)):
                outcome = await asyncio.shield(future)
        except TimeoutError:
            await self._cut(transport, future, api)
            raise DeadlineMissed(api) from None
        except asyncio.CancelledError:
            await self._cut(transport, future, api)
            raise
        if isinstance(outcome, SavedError):
            raise CallFailed(outcome)
        return outcome

    def _free(self, _future: object) -> None:
        self._quota.release()

    async def _cut(self, transport: Transport, future: "asyncio.Future[Any]", api: str) -> None:
        transport.cut()
        done, _ = await asyncio.wait({future}, timeout=_CUT_GRACE)
        if not done:
            self.stuck += 1
            _log.error("a libvirt call does not return although its connection was cut", extra={"api": api})

    def finish_within(self, seconds: float) -> None:
        """The daemon stops: calls that begin from now on share one deadline; behind it a hung hypervisor is cut off."""
        self._last_moment = self._loop.time() + seconds

    def close(self) -> None:
        """Let the threads end; all calls have returned, but for those that are stuck."""
        self._pool.shutdown(wait=self.stuck == 0, cancel_futures=True)


def _attempt(api: str, function: Callable[[], _T]) -> _T | SavedError:
    """In the worker thread: save the error before anything can reset it.

    The exception ends here, with its traceback: the frames in it hold libvirt objects, and the last reference to one
    must not be dropped on the loop, where freeing a connection would be a blocking call.
    """
    try:
        return function()
    except libvirt.libvirtError as error:
        return save(error, api)
    except CallFailed as failed:
        return failed.error


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach a hypervisor. Input has threads of its own: a guest that takes none blocks the one that sends it.

    `deadline` is that of a call, in seconds.
    """

    uri: str
    bridge: EventBridge
    workers: Workers
    senders: Workers
    deadline: float

    async def connect(self) -> "Connection":
        """Open a connection.

        Raises:
            CallFailed, DeadlineMissed: as `Workers.call`.
        """
        transport = Transport()

        def open_() -> Any:
            with self.bridge.opening(transport):
                return libvirt.open(self.uri)

        try:
            libvirt_ = await self.workers.call(transport, self.deadline, "virConnectOpen", open_)
        except BaseException:
            transport.close()
            raise
        return Connection(self, transport, libvirt_)


class Connection:
    """One libvirt connection, from `Route.connect`; `close` it in any case. `libvirt` is the binding's virConnect."""

    def __init__(self, route: Route, transport: Transport, libvirt_: Any) -> None:
        self.libvirt = libvirt_
        #: Whether it carries other consoles too.
        self.shared = False
        #: Why the connection is lost, once it is.
        self.lost: Cause | None = None
        self._route = route
        self._transport = transport
        self._one_at_a_time = asyncio.Lock()
        self._undo: list[Callable[[], object]] = []
        self._closing = False

    async def call(self, api: str, function: Callable[..., _T], *args: Any) -> _T:
        """Make a libvirt call on this connection; `api` is its C name.

        Raises:
            CallFailed, DeadlineMissed: as `Workers.call`.
        """
        async with self._one_at_a_time:
            return await self._route.workers.call(self._transport, self._route.deadline, api, partial(function, *args))

    async def send(self, function: Callable[..., None], *args: Any) -> None:
        """Give input to a stream of this connection, by a function that makes the calls in a worker thread.

        It may take as long as the guest takes no input: whoever calls this sees to a deadline.

        Raises:
            CallFailed: libvirt said no, or the connection was cut.
        """
        async with self._one_at_a_time:
            await self._route.senders.call(self._transport, math.inf, "virStreamSend", partial(function, *args))

    def cut(self) -> None:
        """End every call on the connection, now and later; see `Transport.cut`."""
        self._transport.cut()

    async def watch_close(self, closed: Callable[[Cause], None]) -> None:
        """Have `closed` called on the loop, once, when the connection is lost; not for our own `close`."""
        loop = asyncio.get_running_loop()

        def report(_connection: object, reason: int, _opaque: None) -> None:
            # libvirt calls this in any thread that is inside one of its calls.
            if reason in _CLOSE_CAUSES and not self._closing and self.lost is None:
                self.lost = Cause.HYPERVISOR_TIMEOUT if self._transport.was_cut else _CLOSE_CAUSES[reason]
                loop.call_soon_threadsafe(closed, self.lost)

        await self.call("virConnectRegisterCloseCallback", self.libvirt.registerCloseCallback, report, None)
        self.undo_at_close(self.libvirt.unregisterCloseCallback)

    def undo_at_close(self, undo: Callable[[], object]) -> None:
        """Call `undo` in a worker thread before the connection is closed: what is registered keeps it alive."""
        self._undo.append(undo)

    async def close(self) -> None:
        """Close the connection, within its deadline; what fails now has nothing to say any more."""
        self._closing = True
        with suppress(CallFailed, DeadlineMissed):
            await self.call("virConnectClose", self._close)
        self._transport.close()

    def _close(self) -> None:
        while self._undo:
            with suppress(libvirt.libvirtError):
                self._undo.pop()()
        self.libvirt.close()
        self.libvirt = None
