"""The sockets of one libvirt connection, of which virtmux keeps duplicates: to cut them, since a stuck connection
cannot be closed through the API; to see whether they take more; and to know libvirt's watches on them, to let them
rest.
"""

import select
import socket
import stat
import threading
from contextlib import suppress
from os import dup, fstat


class Transport:
    """See the module. Its methods may be called in any thread."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._poller = select.poll()
        self._lock = threading.Lock()
        self.was_cut = False
        #: The ids of libvirt's watches on them.
        self.watches: list[int] = []

    def add(self, descriptor: int, watch: int) -> None:
        """Keep a duplicate of a socket that libvirt begins to watch for this connection; other files are not meant."""
        if not stat.S_ISSOCK(fstat(descriptor).st_mode):
            return
        duplicate = socket.socket(fileno=dup(descriptor))
        with self._lock:
            self._sockets.append(duplicate)
            self._poller.register(duplicate, select.POLLOUT)
            self.watches.append(watch)
            if self.was_cut:
                _shut(duplicate)

    def takes_more(self) -> bool:
        """Whether a few kilobytes can be written now without waiting: where a socket polls writable, a third of its
        buffer is free at least (docs/libvirt.md, "Threads and the event loop")."""
        with self._lock:
            said = self._poller.poll(0)
            # Of a socket whose peer is gone it says more than that it is writable.
            return 0 < len(self._sockets) == len(said) and all(event == select.POLLOUT for _, event in said)

    def cut(self) -> None:
        """Make every call that is blocked on the connection fail at once, now and later."""
        with self._lock:
            self.was_cut = True
            for each in self._sockets:
                _shut(each)

    def close(self) -> None:
        """Close the duplicates; the connection itself is libvirt's."""
        with self._lock:
            self.watches.clear()
            while self._sockets:
                closed = self._sockets.pop()
                self._poller.unregister(closed)
                closed.close()


def _shut(each: socket.socket) -> None:
    with suppress(OSError):  # the peer may have closed it
        each.shutdown(socket.SHUT_RDWR)
