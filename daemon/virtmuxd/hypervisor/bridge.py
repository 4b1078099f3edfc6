"""libvirt's event loop on top of asyncio, callable from any thread.

Stock libvirtaio touches the loop in whatever thread libvirt happens to be in, and makes a task for every timer that is
armed, which is one for each packet received (docs/libvirt.md, "Threads and the event loop"). Here ids are handed out at
once, every change is carried over to the loop's thread in the order in which it was asked for, and timers are plain
loop handles.

libvirt keeps a file descriptor open until its free callback has run, so removing it a little later is safe.
"""

import asyncio
import socket
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from os import dup, fstat
from typing import Any

import libvirtaio
from libvirt import VIR_EVENT_HANDLE_READABLE, VIR_EVENT_HANDLE_WRITABLE, virEventInvokeFreeCallback

#: Seconds for which the timer of a stream that ran, and then went off, does not run again. libvirt sets it with each
#: packet that the stream receives: what comes first is handed on at once, and what comes close behind it together. So a
#: console that floods costs a quarter less, and leaves the processor to others more often. Events of domains, which
#: have timers too, wait for nothing.
_GATHER = 0.002


class Transport:
    """The sockets of one libvirt connection, for the cut: a stuck connection cannot be closed through the API."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self.was_cut = False

    def add(self, descriptor: int) -> None:
        """Keep a duplicate of a socket that libvirt registers for this connection; other files are not meant."""
        if not stat.S_ISSOCK(fstat(descriptor).st_mode):
            return
        duplicate = socket.socket(fileno=dup(descriptor))
        with self._lock:
            self._sockets.append(duplicate)
            if self.was_cut:
                _shut(duplicate)

    def cut(self) -> None:
        """Make every call that is blocked on the connection fail at once, now and later."""
        with self._lock:
            self.was_cut = True
            for each in self._sockets:
                _shut(each)

    def close(self) -> None:
        """Close the duplicates; the connection itself is libvirt's."""
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()


def _shut(each: socket.socket) -> None:
    with suppress(OSError):  # the peer may have closed it
        each.shutdown(socket.SHUT_RDWR)


class _Descriptor(libvirtaio.Descriptor):  # type: ignore[misc]  # libvirtaio has no types
    """A watched file: asks the loop for a change only where there is one."""

    def __init__(self, impl: "EventBridge", fd: int) -> None:
        super().__init__(impl, fd)
        self.events = 0

    def update(self) -> None:
        events = 0
        for callback in self.callbacks.values():
            events |= callback.event
        changed, self.events = events ^ self.events, events
        loop = self.impl.loop
        if changed & VIR_EVENT_HANDLE_READABLE:
            if events & VIR_EVENT_HANDLE_READABLE:
                loop.add_reader(self.fd, self._handle, VIR_EVENT_HANDLE_READABLE)
            else:
                loop.remove_reader(self.fd)
        if changed & VIR_EVENT_HANDLE_WRITABLE:
            if events & VIR_EVENT_HANDLE_WRITABLE:
                loop.add_writer(self.fd, self._handle, VIR_EVENT_HANDLE_WRITABLE)
            else:
                loop.remove_writer(self.fd)


class _Timeout(libvirtaio.Callback):  # type: ignore[misc]
    """A timer of libvirt's: off at -1, otherwise called every so many milliseconds. 0 is every turn of the loop; but
    where it was off it is not called sooner than `gather` seconds after the last time."""

    def __init__(self, impl: "EventBridge", cb: Any, opaque: Any, milliseconds: int, gather: float) -> None:
        super().__init__(impl, cb, opaque)
        self._milliseconds = milliseconds
        self._gather = gather
        self._handle: asyncio.Handle | None = None
        self._not_before = 0.0

    def update(self, milliseconds: int) -> None:
        """Arm it anew, or stop it."""
        if self._handle is not None:
            if milliseconds == self._milliseconds == 0:
                return
            self._handle.cancel()
            self._handle = None
        self._milliseconds = milliseconds
        self.arm()

    def arm(self) -> None:
        """Schedule the next call, if it is on."""
        loop = self.impl.loop
        if self._milliseconds == 0:
            wait = self._not_before - loop.time()
            self._handle = loop.call_later(wait, self._fire) if wait > 0 else loop.call_soon(self._fire)
        elif self._milliseconds > 0:
            self._handle = loop.call_later(self._milliseconds / 1000, self._fire)

    def _fire(self) -> None:
        self._handle = None
        self._not_before = 0.0
        try:
            self.cb(self.iden, self.opaque)
        finally:
            armed_meanwhile = self._handle is not None
            if not armed_meanwhile and self.iden in self.impl.callbacks:
                self.arm()
            self._not_before = self.impl.loop.time() + self._gather

    def close(self) -> None:
        self.update(-1)
        super().close()


class EventBridge(libvirtaio.virEventAsyncIOImpl):  # type: ignore[misc]
    """libvirt's event implementation for this process. Register it once, from the loop's thread, before any `open`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._thread = threading.get_ident()
        self._changes: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._opening = threading.local()
        self._adding = threading.local()

    @contextmanager
    def opening(self, transport: Transport) -> Iterator[None]:
        """While this thread opens a connection, its sockets belong to `transport`."""
        self._opening.transport = transport
        try:
            yield
        finally:
            self._opening.transport = None

    def _carry(self, change: Callable[..., None], *args: Any) -> None:
        """Make a change in the loop's thread, behind all that were asked for before.

        A deque's `append` and `popleft` are atomic. From the loop's own thread it is made now: what other threads have
        queued is older, or concurrent and then of another handle.
        """
        self._changes.append((change, args))
        if threading.get_ident() == self._thread:
            self._catch_up()
        else:
            self.loop.call_soon_threadsafe(self._catch_up)

    def _catch_up(self) -> None:
        while self._changes:
            change, args = self._changes.popleft()
            change(*args)

    # What libvirt calls, from any thread.

    def _add_handle(self, fd: int, event: int, cb: Any, opaque: Any) -> int:
        transport: Transport | None = getattr(self._opening, "transport", None)
        if transport is not None:
            transport.add(fd)
        callback = libvirtaio.FDCallback(self, cb, opaque, descriptor=None, event=event)
        self._carry(self._watch, callback, fd)
        return int(callback.iden)

    def _update_handle(self, watch: int, event: int) -> None:
        self._carry(self._rewatch, watch, event)

    def _remove_handle(self, watch: int) -> int:
        self._carry(self._unwatch, watch)
        return 0

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """A timer that is added meanwhile, by this thread, is a stream's: see `_GATHER`."""
        self._adding.gathers = True
        try:
            yield
        finally:
            self._adding.gathers = False

    def _add_timeout(self, timeout: int, cb: Any, opaque: Any) -> int:
        gather = _GATHER if getattr(self._adding, "gathers", False) else 0.0
        callback = _Timeout(self, cb, opaque, timeout, gather)
        self._carry(self._start_timer, callback)
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
        if callback is not None:
            callback.update(event)

    def _unwatch(self, watch: int) -> None:
        callback = self.callbacks.pop(watch, None)
        if callback is None:
            return
        descriptor = callback.descriptor
        descriptor.remove_handle(watch)
        if not descriptor.callbacks:
            del self.descriptors[descriptor.fd]
        callback.close()

    def _start_timer(self, timer: _Timeout) -> None:
        self.callbacks[timer.iden] = timer
        self._pending_inc()
        timer.arm()

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
