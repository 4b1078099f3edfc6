"""libvirt's event loop on top of asyncio, callable from any thread.

Stock libvirtaio touches the loop in whatever thread libvirt happens to be in, and makes a task for every timer that is
armed, which is one for each packet received (docs/libvirt.md, "Threads and the event loop"). Here ids are handed out at
once, every change is carried over to the loop's thread in the order in which it was asked for, and timers are plain
loop handles. The loop goes on watching a file through libvirt's short pauses (`_Descriptor`), and a connection that
floods can rest, so that one turn reads many messages (`EventBridge.rest`).

libvirt keeps a file descriptor open until its free callback has run, so removing it a little later is safe.
"""

import asyncio
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import libvirtaio
from libvirt import VIR_EVENT_HANDLE_READABLE, VIR_EVENT_HANDLE_WRITABLE, virEventInvokeFreeCallback

from virtmuxd.hypervisor.headroom import Headroom
from virtmuxd.hypervisor.transport import Transport

#: Messages that libvirt reads in one turn of the loop from a connection that has rested: of 4 KB each, which is the
#: most that a PTY gives at once, they are as much as one console may take of a turn (`ConsoleStream`).
_MESSAGES = 64


class _Descriptor(libvirtaio.Descriptor):  # type: ignore[misc]  # libvirtaio has no types
    """A watched file, of which the loop hears only what it must.

    libvirt asks to read no more as a call begins, and to read again as it ends; mostly nothing comes in between. So the
    loop goes on watching, and is told only once something comes that nobody wants. What libvirt has to write as it
    reads, such as the answer to a ping, is written at once: the loop watches for room only where there is none.
    """

    def __init__(self, impl: "EventBridge", fd: int) -> None:
        super().__init__(impl, fd)
        self.events = 0
        #: What the loop watches it for, and whether libvirt is being called.
        self._has_reader = self._has_writer = self._is_called = False
        self._resting: asyncio.TimerHandle | None = None
        self._poller = select.poll()
        self._poller.register(fd, select.POLLIN)

    def update(self) -> None:
        events = 0
        for callback in self.callbacks.values():
            events |= callback.event
        changed, self.events = events ^ self.events, events
        if changed & events & VIR_EVENT_HANDLE_READABLE and not self._has_reader:
            self._start_reading()
        if changed & VIR_EVENT_HANDLE_WRITABLE and not self._is_called:
            self._update_writer()

    def _update_writer(self) -> None:
        wanted = bool(self.events & VIR_EVENT_HANDLE_WRITABLE)
        if wanted and not self._has_writer:
            self.impl.loop.add_writer(self.fd, self._handle, VIR_EVENT_HANDLE_WRITABLE)
        elif self._has_writer and not wanted:
            self.impl.loop.remove_writer(self.fd)
        self._has_writer = wanted

    def _readable(self) -> None:
        """There is something to read, or an error. Of an error libuv tells once, and then no more; but before it there
        may be more to read."""
        if not self.events & VIR_EVENT_HANDLE_READABLE:
            self._stop_reading()
            return
        self._read()
        left = self._poller.poll(0) if self._has_reader else ()
        if left and left[0][1] & select.POLLERR:
            self._stop_reading()
            self._start_reading()

    def _read(self) -> None:
        """libvirt reads one message each time it is called."""
        self._is_called = True
        try:
            self._handle(VIR_EVENT_HANDLE_READABLE)
            if self.events & VIR_EVENT_HANDLE_WRITABLE:
                self._handle(VIR_EVENT_HANDLE_WRITABLE)
        finally:
            self._is_called = False
            self._update_writer()

    def _start_reading(self) -> None:
        if self._resting is None:
            self._has_reader = True
            self.impl.loop.add_reader(self.fd, self._readable)

    def _stop_reading(self) -> None:
        if self._has_reader:
            self._has_reader = False
            self.impl.loop.remove_reader(self.fd)

    def rest(self, seconds: float) -> None:
        """Do not read for so long; then, in one turn, up to `_MESSAGES` of what has come."""
        if self._resting is None:
            self._stop_reading()
            self._resting = self.impl.loop.call_later(seconds, self._end_rest)

    def _end_rest(self) -> None:
        self._resting = None
        if not self.events & VIR_EVENT_HANDLE_READABLE:
            return
        self._start_reading()
        for _ in range(_MESSAGES):
            is_wanted = self._has_reader and self.events & VIR_EVENT_HANDLE_READABLE
            if not is_wanted or not self._has_more():
                break
            self._read()

    def _has_more(self) -> bool:
        """Whether there is more to read; of a file that has ended poll says something else."""
        return self._poller.poll(0) == [(self.fd, select.POLLIN)]

    def close(self) -> None:
        """It is watched no more, and another may get its number."""
        self._stop_reading()
        self._update_writer()
        if self._resting is not None:
            self._resting.cancel()


class _Timeout(libvirtaio.Callback):  # type: ignore[misc]
    """A timer of libvirt's: off at -1, otherwise called every so many milliseconds, which is every turn at 0."""

    def __init__(self, impl: "EventBridge", cb: Any, opaque: Any) -> None:
        super().__init__(impl, cb, opaque)
        self._milliseconds = -1
        self._handle: asyncio.Handle | None = None

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

    # What libvirt calls, from any thread.

    def _add_handle(self, fd: int, event: int, cb: Any, opaque: Any) -> int:
        callback = libvirtaio.FDCallback(self, cb, opaque, descriptor=None, event=event)
        transport: Transport | None = getattr(self._opening, "transport", None)
        if transport is not None:
            transport.add(fd, callback.iden)
        self._carry(self._watch, callback, fd)
        return int(callback.iden)

    def _update_handle(self, watch: int, event: int) -> None:
        self._carry(self._rewatch, watch, event)

    def _remove_handle(self, watch: int) -> int:
        self._carry(self._unwatch, watch)
        return 0

    def _add_timeout(self, timeout: int, cb: Any, opaque: Any) -> int:
        callback = _Timeout(self, cb, opaque)
        self._carry(self._start_timer, callback, timeout)
        return int(callback.iden)

    def _update_timeout(self, timer: int, timeout: int) -> None:
        self._carry(self._change_timer, timer, timeout)

    def _remove_timeout(self, timer: int) -> int:
        self._carry(self._stop_timer, timer)
        return 0

    # The same in the loop's thread.

    def _watch(self, callback: Any, fd: int) -> None:
        descriptor = self.descriptors.get(fd)
        if descriptor is None:
            descriptor = self.descriptors[fd] = _Descriptor(self, fd)
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
