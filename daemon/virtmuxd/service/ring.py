"""A console's ring: its last output and marks in files on a tmpfs, so that a SIGKILL of the daemon loses nothing.

`NAME.ring` is memory-mapped: a header page of u64 words (`ring_header.py`) and the output, the byte of offset `o` at
`o % capacity`. The marks lie beside it (`ring_marks.py`). How the files are made, found and removed: `ring_files.py`.

A process can die between any two stores, but what it has stored stays, in program order. So an append first gives up
the bytes that it will overwrite (`start`), then copies, then commits with one aligned 8-byte store (`end`): whenever it
dies, the bytes in [start, end) are true.

The files are trusted after a crash only within one boot of the host; after another only if a clean stop was
recorded. Where the ring is gone, a clean stop in the journal says where the history goes on.
"""

import logging
import mmap
import os
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from virtmuxd.core.store import Boot, StoredMark
from virtmuxd.service.ring_files import create, find, map_file, put_aside, remove_aside, remove_ring, ring_file
from virtmuxd.service.ring_header import PAGE, RingError, Word, boot_id_of, history_in, set_boot_id, set_up
from virtmuxd.service.ring_marks import MarksError, RingMarks, marks_file, older_file

_log = logging.getLogger(__name__)

#: Nanoseconds after which a file system that had no room is asked again.
_ASK_AGAIN = 10 * 10**9


class Life(NamedTuple):
    """Times (ns): when this daemon began, when the one before it began, and until when that one was surely alive."""

    began: int
    former_began: int
    former_alive: int


class Past(NamedTuple):
    """Where the journal says that a history stands; with a `clean` stop it goes on from there without its ring.

    `incarnation` is the newest, with its running id: -1 where that does not run, or means nothing in this boot. `boot`
    is where the newest begins of which there are records. `held_until` and `released_until` are times (ns), or None.
    """

    history: str
    offset: int
    mark: int
    clean: bool
    incarnation: tuple[int, int]
    boot: Boot
    held_until: int | None
    released_until: int | None


