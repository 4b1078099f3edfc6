"""Worker threads for blocking libvirt calls, each call under a deadline.

Every libvirt call is a synchronous RPC. It runs in a thread of the hypervisor's own pool, so that a hung hypervisor can
use up nobody else's; and a connection on which a call misses its deadline is cut at its socket, which gives the thread
back.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import libvirt

from virtmux.reasons import SavedError
from virtmuxd.core.counters import Counters, ThreadUse
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed, save, undecodable
from virtmuxd.hypervisor.transport import Transport

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: How long a call may take to return once its connection is cut, in seconds.
_CUT_GRACE = 5.0
#: The deadline for undoing what a call gave that nobody waits for any more, in seconds.
_DROP_DEADLINE = 5.0


class Workers:
    """Threads that may be inside libvirt for one hypervisor: at most `quota` at once."""

    def __init__(self, quota: int, name: str, counters: Counters | None = None) -> None:
        #: What they do now.
        self.use = ThreadUse(quota)
        self.name = name
        self._counters = counters or Counters()
        self._quota = asyncio.Semaphore(quota)
        self._pool = ThreadPoolExecutor(quota, thread_name_prefix=name)
        self._loop = asyncio.get_running_loop()
        self._last_moment = math.inf
        #: The deadlines that run.
        self._deadlines: set[asyncio.Timeout] = set()

    async def call(
        self,
        transport: Transport,
        deadline: float,
        api: str,
        function: Callable[[], _T],
        *,
        shared: bool = False,
        dropped: Callable[[_T], object] | None = None,
    ) -> _T:
        """Run `function`, which makes libvirt calls over `transport`, within `deadline` seconds of getting a thread.

        Cancelled, it cuts the transport too, unless others use that as well (`shared`): then the call may end within
        its deadline, and what it gives goes to `dropped`, in a thread.

        Raises:
            CallFailed: libvirt said no.
            DeadlineMissed: no thread was free for as long, or it did not return in time; then the transport is cut.
        """
        future = await self._begin(deadline, api, function)
        try:
            async with self._within(deadline):
                outcome = await asyncio.shield(future)
        except TimeoutError:
            await self._cut_late(transport, future, api)
            raise DeadlineMissed(api) from None
        except asyncio.CancelledError:
            if not shared:
                await self._cut(transport, future, api)
            elif not await self._returns(future, self._moment(deadline) - self._loop.time()):
                await self._cut_late(transport, future, api)
            elif dropped is not None:
                await self._drop(transport, future, api, dropped)
            raise
        if isinstance(outcome, SavedError):
            raise CallFailed(outcome)
        return outcome

    async def _begin(self, deadline: float, api: str, function: Callable[[], _T]) -> "asyncio.Future[_T | SavedError]":
        """Run `function` in a thread, as soon as one is free.

        Raises:
            DeadlineMissed: none was within `deadline` seconds.
        """
        try:
            async with self._within(deadline):
                await self._quota.acquire()
        except TimeoutError:
            raise DeadlineMissed(api) from None
        future = self._loop.run_in_executor(self._pool, partial(_attempt, api, function))
        self.use.busy += 1
        future.add_done_callback(self._free)  # a thread that is stuck is not free when its call is given up
        return future

    async def _drop(
        self, transport: Transport, future: "asyncio.Future[_T | SavedError]", api: str, dropped: Callable[[_T], object]
    ) -> None:
        """Give to `dropped` what a call gave that nobody waits for any more."""
        outcome = future.result()
        if not isinstance(outcome, SavedError):
            with suppress(CallFailed, DeadlineMissed):
                await self.call(transport, _DROP_DEADLINE, api, partial(dropped, outcome), shared=True)

    @asynccontextmanager
    async def _within(self, deadline: float) -> AsyncIterator[None]:
        async with asyncio.timeout_at(self._moment(deadline)) as running:
            self._deadlines.add(running)
            try:
                yield
            finally:
                self._deadlines.discard(running)

    @property
    def stuck(self) -> int:
        """Calls that have not returned although their connection was cut."""
        return self.use.stuck

    @property
    def used_up(self) -> bool:
        """Whether every thread is stuck: no further call can be made."""
        return self.use.stuck >= self.use.quota

    def give_up(self) -> None:
        """The hypervisor hangs: every call misses its deadline now, also one that waits for a thread."""
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(self._loop.time())

    def _moment(self, deadline: float) -> float:
        return min(self._loop.time() + deadline, self._last_moment)

    def _free(self, _future: object) -> None:
        self.use.busy -= 1
        self._quota.release()

    def _unstuck(self, _future: object) -> None:
        self.use.stuck -= 1

    async def _cut_late(self, transport: Transport, future: "asyncio.Future[Any]", api: str) -> None:
        """Cut a transport because a call on it missed its deadline: that is counted and told, once for a transport."""
        if not transport.was_cut:
            self._counters.cuts += 1
            self._tell("a libvirt connection was cut: a call missed its deadline", api, logging.WARNING)
        await self._cut(transport, future, api)

    async def _cut(self, transport: Transport, future: "asyncio.Future[Any]", api: str) -> None:
        transport.cut()
        if not await self._returns(future, _CUT_GRACE):
            self._counters.stuck_calls += 1
            self.use.stuck += 1
            future.add_done_callback(self._unstuck)
            self._tell("a libvirt call does not return although its connection was cut", api, logging.ERROR)

    async def _returns(self, future: "asyncio.Future[Any]", seconds: float) -> bool:
        """Whether a call that nobody waits for any more returns within so many seconds."""
        done, _ = await asyncio.wait({future}, timeout=seconds)
        return bool(done)

    def _tell(self, message: str, api: str, level: int) -> None:
        _log.log(level, message, extra={"api": api, "threads": self.name, **self._counters.fields()})

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
    except UnicodeDecodeError as error:
        return undecodable(error, api)
    except CallFailed as failed:
        return failed.error
