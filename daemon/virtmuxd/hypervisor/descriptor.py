"""A file that libvirt watches, of which the loop hears only what it must.

libvirt asks to read no more as a call begins, and to read again as it ends; mostly nothing comes in between. So the
loop goes on watching, and is told only once something comes that nobody wants. What libvirt has to write as it reads,
such as the answer to a ping, is written at once: the loop watches for room only where there is none. A connection that
floods can rest, so that one turn reads many messages.

That a file has failed or been hung up makes it readable; libvirt is not told it in other words
(docs/libvirt.md, "How a console ends").
"""

import select
from typing import TYPE_CHECKING

import libvirtaio
from libvirt import VIR_EVENT_HANDLE_READABLE, VIR_EVENT_HANDLE_WRITABLE

if TYPE_CHECKING:
    import asyncio

    from virtmuxd.hypervisor.bridge import EventBridge

#: Messages that libvirt reads in one turn of the loop from a connection that has rested: of 4 KB each, which is the
#: most that a PTY gives at once, they are as much as one console may take of a turn (`ConsoleStream`).
_MESSAGES = 64


class Descriptor(libvirtaio.Descriptor):  # type: ignore[misc]  # libvirtaio has no types
    """See the module. Its callbacks are libvirt's watches on it. On the loop."""

    def __init__(self, impl: "EventBridge", fd: int) -> None:
        super().__init__(impl, fd)
        self.events = 0
        #: What the loop watches it for, and whether libvirt is being called.
        self._has_reader = self._has_writer = self._is_called = False
        self._resting: asyncio.TimerHandle | None = None
        self._poller = select.poll()
        self._poller.register(fd, select.POLLIN)

    def update(self) -> None:
        """A watch began, ended or wants something else."""
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