class Ring:
    """The store of one console's sequence (`virtmuxd.core.store.Store`)."""

    def __init__(self, path: Path | None, map_: mmap.mmap, limit: int, began: int) -> None:
        """Use `Ring.open` or `Ring.in_memory`; without a `path` it lies in this process's memory alone."""
        self._path = path
        self._map = map_
        self._words = memoryview(map_).cast("Q")
        self._capacity = self._words[Word.CAPACITY]
        self._limit = limit // PAGE * PAGE
        self._marks: RingMarks | None = None
        self._found: list[StoredMark] = []
        self._began = began
        #: When the file system had no room to grow into.
        self._refused_at: int | None = None

    @classmethod
    def open(
        cls, path: Path, limit: int, boot_id: int, life: Life, past: Past | None = None, *, standing: bool = False
    ) -> "Ring":
        """Open the ring at `path` (without its suffix), or begin a new history where there is none to trust and the
        journal's `past` does not go on.

        Where no files can be made it lies in memory: the console works, and a crash forgets it.

        Args:
            limit: the most bytes of output that it may hold.
            boot_id: of the host, 128 bits.
            standing: the journal may have a clean stop that cannot be taken back: after another boot the history would
                go on there, so a ring that was stopped then does not go on.
        """
        try:
            ring = cls._find(path, limit, boot_id, life, past, standing=standing)
        except FileNotFoundError:
            ring = cls._new(path, limit, boot_id, life, past)
        except (RingError, MarksError, OSError, ValueError) as error:
            ring = cls._new(path, limit, boot_id, life, past)
            new = past is None or ring.history != past.history
            _log.warning(
                "a ring begins a new history" if new else "a ring goes on from its journal",
                extra={"path": path.name, "error": str(error)},
            )
        ring.begin(boot_id, life)
        return ring

    @classmethod
    def in_memory(cls, limit: int, life: Life) -> "Ring":
        """A new history in this process's memory alone."""
        limit = limit // PAGE * PAGE
        map_ = mmap.mmap(-1, PAGE + limit)
        with memoryview(map_) as bytes_, bytes_.cast("Q") as words:
            set_up(words, uuid4().int, 0, limit)
        return cls(None, map_, limit, life.began)

    @classmethod
    def _find(cls, path: Path, limit: int, boot_id: int, life: Life, past: Past | None, *, standing: bool) -> "Ring":
        map_ = find(path, boot_id)
        words = memoryview(map_).cast("Q")
        if standing and words[Word.STOPPED]:
            raise RingError("the clean stop in its journal cannot be taken back")
        marks, found = RingMarks.find(path, history_in(words))
        _fit(found, words[Word.END])
        if past is not None and past.history == history_in(words) and past.offset > words[Word.END]:
            raise RingError("it is older than its journal")
        ring = cls(path, map_, limit, life.began)
        ring._marks, ring._found = marks, found
        return ring

    @classmethod
    def _new(cls, path: Path, limit: int, boot_id: int, life: Life, past: Past | None) -> "Ring":
        goes_on = past if past is not None and past.clean else None
        history = int(goes_on.history, 16) if goes_on is not None else uuid4().int
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            map_, marks = create(path, boot_id, history)
        except OSError as error:
            _log.error("a ring lies in memory alone", extra={"path": path.name, "error": error.strerror})
            return cls.in_memory(limit, life)
        ring = cls(path, map_, limit, life.began)
        ring._marks = marks
        if goes_on is not None:
            ring._go_on_from(goes_on)
        return ring

    def _go_on_from(self, past: Past) -> None:
        words = self._words
        words[Word.NEXT_MARK], words[Word.START], words[Word.END] = past.mark, past.offset, past.offset
        self.remember(*past.incarnation)
        words[Word.HELD_UNTIL] = past.held_until or 0
        self.begin_boot(past.boot)
        self.release(past.released_until)

    def begin(self, boot_id: int, life: Life) -> None:
        """From now on only a clean stop makes it last beyond this boot: said last, whenever this process dies."""
        words = self._words
        if words[Word.HOLDING] == life.former_began != 0 and not words[Word.STOPPED]:
            # The daemon before this one died, and held the console to its end.
            words[Word.HELD_UNTIL] = max(words[Word.HELD_UNTIL], life.former_alive)
        words[Word.HOLDING] = 0
        if self._found:
            words[Word.NEXT_MARK] = max(words[Word.NEXT_MARK], self._found[-1].number + 1)
        if boot_id_of(words) != boot_id:
            words[Word.RUNNING_ID] = 0
            set_boot_id(words, boot_id)
        words[Word.STOPPED] = 0

    @property
    def history(self) -> str:
        return history_in(self._words)

    @property
    def start(self) -> int:
        return self._words[Word.START]

    @property
    def end(self) -> int:
        return self._words[Word.END]

    @property
    def next_mark(self) -> int:
        return self._words[Word.NEXT_MARK]

    @property
    def incarnation(self) -> tuple[int, int]:
        return self._words[Word.INCARNATION], self._words[Word.RUNNING_ID] - 1

    @property
    def held_until(self) -> int | None:
        return self._words[Word.HELD_UNTIL] or None

    @property
    def released_until(self) -> int | None:
        return self._words[Word.RELEASED_UNTIL] or None

    @property
    def boot(self) -> Boot:
        words = self._words
        return Boot(words[Word.BOOT_INCARNATION], words[Word.BOOT_OFFSET], words[Word.BOOT_MARK])

    def begin_boot(self, boot: Boot) -> None:
        words = self._words
        words[Word.BOOT_INCARNATION], words[Word.BOOT_OFFSET], words[Word.BOOT_MARK] = boot

    def release(self, until: int | None) -> None:
        self._words[Word.RELEASED_UNTIL] = until or 0

    def remember(self, number: int, running_id: int) -> None:
        self._words[Word.INCARNATION] = number
        self._words[Word.RUNNING_ID] = running_id + 1

    def hold(self, at: int) -> None:
        self._words[Word.HELD_UNTIL] = at
        self._words[Word.HOLDING] = self._began

    def let_go(self, at: int) -> None:
        self._words[Word.HELD_UNTIL] = at
        self._words[Word.HOLDING] = 0

    def append(self, data: bytes, at: int) -> None:
        needed = self._words[Word.END] - self._words[Word.START] + len(data)
        if needed > self._capacity < self._limit:
            self._grow(needed, at)
        for begin in range(0, len(data), self._capacity):
            self._append(data[begin : begin + self._capacity])
        self._words[Word.HELD_UNTIL] = at

    def _append(self, data: bytes) -> None:
        words = self._words
        end = words[Word.END]
        new_end = end + len(data)
        if new_end - words[Word.START] > self._capacity:
            words[Word.START] = new_end - self._capacity
        at = PAGE + end % self._capacity
        room = PAGE + self._capacity - at
        if len(data) <= room:
            self._map[at : at + len(data)] = data
        else:
            self._map[at : at + room] = data[:room]
            self._map[PAGE : PAGE + len(data) - room] = data[room:]
        words[Word.END] = new_end

    def read(self, offset: int, size: int) -> bytes:
        at = offset % self._capacity
        size = min(size, self.end - offset, self._capacity - at)
        return self._map[PAGE + at : PAGE + at + size]

    def _grow(self, needed: int, at: int) -> None:
        """Make room for so many bytes, as far as the limit allows. Where the file system does not, it is asked again
        only after a while."""
        if self._refused_at is not None and 0 <= at - self._refused_at < _ASK_AGAIN:
            return
        capacity = self._room(needed)
        if self._path is None or capacity == self._capacity:
            self._limit = self._capacity
            return
        try:
            map_ = map_file(ring_file(self._path), PAGE + capacity)
        except OSError as error:
            if self._refused_at is None:
                why = {"bytes": self._capacity, "error": error.strerror}
                _log.warning("a ring cannot grow", extra={"path": self._path.name, **why})
            self._refused_at = at
            return
        self._refused_at = None
        self._unmap()
        self._map, self._words = map_, memoryview(map_).cast("Q")
        self._spread(capacity)

    def _room(self, needed: int) -> int:
        """By doubling, so that each byte is where it was or in the new room. The limit is no double where it is none:
        it is for a ring that has not wrapped yet."""
        capacity = self._capacity
        while capacity < min(needed, self._limit):
            capacity *= 2
        if capacity <= self._limit:
            return capacity
        return self._limit if self.end <= self._capacity else capacity // 2

    def _spread(self, capacity: int) -> None:
        """Take the new room into use. What has another place there is copied before the store that makes it count, and
        what was there stays, so a death at any moment leaves the truth."""
        former, offset = self._capacity, self.start
        while offset < self.end:
            begin, place = offset % former, offset % capacity
            size = min(former - begin, self.end - offset)
            if place != begin:
                self._map[PAGE + place : PAGE + place + size] = self._map[PAGE + begin : PAGE + begin + size]
            offset += size
        self._capacity = self._words[Word.CAPACITY] = capacity

    def found_marks(self) -> list[StoredMark]:
        return self._found

    def put_mark(self, mark: StoredMark) -> None:
        # Before anybody sees the mark: its number is not used again, even if the mark itself cannot be stored.
        self._words[Word.NEXT_MARK] = max(self.next_mark, mark.number + 1)
        if self._marks is None:
            return
        try:
            self._marks.put(mark)
        except OSError as error:
            _log.error("a mark cannot be stored", extra={**self._name, "mark": mark.number, "error": error.strerror})

    def forget(self) -> None:
        self._words[Word.START] = self.end
        self._map[PAGE:] = bytes(len(self._map) - PAGE)
        try:
            if self._marks is not None and self._path is not None:
                self._marks.forget()
                remove_aside(self._path)
        except OSError as error:
            _log.error("marks cannot be forgotten", extra={**self._name, "error": error.strerror})

    def close(self, at: int) -> None:
        self._words[Word.STOPPED] = at
        unused = self.end == 0 and self.next_mark == 1 and self.released_until is None
        self._unmap()
        if unused and self._path is not None:
            remove_ring(self._path)

    def move(self, path: Path) -> None:
        """Go on under another name (without its suffix); a ring that is there is kept under its history's.

        Whenever a crash comes in between, one of the two names has all files, and the other has not.
        """
        former = self._path
        if former is None or self._marks is None:
            return
        files = [file for file in (marks_file, older_file) if file(former).exists()]
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            put_aside(path)
            for file in files:
                file(path).unlink(missing_ok=True)
                os.link(file(former), file(path))
            ring_file(former).rename(ring_file(path))
            self._path = path
            self._marks.moved(path)
            for file in files:
                file(former).unlink()
        except OSError as error:
            _log.error(
                "a ring cannot be moved", extra={"path": former.name, "new_path": path.name, "error": error.strerror}
            )

    @property
    def _name(self) -> dict[str, str]:
        return {"path": self._path.name if self._path is not None else "in memory"}

    def _unmap(self) -> None:
        self._words.release()
        self._map.close()


def _fit(marks: list[StoredMark], end: int) -> None:
    """Check that the marks stand in order within the output.

    Raises:
        RingError: they do not.
    """
    offsets = [0, *(mark.offset for mark in marks), end]
    if offsets != sorted(offsets):
        raise RingError("its marks do not fit its output")
