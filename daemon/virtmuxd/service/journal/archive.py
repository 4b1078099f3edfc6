"""What the journal holds of one history, for readers of its console that are behind the ring
(`virtmuxd.core.archive.Archive`)."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import assert_never

from virtmux.journal.entries import Marked
from virtmux.journal.history import History, Missing, Record
from virtmux.journal.segment import Piece
from virtmux.messages import Gap, MarkMessage, Time, encode
from virtmux.records import Position, rfc3339
from virtmux.replay_cut import cut_in
from virtmux.wire import MAX_OUTPUT, encode_output
from virtmuxd.core.archive import Page, Point, Seek, Sought
from virtmuxd.service.journal.readers import Readers

#: How much is read for a reader at once, in bytes.
_PIECE = 65536
#: Seconds for which the files are known after the last that was read.
_KEEP = 30.0
_BEGINNING: Point = (0, 1)


class DiskArchive:
    """Reads in threads, one at a time; the files are opened when they are first wanted."""

    def __init__(self, handle: int, find: Callable[[], History | None], readers: Readers) -> None:
        """`find` gives the history, read in a thread; None where the journal has nothing of it."""
        self._oldest = self._end = self._forgotten = _BEGINNING
        self._forgotten_output = 0
        self._handle = handle
        self._find_history = find
        self._readers = readers
        self._history: History | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._lock = threading.Lock()

    def recorded(self, end: Point) -> None:
        """The journal has all before `end`."""
        self._end = end

    @property
    def oldest(self) -> Point:
        """See `Archive`."""
        return _later(self._oldest, self._forgotten)

    @property
    def end(self) -> Point:
        """See `Archive`."""
        return _later(self._end, self._forgotten)

    def forget(self, point: Point, output: int) -> None:
        """See `Archive`. It may be in the files for a while."""
        self._forgotten, self._forgotten_output = point, output

    def fetch(self, start: Point, stop: Point, *, timed: bool, give: Callable[[list[Page]], None]) -> None:
        """See `Archive`."""
        self._keep_open()
        begin = _earlier(_later(start, self._forgotten), stop)
        gap = [_gap(self._handle, Missing(*start, *begin, None))] if begin != start else []
        read = partial(self._fetch, begin, stop, timed=timed)
        self._readers.ask(read, lambda pages: give(gap + (pages or [])))

    def _keep_open(self) -> None:
        """What was read of the files stays in memory as long as somebody reads."""
        if self._closing is not None:
            self._closing.cancel()
        self._closing = asyncio.get_running_loop().call_later(_KEEP, self._drop)

    def close(self) -> None:
        """Nobody will read: keep nothing for whoever comes next."""
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None

    def _drop(self) -> None:
        self._closing = None
        if self._lock.acquire(blocking=False):
            self._history = None
            self._lock.release()
        else:
            self._keep_open()

    def _fetch(self, start: Point, stop: Point, *, timed: bool) -> list[Page]:
        with self._lock:
            records = _read(self._history, start, stop) if self._history is not None else []
            if not records or any(isinstance(record, Missing) for record in records):
                # As far as was known; what came since, or was renamed, is found by another look at the files, which
                # costs ten times as much as reading.
                history = self._refreshed()
                records = _read(history, start, stop) if history is not None else []
        return list(_pages(self._handle, records, start[1], self._forgotten_output, timed=timed))

    def find(self, sought: Sought, give: Callable[[Point | None], None]) -> None:
        """See `Archive`."""
        self._keep_open()
        self._readers.ask(partial(self._find, sought), give)

    def _find(self, sought: Sought) -> Point | None:
        with self._lock:
            history = self._refreshed()
            if history is None:
                return None
            position = _seek(history, sought)
            point = position.offset, position.mark
            # Whoever names an offset is told what is missing from there on.
            return point if sought.kind is Seek.OFFSET else _later(point, self._forgotten)

    def _refreshed(self) -> History | None:
        if self._history is not None:
            self._history.refresh()
        if self._history is None or not self._history.size:  # it may lie somewhere else, since a guest was migrated
            self._history = self._find_history()
        if self._history is not None:
            self._oldest = self._history.oldest.offset, self._history.oldest.mark
        return self._history


def _later(one: Point, other: Point) -> Point:
    return max(one[0], other[0]), max(one[1], other[1])


def _earlier(one: Point, other: Point) -> Point:
    return min(one[0], other[0]), min(one[1], other[1])


def _read(history: History, start: Point, stop: Point) -> list[Record]:
    here = history.passed(Position(history.id, *start))
    records, _ = history.read(here, _PIECE, Position(history.id, *stop))
    if records and here.mark > start[1]:  # a reader with a number that cannot stand there
        return [Missing(*start, *start[:1], here.mark, None), *records]
    return records


def _seek(history: History, sought: Sought) -> Position:
    match sought.kind:
        case Seek.OLDEST:
            return history.oldest
        case Seek.OFFSET:
            offset = sought.number
        case Seek.LINE:
            begin = history.oldest.offset
            offset = cut_in(lambda start, end: history.bytes(start, end - start), begin, sought.number)
        case Seek.LINES:
            offset = history.lines_back(sought.number)
        case Seek.SINCE:
            return history.position_at(sought.number)
        case _:
            assert_never(sought.kind)
    return history.align(Position(history.id, offset, 0))


def _pages(handle: int, records: Iterable[Record], mark: int, forgotten: int, *, timed: bool) -> Iterator[Page]:
    """The records as frames, from a mark on; output before `forgotten` is missing though it is in the files."""
    for record in records:
        match record:
            case Piece(offset) if offset < forgotten:
                yield _gap(handle, Missing(offset, mark, record.end, mark, None))
            case Piece(offset, data):
                yield from _timed(handle, record, mark) if timed else _output(handle, offset, data, mark)
            case Marked(number, offset, mark_record):
                mark = number + 1
                yield Page(encode(MarkMessage(handle, offset, number, mark_record)), offset, mark)
            case Missing():
                mark = record.to_mark
                yield _gap(handle, record)
            case _:
                assert_never(record)


def _gap(handle: int, missing: Missing) -> Page:
    return Page(encode(Gap(handle, *missing)), missing.to_offset, missing.to_mark, is_gap=True)


def _output(handle: int, offset: int, data: bytes, mark: int) -> Iterator[Page]:
    for begin in range(0, len(data), MAX_OUTPUT):
        piece = data[begin : begin + MAX_OUTPUT]
        yield Page(encode_output(handle, offset + begin, piece), offset + begin + len(piece), mark)


def _timed(handle: int, piece: Piece, mark: int) -> Iterator[Page]:
    begin = 0
    for size, at in piece.times:
        offset = piece.offset + begin
        yield Page(encode(Time(handle, offset, rfc3339(at))), offset, mark)
        yield from _output(handle, offset, piece.data[begin : begin + size], mark)
        begin += size
