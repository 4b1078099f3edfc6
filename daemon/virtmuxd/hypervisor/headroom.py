"""File descriptors for a connection, seen to before libvirt is asked for one.

GLib, on which libvirt's client waits for answers, ends the whole process where it can have none (glib/gwakeup.c,
`g_wakeup_new`): a connection that fails is better.
"""

import os
import threading

#: A connection takes five at most, over ssh; others may open something at the same time.
_DESCRIPTORS = 16


class Headroom:
    """See the module. It may be asked in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # two who ask at once would find less than there is

    def require(self) -> None:
        """Raises OSError (EMFILE or ENFILE) where there are too few file descriptors for a connection."""
        taken: list[int] = []
        with self._lock:
            try:
                while len(taken) < _DESCRIPTORS:
                    taken.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            finally:
                for each in taken:
                    os.close(each)
