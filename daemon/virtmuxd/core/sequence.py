"""A console's record sequence: output bytes and the marks between them, with a cursor for each reader.

Everything else reads it: a reader asks for the next frame when it can take one, so that a slow reader costs nothing
but its cursor. The bytes themselves lie in a `Store` given from outside (in the daemon: the ring file).
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from virtmux import messages
from virtmux.records import Ended, Mark, Position
from virtmux.wire import MAX_OUTPUT, encode_output

#: Marks held for readers. More than these and the oldest are forgotten; readers that missed them are told the range.
MAX_MARKS = 1024


class StoredMark(Struct):
    """A mark as the store keeps it. While `reserved`, `record` is what was known at the moment of failure, and readers
    hold in front of it until the mark is completed."""

    number: int
    offset: int
    record: Mark
    reserved: bool = False


class Store(Protocol):
    """Where a sequence lies. `start` to `end` are the offsets of the bytes it still holds.

    It also keeps what a console needs to go on after a restart of the daemon: the newest incarnation it knew (number
    and running id), until when (ns) it was surely held, and until when it is released: 0, -1, None and None in a new
    one.
    """

    @property
    def history(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def next_mark(self) -> int: ...
    @property
    def incarnation(self) -> tuple[int, int]: ...
    @property
    def held_until(self) -> int | None: ...
    @property
    def released_until(self) -> int | None: ...

    def append(self, data: bytes, at: int) -> None:
        """Take output that was received `at`; it must be safe from a crash of the daemon when this returns."""

    def read(self, offset: int, size: int) -> bytes:
        """Between 1 and `size` held bytes from `offset`, which lies in [start, end)."""

    def found_marks(self) -> list[StoredMark]:
        """The marks that were found when the store was opened, in order of their numbers and without holes."""

    def put_mark(self, mark: StoredMark) -> None:
        """Store a mark, or its completion; safe when this returns."""

    def hold(self, at: int) -> None:
        """Store that the console is held from now on."""

    def let_go(self, at: int) -> None:
        """Store that it is held no more."""

    def remember(self, number: int, running_id: int) -> None:
        """Store the newest incarnation."""

    def release(self, until: int | None) -> None:
        """Store until when the console is released."""

    def close(self, at: int) -> None:
        """Record a clean stop and let go of the store."""


class Cursor:
    """A reader's place in a sequence: the next byte and the next mark it will be given.

    `wake` is called when a parked reader has something to take. It must not raise.
    """

    __slots__ = ("mark", "offset", "wake")

    def __init__(self, offset: int, mark: int, wake: Callable[[], None]) -> None:
        self.offset = offset
        self.mark = mark
        self.wake = wake


class Sequence:
    """Appends records and hands them out as wire frames, the same bytes object to all readers that are level."""

    def __init__(self, handle: int, store: Store, observe: Callable[[StoredMark], None]) -> None:
        """`observe` is called with every mark, once it is final."""
        self.handle = handle
        self._store = store
        self._observe = observe
        self._marks: deque[StoredMark] = deque(store.found_marks(), MAX_MARKS)
        self._next_mark = store.next_mark
        if self._marks and self._marks[-1].number + 1 != self._next_mark:
            self._marks.clear()  # the last ones could not be stored: their numbers are gone
        self._parked: set[Cursor] = set()
        self._shared: dict[int, tuple[int, bytes]] | None = None

    @property
    def end(self) -> int:
        """The offset that the next output byte will have."""
        return self._store.end

    @property
    def position(self) -> Position:
        """The position behind the last record."""
        return Position(self._store.history, self._store.end, self._next_mark)

    @property
    def oldest(self) -> Position:
        """The position of the first record that is still held; a mark may stand before all bytes that are."""
        if not self._marks:
            return Position(self._store.history, self._store.start, self._next_mark)
        first = self._marks[0]
        return Position(self._store.history, min(first.offset, self._store.start), first.number)

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
        lowest = before[-1] + 1 if before else self.oldest.mark
        highest = behind[0] if behind else here.mark
        # A number below the held ones is left where it can be: the reader is told which marks it missed.
        missed = 0 < position.mark < self.oldest.mark and not before
        mark = position.mark if missed else max(position.mark, lowest)
        return Position(here.history, position.offset, min(mark, highest))

    def append(self, data: bytes, at: int) -> None:
        """Append output received `at`. Call `publish` once everything that arrived together is appended."""
        self._store.append(data, at)

    def mark(self, record: Mark) -> StoredMark:
        """Append a mark at the end of the output, and publish it."""
        mark = self._add(record, reserved=False)
        self._observe(mark)
        self.publish()
        return mark

    def reserve(self, record: Mark) -> StoredMark:
        """Append a mark whose record is provisional: readers hold in front of it until `complete`."""
        return self._add(record, reserved=True)

    def recover(self) -> None:
        """Complete what a crash left reserved, from what was saved with it. Nobody reads yet."""
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
        self.publish()

    def _add(self, record: Mark, *, reserved: bool) -> StoredMark:
        mark = StoredMark(self._next_mark, self._store.end, record, reserved)
        self._store.put_mark(mark)
        self._next_mark += 1
        self._marks.append(mark)
        return mark

    def publish(self) -> None:
        """Wake every parked reader. Frames encoded while this runs are shared among them."""
        parked, self._parked = self._parked, set()
        self._shared = {}
        try:
            for cursor in parked:
                cursor.wake()
        finally:
            self._shared = None

    def park(self, cursor: Cursor) -> None:
        """Wake this reader at the next `publish`."""
        self._parked.add(cursor)

    def leave(self, cursor: Cursor) -> None:
        """Forget a reader."""
        self._parked.discard(cursor)

    def take(self, cursor: Cursor) -> bytes | None:
        """The next frame for this reader, its cursor moved behind it; None where it has to park.

        Marks come before the byte at their offset. What is no longer held is named in a `gap`.
        """
        first_mark = self._marks[0].number if self._marks else self._next_mark
        if cursor.mark < first_mark:
            return self._gap(cursor, cursor.offset, first_mark)
        mark = self._marks[cursor.mark - first_mark] if cursor.mark < self._next_mark else None
        if mark is not None and mark.offset <= cursor.offset:
            if mark.reserved:
                return None
            cursor.mark += 1
            return messages.encode(messages.MarkMessage(self.handle, mark.offset, mark.number, mark.record))
        stop = self._store.end if mark is None else mark.offset
        if cursor.offset < self._store.start:
            return self._gap(cursor, min(self._store.start, stop), cursor.mark)
        if cursor.offset < stop:
            return self._output(cursor, stop)
        return None

    def _gap(self, cursor: Cursor, to_offset: int, to_mark: int) -> bytes:
        gap = messages.Gap(self.handle, cursor.offset, cursor.mark, to_offset, to_mark)
        cursor.offset, cursor.mark = to_offset, to_mark
        return messages.encode(gap)

    def _output(self, cursor: Cursor, stop: int) -> bytes:
        offset = cursor.offset
        shared = self._shared.get(offset) if self._shared is not None else None
        if shared is None:
            data = self._store.read(offset, min(stop - offset, MAX_OUTPUT))
            shared = (offset + len(data), encode_output(self.handle, offset, data))
            if self._shared is not None:
                self._shared[offset] = shared
        cursor.offset, frame = shared
        return frame
