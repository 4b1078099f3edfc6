"""File descriptors for a connection, seen to before libvirt is asked for one.

GLib, on which libvirt's client waits for answers, ends the whole process where it can have none (glib/gwakeup.c,
`g_wakeup_new`): a connection that fails is better.
"""

import errno
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: A connection takes five at most, over ssh; and others open something at the same time.
_OF_A_CONNECTION, _OF_OTHERS = 5, 16


class Headroom:
    """Knows of all connections that are being opened. It may be asked in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._openings = 0

    @contextmanager
    def opening(self) -> Iterator[None]:
        """A connection is opened within it.

        Raises:
            OSError: there are too few file descriptors for it (EMFILE).
        """
        with self._lock:
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            wanted = _OF_A_CONNECTION * (self._openings + 1) + _OF_OTHERS
            if limit != resource.RLIM_INFINITY and limit - _in_use() < wanted:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            self._openings += 1
        try:
            yield
        finally:
            with self._lock:
                self._openings -= 1


def _in_use() -> int:
    """How many file descriptors the process has. Since Linux 6.2 that is the size of a directory (proc_fd_getattr)."""
    return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))  # noqa: PTH116, PTH208  # quick
