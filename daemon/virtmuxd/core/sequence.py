"""A console's record sequence: output bytes and the marks between them, with a cursor for each reader.

Everything else reads it: a reader asks for the next frame when it can take one; one that has all is offered what comes.
So a slow reader costs nothing but its cursor. The records themselves lie in a `Store` that is given from outside.
"""

from collections import deque
from collections.abc import Callable
from itertools import dropwhile, takewhile

from virtmux import messages
from virtmux.records import Attached, Ended, Mark, Position, rfc3339
from virtmux.wire import MAX_OUTPUT, encode_output
from virtmuxd.core.archive import Archive, Point
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.pace import WHY, Pace
from virtmuxd.core.store import MAX_MARKS, Boot, Store, StoredMark
from virtmuxd.core.times import Times

#: Marks that may wait for one reader: they are never skipped, so it leaves.
MAX_WAITING_MARKS = 1000
_SECOND = 10**9


class Sequence:
    """Appends records and hands them out as wire frames, the same bytes object to all readers that are level."""

    def __init__(
        self, handle: int, store: Store, observe: Callable[[StoredMark], None], archive: Archive | None = None
    ) -> None:
        """`observe` is called with every mark that comes, once it is final. What the store holds no more is in the
        `archive`."""
        self.handle = handle
        self.archive = archive
        self.times = Times(store.end, store.held_until or 0)
        self._store = store
        self._observe = observe
        self._marks: deque[StoredMark] = deque(store.found_marks(), MAX_MARKS)
        self._next_mark = store.next_mark
        if self._marks and self._marks[-1].number + 1 != self._next_mark:
            self._marks.clear()  # the last ones could not be stored: their numbers are gone
        self._parked: set[Cursor] = set()
        self._shared: dict[int, tuple[int, bytes]] | None = None
        self._recorder: Callable[[], None] | None = None
        self._record_at = 0
        self._pace: Pace | None = None
        self._recover()

    @property
    def start(self) -> int:
        """The offset of the first byte that the store holds."""
        return self._store.start

    @property
    def end(self) -> int:
        """The offset that the next output byte will have."""
        return self._store.end

    @property
    def position(self) -> Position:
        """The position behind the last record."""
        return Position(self._store.history, self._store.end, self._next_mark)

    @property
    def held_until(self) -> int | None:
        """Until when (ns) the console was surely held."""
        return self._store.held_until

    @property
    def boot(self) -> Boot:
        """Where the newest incarnation begins."""
        return self._store.boot

    @property
    def nearest(self) -> Position:
        """The position of the first record that the store holds; a mark may stand before all bytes that it does."""
        if not self._marks:
            return Position(self._store.history, self._store.start, self._next_mark)
        first = self._marks[0]
        return Position(self._store.history, min(first.offset, self._store.start), first.number)

    @property
    def oldest(self) -> Position:
        """The position of the first record that is still held, here or in the archive."""
        nearest = self.nearest
        if self.archive is None:
            return nearest
        offset, mark = self.archive.oldest
        return Position(nearest.history, min(offset, nearest.offset), min(mark, nearest.mark))

    @property
    def held_from(self) -> int:
        """The offset of the first byte that is still held, here or in the archive."""
        return self._store.start if self.archive is None else min(self._store.start, self.archive.oldest[0])

    @property
    def last_end(self) -> Ended | None:
        """The last completed `ended` mark that is held."""
        final = (mark.record for mark in reversed(self._marks) if not mark.reserved)
        return next((record for record in final if isinstance(record, Ended)), None)

    def align(self, position: Position) -> Position:
        """The position of this history that `position` means: its mark number set right where it cannot stand at its
        offset, as in one made from an offset alone.

        Raises:
            ValueError: it is ahead of the records; the text says so.
        """
        here = self.position
        if position.offset > here.offset or position.mark > here.mark:
            raise ValueError(f"position {position} is ahead of the console's records, which end at {here}")
        before = [mark.number for mark in self._marks if mark.offset < position.offset]
        behind = [mark.number for mark in self._marks if mark.offset > position.offset]
        lowest = before[-1] + 1 if before else self.nearest.mark
        highest = behind[0] if behind else here.mark
        # A number below the held ones is left where it can be: the archive has them, or the reader is told.
        missed = 0 < position.mark < self.nearest.mark and not before
        mark = position.mark if missed else max(position.mark, lowest)
        return Position(here.history, position.offset, min(mark, highest))

    def append(self, data: bytes, at: int) -> None:
        """Append output received `at`. Call `publish` once everything that arrived together is appended."""
        self.times.note(self._store.end, at)
        self._store.append(data, at)

    def mark(self, record: Mark) -> StoredMark:
        """Append a mark at the end of the output, and let the readers have it."""
        mark = self._add(record, reserved=False)
        self._observe(mark)
        self._wake()
        return mark

    def reserve(self, record: Mark) -> StoredMark:
        """Append a mark whose record is provisional: readers hold in front of it until `complete`, before which no
        output is to come."""
        return self._add(record, reserved=True)

    def _recover(self) -> None:
        """Complete what a crash left reserved, from what was saved with it."""
        for mark in self._marks:
            if mark.reserved:
                mark.reserved = False
                self._store.put_mark(mark)

    def complete(self, mark: StoredMark, record: Mark) -> None:
        """Give a reserved mark its final record, and let the readers go on."""
        mark.record = record
        mark.reserved = False
        self._store.put_mark(mark)
        self._observe(mark)
        self._wake()

    def _add(self, record: Mark, *, reserved: bool) -> StoredMark:
        mark = StoredMark(self._next_mark, self._store.end, record, reserved)
        self._store.put_mark(mark)
        if isinstance(record, Attached) and record.incarnation != self._store.boot.incarnation:
            self._store.begin_boot(Boot(record.incarnation, mark.offset, mark.number))
        self._next_mark += 1
        self._marks.append(mark)
        return mark

    def publish(self) -> float | None:
        """Wake every parked reader. Where the limit holds output back: after how many seconds to `let_out`."""
        wait = None if self._pace is None else self._pace.advance(self._store.end, self.times.latest / _SECOND)
        self._wake()
        return wait

    def let_out(self, at: int) -> float | None:
        """Let readers have what was held back and may be had at a time (ns); gives the same."""
        if self._pace is None:
            return None
        wait = self._pace.advance(self._store.end, at / _SECOND)
        self._wake()
        return wait

    def limit(self, rate: int) -> None:
        """Let readers have so many bytes a second of what comes; 0: all. What is beyond is a gap to them."""
        if self._pace is None:
            self._pace = Pace(rate, self._store.end) if rate else None
        elif rate:
            self._pace.rate = rate
        else:
            self._pace = None
            self._wake()

    @property
    def _shown(self) -> int:
        """Up to where readers may read now."""
        return self._store.end if self._pace is None else self._pace.shown

    def _wake(self) -> None:
        """If all is let out, serve every parked reader: offer it what came if it waits for nothing else, and wake it
        otherwise. Frames encoded while this runs are shared among them."""
        end = self._store.end
        if self._shown == end:
            parked, self._parked = self._parked, set()
            self._shared = {}
            begin = self._store.start if self._pace is None else max(self._store.start, self._pace.fresh)
            try:
                for cursor in parked:
                    if self._offer(cursor, begin, end):
                        self._parked.add(cursor)
                    else:
                        cursor.wake()
            finally:
                self._shared = None
        if self._recorder is not None and end >= self._record_at:
            self._recorder()

    def _offer(self, cursor: Cursor, begin: int, end: int) -> bool:
        """Offer what came to a reader that waits for nothing but bytes between `begin` and `end`; gives whether it has
        all of them now."""
        if cursor.mark < self._next_mark or cursor.timed or not begin <= cursor.offset < end:
            return False
        reaches, frame = self._peek(cursor.offset, end)
        if not cursor.offer(frame):
            return False
        cursor.offset = reaches
        return reaches == end

    def record_at(self, offset: int, recorder: Callable[[], None] | None) -> None:
        """Call `recorder` at each `publish` at which the output has come to `offset`; 0: at each."""
        self._record_at, self._recorder = offset, recorder

    def park(self, cursor: Cursor) -> None:
        """Offer this reader what comes next, or wake it."""
        self._parked.add(cursor)

    def leave(self, cursor: Cursor) -> None:
        """Forget a reader."""
        self._parked.discard(cursor)

    def take(self, cursor: Cursor) -> bytes | None:
        """The next frame for this reader, its cursor moved behind it; None where it has to park, or, while its cursor
        is `fetching`, is woken without.

        Marks come before the byte at their offset. What is no longer held is named in a `gap`.
        """
        if cursor.pages:
            return cursor.turn()
        if cursor.fetching:
            return None
        first_mark = self._marks[0].number if self._marks else self._next_mark
        if cursor.mark < first_mark:
            reaches = self._marks[0].offset if self._marks else self._store.end
            return self._behind(cursor, (max(cursor.offset, reaches), first_mark), (cursor.offset, first_mark))
        mark = self._marks[cursor.mark - first_mark] if cursor.mark < self._next_mark else None
        if mark is not None and mark.offset <= cursor.offset:
            return self._mark_frame(cursor, mark)
        return self._take_bytes(cursor, self._shown if mark is None else min(mark.offset, self._shown))

    def _mark_frame(self, cursor: Cursor, mark: StoredMark) -> bytes | None:
        if mark.reserved:
            return None
        cursor.mark += 1
        return messages.encode(messages.MarkMessage(self.handle, mark.offset, mark.number, mark.record))

    def _take_bytes(self, cursor: Cursor, stop: int) -> bytes | None:
        """Bytes before `stop`, or what is in their place; None where there are none."""
        if cursor.offset >= stop:
            return None
        if self._pace is not None and cursor.live_from[0] <= cursor.offset < self._pace.fresh:
            return cursor.skip(self.handle, (min(self._pace.fresh, stop), cursor.mark), WHY)
        # In a `publish` are only readers that were level.
        skip = 0 if self._shared is not None else cursor.skips_to(self._shown, self.times)
        if cursor.offset < skip:
            return cursor.skip(self.handle, (min(skip, stop), cursor.mark))
        start = self._store.start
        if cursor.offset < start:
            held = min(start, stop), cursor.mark
            return self._behind(cursor, held, held)
        if cursor.timed and cursor.offset < self.times.known_from and self._recorded_behind(cursor):
            # The archive knows when it came.
            return self._behind(cursor, (min(self.times.known_from, stop), cursor.mark), cursor.point)
        return self._timed_output(cursor, stop) if cursor.timed else self._output(cursor, stop)

    def _recorded_behind(self, cursor: Cursor) -> bool:
        """Whether the archive has the next byte, as far as is known."""
        return self.archive is not None and cursor.void_to is None and cursor.offset < self.archive.end[0]

    def too_slow(self, cursor: Cursor) -> str | None:
        """Why this reader has to leave; None where it may stay."""
        return cursor.too_slow(self._shown, self._next_mark, MAX_WAITING_MARKS, self.times)

    def _behind(self, cursor: Cursor, stop: Point, held: Point) -> bytes | None:
        """The reader wants what the store has no more: ask the archive for what is before `stop`. Where that has
        nothing, there is a gap up to what is `held`; but no further than it was asked, for it may have got since what
        the store has let go of since."""
        if self.archive is None:
            return cursor.skip(self.handle, held)
        void_to = cursor.void_to or cursor.point
        to = min(held[0], void_to[0]), min(held[1], void_to[1])
        if to != cursor.point:
            return cursor.skip(self.handle, to)
        cursor.fetch(self.archive, stop)
        return None

    def _output(self, cursor: Cursor, stop: int) -> bytes:
        cursor.offset, frame = self._peek(cursor.offset, stop)
        return frame

    def _peek(self, offset: int, stop: int) -> tuple[int, bytes]:
        """Output from `offset` on, no further than `stop`, as a frame, and where that ends: whoever is given it has its
        cursor moved there."""
        shared = self._shared.get(offset) if self._shared is not None else None
        if shared is None:
            data = self._store.read(offset, min(stop - offset, MAX_OUTPUT))
            shared = (offset + len(data), encode_output(self.handle, offset, data))
            if self._shared is not None:
                self._shared[offset] = shared
        return shared

    def _timed_output(self, cursor: Cursor, stop: int) -> bytes:
        """Output that came at one time, and before it, where that is another than the last, the time."""
        offset, at = cursor.offset, self.times.at(cursor.offset)
        if at != cursor.told_at:
            cursor.told_at = at
            return messages.encode(messages.Time(self.handle, offset, rfc3339(at)))
        until = self.times.until(offset) or stop
        data = self._store.read(offset, min(stop - offset, until - offset, MAX_OUTPUT))
        cursor.offset += len(data)
        return encode_output(self.handle, offset, data)

    # For those who look back, or write down.

    def held(self, offset: int, end: int) -> bytes:
        """The bytes from `offset` to `end`, which the store holds."""
        pieces = []
        while offset < end:
            pieces.append(self._store.read(offset, end - offset))
            offset += len(pieces[-1])
        return b"".join(pieces)

    def final_marks(self, number: int) -> list[StoredMark]:
        """The marks that are held from a number on, up to the first that is not final."""
        behind = (mark for mark in self._marks if mark.number >= number)
        return list(takewhile(lambda mark: not mark.reserved, behind))

    def forget(self) -> None:
        """Hold nothing of what is there, except the marks from the first that is reserved on: nobody has had those, and
        readers wait for the reason. Those that have not had the others are given a gap."""
        kept = list(dropwhile(lambda mark: not mark.reserved, self._marks))
        self._marks.clear()
        self._store.forget()
        for mark in kept:
            self._store.put_mark(mark)
            self._marks.append(mark)
        if self.archive is not None:
            nearest = self.nearest
            self.archive.forget((nearest.offset, nearest.mark), self._store.end)
