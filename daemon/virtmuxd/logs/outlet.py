"""The way of log records out of the daemon: limited, queued, and written by a thread, for which nobody waits."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from virtmuxd.core.log_fields import AUDIT
from virtmuxd.core.log_limit import LogLimit
from virtmuxd.logs.sinks import Sink

_log = logging.getLogger(__name__)

#: Seconds of a window, and how many records of one kind are logged in it. A kind is a message, of one user, console or
#: hypervisor where the record names one.
WINDOW = 60.0
MOST = 20
#: The same of bugs, and of what was done by those who may.
MOST_BUGS = 100
MOST_AUDIT = 1000
#: Records that may wait to be written; what comes then is dropped, and counted.
QUEUE = 4096
#: Whose a record is: the first of these that it names.
_OWNERS = (("uid", "action", "right"), ("uid",), ("hypervisor", "uri", "domain", "uuid", "device"), ("path",), ("uri",))


class _Kind(NamedTuple):
    level: int
    message: str
    owner: tuple[tuple[str, object], ...]


class Outlet(logging.Handler):
    """See the module. `flush_within` ends its thread."""

    def __init__(self, sink: Sink, *, clock: Callable[[], float] = time.monotonic, size: int = QUEUE) -> None:
        """`size`: records that may wait."""
        super().__init__()
        self._sink = sink
        self._clock = clock
        self._limit: LogLimit[_Kind] = LogLimit(WINDOW)
        self._queue: queue.Queue[bytes | None] = queue.Queue(size)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have it written, if there is not too much of its kind, and too many do not wait already."""
        if record.name != __name__ and not self._limit.admits(_kind(record), _most(record), self._clock()):
            return
        try:
            rendered = self._sink.render(record)
        except Exception:  # noqa: BLE001  # a record harms nobody who logs it
            self.handleError(record)
            return
        if threading.current_thread() is self._thread:
            self._write(rendered, getattr(record, "number", 1))
            return
        try:
            self._queue.put_nowait(rendered)
        except queue.Full:
            self._dropped += 1

    def flush_within(self, seconds: float) -> None:
        """Have all written that waits, or give up after so long. What comes later is not written."""
        self._tell_left_out(float("inf"))
        until = time.monotonic() + seconds
        try:
            self._queue.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(max(0.0, until - time.monotonic()))

    def _tell_left_out(self, now: float) -> None:
        with self._locked():
            over = self._limit.over(now)
        for (level, message, owner), number in over:
            _log.log(level, "more like this were not logged", extra={"like": message, "number": number, **dict(owner)})

    # In the thread.

    def _run(self) -> None:
        while True:
            try:
                rendered = self._queue.get(timeout=self._until_next_end())
            except queue.Empty:
                self._tell_left_out(self._clock())
                continue
            if rendered is None:
                return
            self._write(rendered)
            self._tell_dropped()

    def _until_next_end(self) -> float | None:
        """Seconds until there may be something to be told of what was left out; None where nothing was logged."""
        with self._locked():
            end = self._limit.next_end()
        return None if end is None else max(0.0, end - self._clock())

    def _write(self, rendered: bytes, number: int = 1) -> None:
        """`number`: how many records are lost where that cannot be written."""
        try:
            self._sink.write(rendered)
        except OSError:
            with self._locked():
                self._dropped += number

    def _tell_dropped(self) -> None:
        with self._locked():
            dropped, self._dropped = self._dropped, 0
        if dropped:
            _log.error("log records were dropped", extra={"number": dropped})

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """As `emit` is: never while anything is written."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _kind(record: logging.LogRecord) -> _Kind:
    known = vars(record)
    names = next((names for names in _OWNERS if names[-1] in known), ())
    return _Kind(record.levelno, str(record.msg), tuple((name, known[name]) for name in names if name in known))


def _most(record: logging.LogRecord) -> int:
    if record.exc_info:
        return MOST_BUGS
    return MOST_AUDIT if record.name == AUDIT and record.levelno == logging.INFO else MOST
