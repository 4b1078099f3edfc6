"""One console's records on their way to the disk: a reader of its sequence, as a client is one.

It is woken by news and waits a moment for more; the thread of the writer carries out what it gives. What the disk does
not take is given again after a while, as far as the ring still has it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from virtmux.journal.entries import Marked, Stopped
from virtmuxd.core.archive import Point
from virtmuxd.core.console import Console
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.counters import Counters
from virtmuxd.core.log_fields import of_console
from virtmuxd.service.journal.batches import Batch
from virtmuxd.service.journal.files import ConsoleFiles
from virtmuxd.service.journal.store import Outcome, Work

if TYPE_CHECKING:
    from virtmux.records import Position

_log = logging.getLogger(__name__)

#: Seconds that news wait for more; output that does not wait (bytes); the largest batch (bytes).
_GATHER, _URGENT, _BATCH = 0.25, 1 << 20, 1 << 16
#: Seconds after which a disk that did not take something is tried again.
_RETRY = 5.0

#: What is told to those who watch, and to the log.
_MESSAGES = {
    "journal-failed": "the disk does not take a console's records",
    "journal-recovered": "the disk takes a console's records again",
    "journal-gap": "output of a console is missing in its journal",
}
_LEVELS = {"journal-failed": logging.ERROR, "journal-recovered": logging.INFO, "journal-gap": logging.WARNING}


class Records(NamedTuple):
    """What there is to write. The output begins at `offset`."""

    offset: int
    batches: list[Batch]
    marks: list[Marked]

    @property
    def size(self) -> int:
        """The bytes of output."""
        return sum(len(batch.data) for batch in self.batches)


class _Orders(NamedTuple):
    """What else is to be done with the files: before the records are written, which all came later, and behind."""

    before: list[Callable[[], None]]
    behind: list[Callable[[], None]]


def _carry_out(orders: list[Callable[[], None]]) -> None:
    """One after the other; what is left where the disk does not take one was not done."""
    while orders:
        orders[0]()
        del orders[0]


class ConsoleRecorder:
    """See the module, and `virtmuxd.core.store.Recorder`."""

    def __init__(
        self,
        console: Console,
        files: ConsoleFiles,
        queue: Callable[["ConsoleRecorder"], None],
        counters: Counters,
        *,
        ring: int,
        recorded: Callable[[Point], None],
        released: Callable[[], None],
    ) -> None:
        """Record `console` from what its files have of its history; they are asked first.

        `ring` is the size of its ring, which must not overrun what waits here; `recorded` is told what was written, and
        `released` called when nothing more will be.
        """
        self._console = console
        self._records = console.sequence
        self._files = files
        self._queue = queue
        self._counters = counters
        self._recorded = recorded
        self._released = released
        self._urgent = min(_URGENT, ring // 4)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._next: Point | None = None
        self._orders = _Orders([], [])
        self._given = _Orders([], [])
        self._closed: tuple[Position, Records] | None = None
        self._is_last = False
        self._lost: tuple[int, int] | None = None
        self._failure: str | None = None
        queue(self)

    @property
    def state(self) -> str:
        """`disk`, or `failing`."""
        return "disk" if self._failure is None else "failing"

    @property
    def lag(self) -> int:
        """How many bytes are not written yet; 0 as long as the files were not asked."""
        return 0 if self._next is None or self._closed is not None else self._records.end - self._next[0]

    def rename(self, domain: str, at: int) -> None:
        """The domain has another name."""
        self._order(lambda: self._files.rename(domain, at))

    def move(self, key: ConsoleKey, at: int) -> None:
        """The console went to another hypervisor."""
        self._order(lambda: self._files.move(key.hypervisor, at))

    def forget(self, then: Callable[[], None]) -> None:
        """Delete what was written, by and by; what comes is written as ever, and so are the marks that the ring still
        holds."""
        offset, mark = self._records.end, self._records.nearest.mark

        def forget() -> None:
            self._files.forget(offset, mark)
            self._loop.call_soon_threadsafe(then)

        self._orders.before.append(forget)
        self._queue(self)

    def close(self, at: int) -> None:
        """Write the last records, which are taken out of the ring here and now, and that this is a clean stop."""
        self._stop_timer()
        self._records.record_at(0, None)
        position, boot = self._records.position, self._records.boot
        self._closed = position, self._take(self._next or (self._records.start, 0), room=position.offset)
        stopped = Stopped(
            at=at,
            offset=position.offset,
            mark=position.mark,
            incarnation=self._console.machine.newest.number,
            running_id=self._console.machine.running_id,
            boot_incarnation=boot.incarnation,
            boot_offset=boot.offset,
            boot_mark=boot.mark,
            held_until=self._records.held_until,
            released_until=self._console.machine.claim.released_until,
        )
        self._order(lambda: self._files.stop(stopped))

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.behind.append(order)
        self._queue(self)

    # Woken by news.

    def _listen(self) -> None:
        self._records.record_at(0, self._news)

    def _news(self) -> None:
        """Something came: wait for more of it, but not for too much."""
        if self._next is not None:
            self._wait(_GATHER)
            self._records.record_at(self._next[0] + self._urgent, self._due)

    def _wait(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, self._due)

    def _due(self) -> None:
        self._stop_timer()
        self._records.record_at(0, None)
        self._queue(self)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What the writer calls: `work` and `done` on the loop, what `work` gives in the thread.

    def work(self, room: int) -> tuple[int, Work]:
        """About `room` bytes of what there is to do: how many they are, and what does it."""
        self._given, self._orders, self._lost = self._orders, _Orders([], []), None
        self._is_last = self._closed is not None
        orders, files, is_open, at = self._given, self._files, self._next is not None, time.time_ns()
        here, records = self._closed or (self._records.position, self._due_records(room))

        def work() -> Point:
            if not is_open:
                files.open(here.history, here.offset, here.mark, at)
            _carry_out(orders.before)
            wanted = files.position[0]
            self._lost = (wanted, records.offset) if records.offset > wanted else None
            files.write(records.batches, records.marks, at)
            _carry_out(orders.behind)
            return files.position

        return records.size, work

    def _due_records(self, room: int) -> Records:
        if self._next is None:  # the files are asked first
            return Records(self._records.start, [], [])
        return self._take(self._next, room)

    def _take(self, start: Point, room: int) -> Records:
        """The records from `start` on that the ring has, about `room` bytes of them."""
        records, offset = self._records, max(start[0], self._records.start)
        batches, first, stop = [], offset, min(offset + room, self._records.end)
        while offset < stop:
            data = records.held(offset, min(stop, offset + _BATCH))
            batches.append(Batch(offset, data, *records.times.beats(offset, offset + len(data))))
            offset += len(data)
        marks = [Marked(mark.number, mark.offset, mark.record) for mark in records.final_marks(start[1])]
        return Records(first, batches, marks)

    def done(self, outcome: Outcome) -> None:
        """What came of the last work."""
        if self._lost is not None and self._files.position[0] >= self._lost[1]:  # it stands there
            self._count_lost(*self._lost)
        for loss in self._files.take_losses():
            self._count_lost(loss.offset, loss.to_offset, loss.why)
        if isinstance(outcome, OSError):
            self.failed(outcome)
            return
        self._next = outcome
        if self._is_last:
            self._released()
        elif self._closed is None:
            self._written(outcome)

    def _written(self, point: Point) -> None:
        if self._failure is not None:
            self._failure = None
            self._tell("journal-recovered")
        self._recorded(point)
        if any(self._orders) or self._records.end >= point[0] + self._urgent:
            self._queue(self)
        elif self._records.end > point[0] or self._records.final_marks(point[1]):
            self._news()
        else:
            self._listen()

    def failed(self, error: OSError) -> None:
        """Nothing came of the last work: it is tried again after a while."""
        self._orders = _Orders(*(given + ordered for given, ordered in zip(self._given, self._orders, strict=True)))
        self._given = _Orders([], [])
        text = error.strerror or str(error)
        if self._is_last:
            _log.error("a console's last records are not written", extra={**self.fields, "error": text})
            self._released()
        elif self._closed is None:
            self._records.record_at(0, None)
            self._wait(_RETRY)
            self.fail(text)

    def fail(self, why: str) -> None:
        """The disk takes nothing, or does not answer: tell it, once."""
        first, self._failure = self._failure is None, why
        if first and self._closed is None:
            self._counters.journal_failures += 1
            self._tell("journal-failed", why)

    def _count_lost(self, offset: int, to_offset: int, why: str | None = None) -> None:
        self._counters.journal_lost += to_offset - offset
        self._tell("journal-gap", why, (offset, to_offset))

    def _tell(self, kind: str, detail: str | None = None, span: tuple[int, int] | None = None) -> None:
        self._console.tell(self._console.event(kind, time.time_ns(), detail=detail, span=span))
        offset, to_offset = span or (None, None)
        _log.log(
            _LEVELS[kind],
            _MESSAGES[kind],
            extra={**self.fields, "error": detail, "offset": offset, "to_offset": to_offset},
        )

    @property
    def fields(self) -> dict[str, object]:
        """What the log says of it."""
        return of_console(self._console.id)
