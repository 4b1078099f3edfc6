"""Connections to a hypervisor for those who make libvirt calls: one of their own, or a share in a pooled one."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import libvirt

from virtmux.reasons import Cause
from virtmuxd.core.evidence import connection_cause
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed
from virtmuxd.hypervisor.link import Link, Means
from virtmuxd.hypervisor.pool import Pool
from virtmuxd.hypervisor.workers import Workers

_T = TypeVar("_T")

#: Seconds for what may take long, as the start of a guest does: its hooks, its disks.
_ERRAND_DEADLINE = 60.0


class Route:
    """How to reach a hypervisor. `close` it when all its connections are."""

    def __init__(
        self,
        uri: str,
        bridge: EventBridge,
        workers: Workers,
        senders: Workers,
        deadline: float,
        *,
        pool: int = 0,
        errands: Workers | None = None,
    ) -> None:
        """`pool` is how many connections are shared by all who connect; 0: each has one of its own. `errands` are
        threads for what may take long; None: there are none of their own. For the rest see `Means`."""
        self.uri = uri
        #: All the threads.
        self.threads = tuple(dict.fromkeys((workers, senders, errands or workers)))
        self._means = Means(uri, bridge, workers, senders, deadline)
        self._errand_means = Means(uri, bridge, errands or workers, senders, _ERRAND_DEADLINE)
        self._pool = Pool(pool, partial(Link, self._means, shared=True)) if pool else None

    async def connect(self, *, shared: bool = True) -> "Connection":
        """Connect; `shared` is false where a connection of one's own is needed, pool or not.

        Raises:
            CallFailed, DeadlineMissed: as `Workers.call`.
        """
        if self._pool is not None and shared:
            link = await self._pool.take()
            return Connection(link, partial(self._pool.give_back, link))
        return await self._connect(self._means)

    async def connect_for_errand(self) -> "Connection":
        """Connect in the threads for what may take long, with a deadline for that.

        Raises:
            CallFailed, DeadlineMissed: as `Workers.call`.
        """
        return await self._connect(self._errand_means)

    async def _connect(self, means: Means) -> "Connection":
        link = Link(means)
        await link.open()
        return Connection(link, link.close)

    def give_up(self) -> None:
        """The hypervisor hangs: see `Workers.give_up`. Input is given up with its console."""
        for threads in self.threads:
            if threads is not self._means.senders:
                threads.give_up()

    async def close(self) -> None:
        """Close what is kept for the next who connects."""
        if self._pool is not None:
            await self._pool.close()


class KeptConnection:
    """A connection for calls that are made now and then, one at a time: opened for the first, and kept for the next."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._connection: Connection | None = None

    async def call(self, api: str, function: Callable[..., _T], *args: Any) -> _T:
        """Call `function` with the binding's virConnect and `args`. That the connection was lost since the call before
        is no failure: there is a new one.

        Raises:
            CallFailed, DeadlineMissed: as `Workers.call`.
        """
        was_kept = self._connection is not None
        try:
            return await self._attempt(api, function, *args)
        except CallFailed as failed:
            if not was_kept or connection_cause(failed.error) is None:
                raise
        return await self._attempt(api, function, *args)

    async def open(self) -> None:
        """Have it open, as the next call needs it.

        Raises:
            CallFailed, DeadlineMissed: as `Route.connect`.
        """
        if self._connection is None:
            self._connection = await self._route.connect()

    async def _attempt(self, api: str, function: Callable[..., _T], *args: Any) -> _T:
        await self.open()
        connection, self._connection = self._connection, None
        assert connection is not None
        is_good = False
        try:
            outcome = await connection.call(api, function, connection.libvirt, *args)
            is_good = True
        except CallFailed as failed:
            is_good = connection_cause(failed.error) is None
            raise
        finally:
            if is_good and not connection.shared:  # a shared one is kept by its pool
                self._connection = connection
            else:
                await connection.close()
        return outcome

    def cut(self) -> None:
        """The hypervisor is lost, and may hang: the close is not to wait for it."""
        if self._connection is not None:
            self._connection.cut()

    async def close(self) -> None:
        """Keep it no longer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class Connection:
    """A libvirt connection, from `Route.connect`; `close` it in any case.

    Where it is `shared`, others make their calls on it too: each waits for those before, and what cuts it ends them
    all. Then input must never be more than the guest takes at once: see `virtmuxd.core.budget`.
    """

    def __init__(self, link: Link, leave: Callable[[], Awaitable[None]]) -> None:
        """`leave` ends the use of `link`."""
        self.shared = link.shared
        self._link = link
        self._leave = leave
        self._undo: list[Callable[[], object]] = []

    @property
    def libvirt(self) -> Any:
        """The binding's virConnect."""
        return self._link.libvirt

    @property
    def lost(self) -> Cause | None:
        """Why the connection is lost, once it is."""
        return self._link.lost

    async def call(
        self, api: str, function: Callable[..., _T], *args: Any, dropped: Callable[[_T], object] | None = None
    ) -> _T:
        """Make a libvirt call on this connection; `api` is its C name.

        Cancelled, it cuts a connection of one's own. On a shared one it first lets the call end, and what that gives
        goes to `dropped`, in a worker thread: what would live on in libvirtd must be undone there.

        Raises:
            CallFailed, DeadlineMissed: as `Workers.call`.
        """
        return await self._link.call(api, partial(function, *args), dropped)

    async def send(self, function: Callable[..., _T], *args: Any) -> _T:
        """Give input to a stream of this connection, by a function that makes the calls in a worker thread.

        On a connection of one's own it may take as long as the guest takes no input.

        Raises:
            CallFailed: libvirt said no, or the connection was cut; a shared one is after the deadline of a call.
        """
        return await self._link.send(partial(function, *args))

    def can_send_at_once(self) -> bool:
        """As `Link.can_send_at_once`."""
        return self._link.can_send_at_once()

    def rest(self, seconds: float) -> None:
        """As `Link.rest`."""
        self._link.rest(seconds)

    def cut(self) -> None:
        """End every call on the connection, now and later, also those of others; see `Transport.cut`."""
        self._link.transport.cut()

    def hurry(self, seconds: float) -> None:
        """Give no call on a connection of one's own more than so many seconds from now on."""
        if not self.shared:
            self._link.hurry(seconds)

    async def watch_close(self, closed: Callable[[Cause], None]) -> None:
        """Have `closed` called on the loop, once, when the connection is lost; not for our own `close`.

        Raises:
            CallFailed, DeadlineMissed: as `Workers.call`.
        """
        await self._link.watch()
        self._link.tell_loss(self, closed)

    def undo_at_close(self, undo: Callable[[], object]) -> None:
        """Call `undo` in a worker thread before the connection is closed: what is registered keeps it alive."""
        self._undo.append(undo)

    async def close(self) -> None:
        """Leave the connection, within its deadline; what fails now has nothing to say any more."""
        self._link.ignore_loss(self)
        try:
            if self._undo:
                with suppress(CallFailed, DeadlineMissed):
                    await self._link.call("virConnectClose", self._undo_all)
        finally:
            await self._leave()

    def _undo_all(self) -> None:
        while self._undo:
            with suppress(libvirt.libvirtError):
                self._undo.pop()()
