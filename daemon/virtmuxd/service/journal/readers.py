"""Threads in which the journal is read: a disk that hangs holds up those who read it, and nobody else."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: Reads of a piece that may be under way at once.
_THREADS = 4


class Readers:
    """See the module."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(_THREADS, "journal-read")
        #: Whole histories are looked at one after the other: that is computing, which no more threads make faster, and
        #: each that computes has the loop wait for Python's lock. Nor does whoever reads a piece wait for it.
        self._survey = ThreadPoolExecutor(1, "journal-look")
        self._under_way = 0
        self._gives = True

    def ask(self, read: Callable[[], _T], give: Callable[[_T | None], None]) -> None:
        """Have something read, and give it on the loop; None where the disk does not let it be read."""
        self._ask(self._threads, read, give)

    def look(self, read: Callable[[], _T], give: Callable[[_T | None], None]) -> None:
        """The same of what takes a look at whole histories."""
        self._ask(self._survey, read, give)

    def _ask(self, threads: ThreadPoolExecutor, read: Callable[[], _T], give: Callable[[_T | None], None]) -> None:
        if not self._gives:
            return
        self._under_way += 1
        self._loop.run_in_executor(threads, read).add_done_callback(partial(self._read, give))

    def _read(self, give: Callable[[_T | None], None], done: "asyncio.Future[_T]") -> None:
        self._under_way -= 1
        error = None if done.cancelled() else done.exception()
        if not self._gives:
            return
        if isinstance(error, OSError):
            _log.warning("the journal cannot be read", extra={"path": error.filename, "error": error.strerror})
        elif error is not None:
            _log.error("a bug while the journal was read", exc_info=error)
        give(None if error is not None or done.cancelled() else done.result())

    def stop(self) -> None:
        """Give nothing more, nor begin it: the consoles that it is about are being closed."""
        self._gives = False

    def close(self) -> bool:
        """Begin nothing more; gives whether all that was begun has come back."""
        for threads in (self._threads, self._survey):
            threads.shutdown(wait=False, cancel_futures=True)
        return not self._under_way
