"""One libvirt connection, whoever uses it: its calls, one at a time, and the news of its loss."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import libvirt

from virtmux.reasons import Cause
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed, named, unreadable
from virtmuxd.hypervisor.transport import Transport
from virtmuxd.hypervisor.workers import Workers

_T = TypeVar("_T")

#: What libvirt gives to a close callback, as a cause; 3, closed by the client, is our own doing. libvirtaio knows no
#: HANGUP, so what libvirt's own loop reports as EOF arrives as ERROR: they are treated alike.
_CLOSE_CAUSES = {
    libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: Cause.HYPERVISOR_LOST,
    libvirt.VIR_CONNECT_CLOSE_REASON_EOF: Cause.HYPERVISOR_LOST,
    libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: Cause.HYPERVISOR_TIMEOUT,
}

#: How old the last answer on a shared link may be when input is sent over it, in seconds.
_CHECK_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class Means:
    """What it takes to connect to a hypervisor. Input has threads of its own: a guest that takes none blocks the one
    that sends it. `deadline` is that of a call, in seconds."""

    uri: str
    bridge: EventBridge
    workers: Workers
    senders: Workers
    deadline: float


class Link:
    """See the module. `open` it once, `close` it in any case; `libvirt` is the binding's virConnect."""

    def __init__(self, means: Means, *, shared: bool = False) -> None:
        self.shared = shared
        self.libvirt: Any = None
        self.transport = Transport()
        #: Why the connection is lost, once it is.
        self.lost: Cause | None = None
        self._means = means
        self._deadline = means.deadline
        self._one_at_a_time = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._told_of_loss: dict[object, Callable[[Cause], None]] = {}
        self._watched = False
        self._closing = False
        #: When libvirtd last answered a call, on the loop's clock.
        self._answered_at = 0.0

    @property
    def usable(self) -> bool:
        """Whether it is open, as far as is known."""
        return self.libvirt is not None and self.lost is None and not self.transport.was_cut

    async def open(self) -> None:
        """Connect. A shared one is watched from the start.

        It has no keepalive: with input on its way that could stop the loop, and the control connection speaks for all.

        Raises:
            CallFailed, DeadlineMissed: as `Workers.call`.
        """

        def open_() -> Any:
            try:
                with self._means.bridge.opening(self.transport):
                    return libvirt.open(self._means.uri)
            except OSError as error:
                raise CallFailed(unreadable(error.strerror or str(error), "virConnectOpen")) from None

        try:
            self.libvirt = await self._call("virConnectOpen", open_)
            if self.shared:
                await self.watch()
        except BaseException:
            await self.close()
            raise

    def hurry(self, seconds: float) -> None:
        """Give no call more than so many seconds from now on."""
        self._deadline = min(self._deadline, seconds)

    async def _call(self, api: str, function: Callable[[], _T]) -> _T:
        """A call while nobody else uses the link: cancelled, it may be cut."""
        return await self._means.workers.call(self.transport, self._deadline, api, function)

    async def call(self, api: str, function: Callable[[], _T], dropped: Callable[[_T], object] | None = None) -> _T:
        """Make a libvirt call; see `Workers.call`."""
        async with self._one_at_a_time:
            outcome = await self._means.workers.call(
                self.transport, self._deadline, api, function, shared=self.shared, dropped=dropped
            )
            self._answered_at = self._loop.time()
            return outcome

    async def send(self, function: Callable[[], _T]) -> _T:
        """Give input to a stream. On a shared link it has a deadline, as every call there.

        Raises:
            CallFailed: libvirt said no, or the connection was cut.
        """
        if not self.shared:
            async with self._one_at_a_time:
                return await self._means.senders.call(self.transport, math.inf, "virStreamSend", function)
        try:
            async with self._one_at_a_time:
                return await self._means.senders.call(
                    self.transport, self._deadline, "virStreamSend", partial(self._send, function), shared=True
                )
        except DeadlineMissed:
            error = unreadable("the hypervisor took no input in time; the connection was cut", "virStreamSend")
            raise CallFailed(error) from None

    def can_send_at_once(self) -> bool:
        """Whether little input can be sent on the loop's thread now, without waiting: the link is one's own, no call is
        under way on it, and its socket takes more."""
        alone = not self.shared and not self._one_at_a_time.locked()
        return alone and self.usable and self.transport.takes_more()

    def _send(self, function: Callable[[], _T]) -> _T:
        """Send on a shared link, and now and then see whether libvirtd reads it: a guest that takes no input may have
        stopped that, and libvirtd's own pings then hide it from keepalive (docs/libvirt.md, "Shared connections")."""
        outcome = function()
        if self._loop.time() > self._answered_at + _CHECK_AFTER:
            with named("virConnectGetLibVersion"):
                self.libvirt.getLibVersion()
            self._answered_at = self._loop.time()
        return outcome

    def rest(self, seconds: float) -> None:
        """Have a link of one's own read nothing for so long, so that what comes meanwhile comes together; a shared one
        goes on reading."""
        if not self.shared:
            self._means.bridge.rest(self.transport, seconds)

    # Its loss.

    async def watch(self) -> None:
        """Hear of its loss from now on; once is enough.

        Raises:
            CallFailed, DeadlineMissed: as `Workers.call`.
        """
        if not self._watched:
            self._watched = True
            await self.call("virConnectRegisterCloseCallback", self._register)

    def _register(self) -> None:
        self.libvirt.registerCloseCallback(self._report, None)

    def _report(self, _connection: object, reason: int, _opaque: None) -> None:
        """libvirt calls this in any thread that is inside one of its calls."""
        if reason in _CLOSE_CAUSES and not self._closing and self.lost is None:
            self.lost = Cause.HYPERVISOR_TIMEOUT if self.transport.was_cut else _CLOSE_CAUSES[reason]
            self._loop.call_soon_threadsafe(self._tell, self.lost)

    def _tell(self, cause: Cause) -> None:
        for user in tuple(self._told_of_loss):
            self._tell_one(user, cause)

    def _tell_one(self, user: object, cause: Cause) -> None:
        closed = self._told_of_loss.pop(user, None)
        if closed is not None:
            closed(cause)

    def tell_loss(self, user: object, closed: Callable[[Cause], None]) -> None:
        """Have `closed` called for this user, once, on a later turn of the loop, when it is lost or if it was."""
        self._told_of_loss[user] = closed
        if self.lost is not None:
            self._loop.call_soon(self._tell_one, user, self.lost)

    def ignore_loss(self, user: object) -> None:
        """This user wants to hear no more."""
        self._told_of_loss.pop(user, None)

    # The end.

    async def close(self) -> None:
        """Close the connection, within its deadline; what fails now has nothing to say any more. Nobody uses it.

        One that is not closed by that is cut: no thread is free, it fails or is cancelled, or something still refers to
        what was opened on it. libvirtd must not go on holding that.
        """
        self._closing = True
        self._told_of_loss.clear()
        closed = False
        try:
            if self.libvirt is not None:
                async with self._one_at_a_time:
                    closed = await self._call("virConnectClose", self._close)
        except (CallFailed, DeadlineMissed):
            pass  # it is cut
        finally:
            if not closed:
                self.transport.cut()
            self.transport.close()

    def _close(self) -> bool:
        """In a worker thread; gives whether nothing refers to it any more."""
        if self._watched:
            with suppress(libvirt.libvirtError):
                self.libvirt.unregisterCloseCallback()
        references: int = self.libvirt.close()
        self.libvirt = None
        return references == 0
