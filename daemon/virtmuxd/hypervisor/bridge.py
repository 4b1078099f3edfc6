"""libvirt's event loop on top of asyncio, callable from any thread.

Stock libvirtaio touches the loop in whatever thread libvirt happens to be in, and makes a task for every timer that is
armed, which is one for each packet received (docs/libvirt.md, "Threads and the event loop"). Here ids are handed out at
once, every change is carried over to the loop's thread in the order in which it was asked for, and timers are plain
loop handles. What the loop hears of the files that libvirt watches is in `descriptor`.

libvirt keeps a file descriptor open until its free callback has run, so removing it a little later is safe.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import libvirtaio
from libvirt import virEventInvokeFreeCallback

from virtmuxd.hypervisor.descriptor import Descriptor
from virtmuxd.hypervisor.headroom import Headroom
from virtmuxd.hypervisor.transport import Transport


class _Timeout(libvirtaio.Callback):  # type: ignore[misc]  # libvirtaio has no types
    """A timer of libvirt's: off at -1, otherwise called every so many milliseconds, which is every turn at 0."""

    def __init__(self, impl: "EventBridge", cb: Any, opaque: Any) -> None:
        super().__init__(impl, cb, opaque)
        self._milliseconds = -1
        self._handle: asyncio.Handle | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} iden={self.iden} milliseconds={self._milliseconds}>"

    def update(self, milliseconds: int) -> None:
        """Arm it anew, or stop it."""
        if self._handle is not None:
            if milliseconds == self._milliseconds == 0:
                return
            self._handle.cancel()
            self._handle = None
        self._milliseconds = milliseconds
        if milliseconds >= 0:
            self._arm()

    def _arm(self) -> None:
        """Schedule the next call."""
        if self._milliseconds == 0:
            self._handle = self.impl.loop.call_soon(self._fire)
        else:
            self._handle = self.impl.loop.call_later(self._milliseconds / 1000, self._fire)

    def _fire(self) -> None:
        self._handle = None
        try:
            self.cb(self.iden, self.opaque)
        finally:
            armed_meanwhile = self._handle is not None
            if self._milliseconds >= 0 and not armed_meanwhile and self.iden in self.impl.callbacks:
                self._arm()

    def close(self) -> None:
        self.update(-1)
        super().close()


class EventBridge(libvirtaio.virEventAsyncIOImpl):  # type: ignore[misc]
    """libvirt's event implementation for this process. Register it once, from the loop's thread, before any `open`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        next(libvirtaio.Callback._iden_counter)  # noqa: SLF001  # a watch 0 is none to libvirt's local streams
        self._thread = threading.get_ident()
        self._changes: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._is_due = False
        self._opening = threading.local()
        self._headroom = Headroom()

    @contextmanager
    def opening(self, transport: Transport) -> Iterator[None]:
        """While this thread opens a connection, its sockets belong to `transport`.

        Raises:
            OSError: there are too few file descriptors for one.
        """
        with self._headroom.opening():
            self._opening.transport = transport
            try:
                yield
            finally:
                self._opening.transport = None

    def rest(self, transport: Transport, seconds: float) -> None:
        """Read nothing from a connection for so long; then, in one turn, what has come. On the loop."""
        for watch in transport.watches:
            callback = self.callbacks.get(watch)
            if callback is not None:
                callback.descriptor.rest(seconds)

    def _carry(self, change: Callable[..., None], *args: Any) -> None:
        """Make a change in the loop's thread, behind all that were asked for before.

        A deque's `append` and `popleft` are atomic. From the loop's own thread it is made now: what other threads have
        queued is older, or concurrent and then of another handle.
        """
        is_here = threading.get_ident() == self._thread
        if is_here and not self._changes:
            change(*args)
            return
        self._changes.append((change, args))
        if is_here:
            self._catch_up()
        elif not self._is_due:
            self._is_due = True
            self.loop.call_soon_threadsafe(self._catch_up)

    def _catch_up(self) -> None:
        self._is_due = False  # what is asked for from here on may be missed below
        try:
            while self._changes:
                change, args = self._changes.popleft()
                change(*args)
        finally:
            if self._changes:  # one of them failed
                self.loop.call_soon(self._catch_up)

    # What libvirt calls, from any thread: virEventAddHandleFunc and the others of include/libvirt/libvirt-event.h. That
    # a watch or timer is not known, because it was removed just now, is no error.

    def _add_handle(self, fd: int, event: int, cb: Any, opaque: Any) -> int:
        """Call `cb` with the watch, `fd`, what happened and `opaque` when that is one of `event`; gives the watch."""
        callback = libvirtaio.FDCallback(self, cb, opaque, descriptor=None, event=event)
        transport: Transport | None = getattr(self._opening, "transport", None)
        if transport is not None:
            transport.add(fd, callback.iden)
        self._carry(self._watch, callback, fd)
        return int(callback.iden)

    def _update_handle(self, watch: int, event: int) -> None:
        """Wait for `event` from now on; 0: for nothing."""
        self._carry(self._rewatch, watch, event)

    def _remove_handle(self, watch: int) -> int:
        """Call no more, and free the opaque; gives 0, which is success."""
        self._carry(self._unwatch, watch)
        return 0

    def _add_timeout(self, timeout: int, cb: Any, opaque: Any) -> int:
        """Call `cb` with the timer and `opaque` every `timeout` ms, -1: never; gives the timer."""
        callback = _Timeout(self, cb, opaque)
        self._carry(self._start_timer, callback, timeout)
        return int(callback.iden)

    def _update_timeout(self, timer: int, timeout: int) -> None:
        """Call every `timeout` ms from now on, the next time after as many."""
        self._carry(self._change_timer, timer, timeout)

    def _remove_timeout(self, timer: int) -> int:
        """As `_remove_handle`."""
        self._carry(self._stop_timer, timer)
        return 0

    # The same in the loop's thread.

    def _watch(self, callback: Any, fd: int) -> None:
        descriptor = self.descriptors.get(fd)
        if descriptor is None:
            descriptor = self.descriptors[fd] = Descriptor(self, fd)
        callback.descriptor = descriptor
        self.callbacks[callback.iden] = callback
        self._pending_inc()
        descriptor.add_handle(callback)

    def _rewatch(self, watch: int, event: int) -> None:
        callback = self.callbacks.get(watch)
        if callback is not None and callback.event != event:
            callback.event = event
            callback.descriptor.update()

    def _unwatch(self, watch: int) -> None:
        callback = self.callbacks.pop(watch, None)
        if callback is None:
            return
        descriptor = callback.descriptor
        descriptor.remove_handle(watch)
        if not descriptor.callbacks:
            descriptor.close()
            del self.descriptors[descriptor.fd]
        callback.close()

    def _start_timer(self, timer: _Timeout, timeout: int) -> None:
        self.callbacks[timer.iden] = timer
        self._pending_inc()
        timer.update(timeout)

    def _change_timer(self, timer: int, timeout: int) -> None:
        callback = self.callbacks.get(timer)
        if callback is not None:
            callback.update(timeout)

    def _stop_timer(self, timer: int) -> None:
        callback = self.callbacks.pop(timer, None)
        if callback is not None:
            callback.close()

    def schedule_ff_callback(self, iden: int, opaque: Any) -> None:  # noqa: ARG002  # libvirtaio's signature
        """Free `opaque` on a later turn: libvirt may hold locks now."""
        self.loop.call_soon(self._free, opaque)

    def _free(self, opaque: Any) -> None:
        virEventInvokeFreeCallback(opaque)
        self._pending_dec()
