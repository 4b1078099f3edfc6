"""A console's ring: its last output and marks in files on a tmpfs, so that a SIGKILL of the daemon loses nothing.

`NAME.ring` is memory-mapped: a header page of u64 words and the output, the byte of offset `o` at `o % capacity`. The
marks lie beside it (`ring_marks.py`).

A process can die between any two stores, but what it has stored stays, in program order. So an append first gives up
the bytes that it will overwrite (`start`), then copies, then commits with one aligned 8-byte store (`end`): whenever it
dies, the bytes in [start, end) are true.

The files are trusted after a crash only within one boot of the machine; after another only if a clean stop was
recorded. Where the ring is gone, a clean stop in the journal says where the history goes on.
"""

import logging
import mmap
import os
from binascii import crc32
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from virtmuxd.core.sequence import Boot, StoredMark
from virtmuxd.service.ring_marks import MarksError, RingMarks, history_of, marks_file, older_file

_log = logging.getLogger(__name__)

_PAGE = 4096
_MAGIC = int.from_bytes(b"VMXRING1", "little")
_FIRST_CAPACITY = 4 * _PAGE
#: Nanoseconds after which a file system that had no room is asked again.
_ASK_AGAIN = 10 * 10**9
_MAX_U32, _MAX_U63 = (1 << 32) - 1, (1 << 63) - 1
_LOW = (1 << 64) - 1


class _Word:
    """The u64 words of the header, by index. Plain ints: an enum's member takes twice as long, and each packet touches
    several. `CHECKSUM` covers those that never change after creation."""

    MAGIC = 0
    HISTORY_HIGH = 1
    HISTORY_LOW = 2
    CHECKSUM = 3
    BOOT_HIGH = 4
    BOOT_LOW = 5
    CAPACITY = 6
    START = 7
    END = 8
    NEXT_MARK = 9
    HELD_UNTIL = 10
    HOLDING = 11  # since when the daemon that holds the console has been running; 0: nobody holds it
    STOPPED = 12
    INCARNATION = 13
    RUNNING_ID = 14  # plus one: 0 is none
    RELEASED_UNTIL = 15  # 0: it is not
    BOOT_INCARNATION = 16  # the newest incarnation of which there are records, and where they begin
    BOOT_OFFSET = 17
    BOOT_MARK = 18


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


class RingError(Exception):
    """A ring that is there cannot be trusted; the text says why."""


class Ring:
    """The store of one console's sequence (`virtmuxd.core.sequence.Store`)."""

    def __init__(self, path: Path | None, map_: mmap.mmap, limit: int, began: int) -> None:
        """Use `Ring.open` or `Ring.in_memory`; without a `path` it lies in this process's memory alone."""
        self._path = path
        self._map = map_
        self._words = memoryview(map_).cast("Q")
        self._capacity = self._words[_Word.CAPACITY]
        self._limit = limit // _PAGE * _PAGE
        self._marks: RingMarks | None = None
        self._found: list[StoredMark] = []
        self._began = began
        #: When the file system had no room to grow into.
        self._refused_at: int | None = None

    @classmethod
    def open(
        cls, path: Path, limit: int, boot: int, life: Life, past: Past | None = None, *, standing: bool = False
    ) -> "Ring":
        """Open the ring at `path` (without its suffix), or begin a new history where there is none to trust and the
        journal's `past` does not go on.

        Where no files can be made it lies in memory: the console works, and a crash forgets it.

        Args:
            limit: the most bytes of output that it may hold.
            boot: the machine's boot id, 128 bits.
            standing: the journal may have a clean stop that cannot be taken back: after another boot the history would
                go on there, so a ring that was stopped then does not go on.
        """
        try:
            ring = cls._find(path, limit, boot, life, past, standing=standing)
        except FileNotFoundError:
            ring = cls._new(path, limit, boot, life, past)
        except (RingError, MarksError, OSError, ValueError) as error:
            ring = cls._new(path, limit, boot, life, past)
            new = past is None or ring.history != past.history
            _log.warning(
                "a ring begins a new history" if new else "a ring goes on from its journal",
                extra={"path": path.name, "error": str(error)},
            )
        ring.begin(boot, life)
        return ring

    @classmethod
    def in_memory(cls, limit: int, life: Life) -> "Ring":
        """A new history in this process's memory alone."""
        limit = limit // _PAGE * _PAGE
        map_ = mmap.mmap(-1, _PAGE + limit)
        _set_up(map_, uuid4().int, 0, limit)
        return cls(None, map_, limit, life.began)

    @classmethod
    def _find(cls, path: Path, limit: int, boot: int, life: Life, past: Past | None, *, standing: bool) -> "Ring":
        map_ = _verified(path, boot)
        words = memoryview(map_).cast("Q")
        if standing and words[_Word.STOPPED]:
            raise RingError("the clean stop in its journal cannot be taken back")
        marks, found = RingMarks.find(path, _history(words))
        _fit(found, words[_Word.END])
        if past is not None and past.history == _history(words) and past.offset > words[_Word.END]:
            raise RingError("it is older than its journal")
        ring = cls(path, map_, limit, life.began)
        ring._marks, ring._found = marks, found
        return ring

    @classmethod
    def _new(cls, path: Path, limit: int, boot: int, life: Life, past: Past | None) -> "Ring":
        goes_on = past if past is not None and past.clean else None
        history = int(goes_on.history, 16) if goes_on is not None else uuid4().int
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            map_, marks = _create(path, boot, history)
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
        words[_Word.NEXT_MARK], words[_Word.START], words[_Word.END] = past.mark, past.offset, past.offset
        self.remember(*past.incarnation)
        words[_Word.HELD_UNTIL] = past.held_until or 0
        self.begin_boot(past.boot)
        self.release(past.released_until)

    def begin(self, boot: int, life: Life) -> None:
        """From now on only a clean stop makes it last beyond this boot: said last, whenever this process dies."""
        words = self._words
        if words[_Word.HOLDING] == life.former_began != 0 and not words[_Word.STOPPED]:
            # The daemon before this one died, and held the console to its end.
            words[_Word.HELD_UNTIL] = max(words[_Word.HELD_UNTIL], life.former_alive)
        words[_Word.HOLDING] = 0
        if self._found:
            words[_Word.NEXT_MARK] = max(words[_Word.NEXT_MARK], self._found[-1].number + 1)
        if _boot(words) != boot:
            words[_Word.RUNNING_ID] = 0
            words[_Word.BOOT_HIGH], words[_Word.BOOT_LOW] = boot >> 64, boot & _LOW
        words[_Word.STOPPED] = 0

    @property
    def history(self) -> str:
        return _history(self._words)

    @property
    def start(self) -> int:
        return self._words[_Word.START]

    @property
    def end(self) -> int:
        return self._words[_Word.END]

    @property
    def next_mark(self) -> int:
        return self._words[_Word.NEXT_MARK]

    @property
    def incarnation(self) -> tuple[int, int]:
        return self._words[_Word.INCARNATION], self._words[_Word.RUNNING_ID] - 1

    @property
    def held_until(self) -> int | None:
        return self._words[_Word.HELD_UNTIL] or None

    @property
    def released_until(self) -> int | None:
        return self._words[_Word.RELEASED_UNTIL] or None

    @property
    def boot(self) -> Boot:
        words = self._words
        return Boot(words[_Word.BOOT_INCARNATION], words[_Word.BOOT_OFFSET], words[_Word.BOOT_MARK])

    def begin_boot(self, boot: Boot) -> None:
        words = self._words
        words[_Word.BOOT_INCARNATION], words[_Word.BOOT_OFFSET], words[_Word.BOOT_MARK] = boot

    def release(self, until: int | None) -> None:
        self._words[_Word.RELEASED_UNTIL] = until or 0

    def remember(self, number: int, running_id: int) -> None:
        self._words[_Word.INCARNATION] = number
        self._words[_Word.RUNNING_ID] = running_id + 1

    def hold(self, at: int) -> None:
        self._words[_Word.HELD_UNTIL] = at
        self._words[_Word.HOLDING] = self._began

    def let_go(self, at: int) -> None:
        self._words[_Word.HELD_UNTIL] = at
        self._words[_Word.HOLDING] = 0

    def append(self, data: bytes, at: int) -> None:
        needed = self._words[_Word.END] - self._words[_Word.START] + len(data)
        if needed > self._capacity < self._limit:
            self._grow(needed, at)
        for begin in range(0, len(data), self._capacity):
            self._append(data[begin : begin + self._capacity])
        self._words[_Word.HELD_UNTIL] = at

    def _append(self, data: bytes) -> None:
        words = self._words
        end = words[_Word.END]
        new_end = end + len(data)
        if new_end - words[_Word.START] > self._capacity:
            words[_Word.START] = new_end - self._capacity
        at = _PAGE + end % self._capacity
        room = _PAGE + self._capacity - at
        if len(data) <= room:
            self._map[at : at + len(data)] = data
        else:
            self._map[at : at + room] = data[:room]
            self._map[_PAGE : _PAGE + len(data) - room] = data[room:]
        words[_Word.END] = new_end

    def read(self, offset: int, size: int) -> bytes:
        at = offset % self._capacity
        size = min(size, self.end - offset, self._capacity - at)
        return self._map[_PAGE + at : _PAGE + at + size]

    def _grow(self, needed: int, at: int) -> None:
        """Make room for so many bytes, as far as the limit allows. Where the file system does not, it is asked again
        only after a while.

        A full tmpfs must not become a SIGBUS: the room is allocated before it is mapped.
        """
        if self._refused_at is not None and 0 <= at - self._refused_at < _ASK_AGAIN:
            return
        capacity = self._room(needed)
        if self._path is None or capacity == self._capacity:
            self._limit = self._capacity
            return
        try:
            map_ = _map(self._path.with_suffix(".ring"), _PAGE + capacity)
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
                self._map[_PAGE + place : _PAGE + place + size] = self._map[_PAGE + begin : _PAGE + begin + size]
            offset += size
        self._capacity = self._words[_Word.CAPACITY] = capacity

    def found_marks(self) -> list[StoredMark]:
        return self._found

    def put_mark(self, mark: StoredMark) -> None:
        # Before anybody sees the mark: its number is not used again, even if the mark itself cannot be stored.
        self._words[_Word.NEXT_MARK] = max(self.next_mark, mark.number + 1)
        if self._marks is None:
            return
        try:
            self._marks.put(mark)
        except OSError as error:
            _log.error("a mark cannot be stored", extra={**self._name, "mark": mark.number, "error": error.strerror})

    def forget(self) -> None:
        self._words[_Word.START] = self.end
        self._map[_PAGE:] = bytes(len(self._map) - _PAGE)
        try:
            if self._marks is not None and self._path is not None:
                self._marks.forget()
                remove_aside(self._path)
        except OSError as error:
            _log.error("marks cannot be forgotten", extra={**self._name, "error": error.strerror})

    def close(self, at: int) -> None:
        self._words[_Word.STOPPED] = at
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
            _put_aside(path)
            for file in files:
                file(path).unlink(missing_ok=True)
                os.link(file(former), file(path))
            former.with_suffix(".ring").rename(path.with_suffix(".ring"))
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


def remove_ring(path: Path) -> None:
    """Delete the files of the ring at `path` (without its suffix), which nobody has open."""
    for file in (path.with_suffix(".ring"), marks_file(path), older_file(path)):
        file.unlink(missing_ok=True)


def remove_aside(path: Path) -> None:
    """Delete what `Ring.move` has put aside of the ring at `path`."""
    for file in path.parent.glob(f"{path.name}_{'[0-9a-f]' * 32}.*"):
        file.unlink(missing_ok=True)


def _history(words: memoryview) -> str:
    return f"{words[_Word.HISTORY_HIGH]:016x}{words[_Word.HISTORY_LOW]:016x}"


def _boot(words: memoryview) -> int:
    high, low = words[_Word.BOOT_HIGH], words[_Word.BOOT_LOW]
    return int(high << 64 | low)


def _checksum(words: memoryview) -> int:
    return crc32(words[: _Word.CHECKSUM].tobytes())


def _create(path: Path, boot: int, history: int) -> tuple[mmap.mmap, RingMarks]:
    """A new ring: the marks first, the ring last and whole, so that a crash in between leaves neither."""
    marks = RingMarks.begin(path, f"{history:032x}")
    new = path.with_suffix(".ring.new")
    new.unlink(missing_ok=True)
    map_ = _map(new, _PAGE + _FIRST_CAPACITY)
    _set_up(map_, history, boot, _FIRST_CAPACITY)
    new.rename(path.with_suffix(".ring"))
    return map_, marks


def _set_up(map_: mmap.mmap, history: int, boot: int, capacity: int) -> None:
    words = memoryview(map_).cast("Q")
    words[_Word.MAGIC] = _MAGIC
    words[_Word.HISTORY_HIGH], words[_Word.HISTORY_LOW] = history >> 64, history & _LOW
    words[_Word.CHECKSUM] = _checksum(words)
    words[_Word.BOOT_HIGH], words[_Word.BOOT_LOW] = boot >> 64, boot & _LOW
    words[_Word.CAPACITY] = capacity
    words[_Word.NEXT_MARK] = words[_Word.BOOT_MARK] = 1
    words.release()


def _put_aside(path: Path) -> None:
    """Keep a ring whose name is needed for another, under its history's name."""
    if marks_file(path).exists():
        aside = path.with_name(f"{path.name}_{history_of(path)}")
        for suffix in (".ring", ".marks", ".older-marks"):
            if path.with_suffix(suffix).exists():
                path.with_suffix(suffix).rename(aside.with_suffix(suffix))


def _map(path: Path, size: int) -> mmap.mmap:
    """Map `size` bytes of a file, made and allocated as needed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def _verified(path: Path, boot: int) -> mmap.mmap:
    """Map the ring that is there.

    Raises:
        FileNotFoundError: there is none.
        RingError: it cannot be trusted.
    """
    file = path.with_suffix(".ring")
    size = file.stat().st_size
    if size < _PAGE + _FIRST_CAPACITY or size % _PAGE:
        raise RingError(f"its file has {size} bytes")
    map_ = _map(file, size)
    words = memoryview(map_).cast("Q")
    try:
        _verify(words, size - _PAGE, boot)
    except RingError:
        words.release()
        map_.close()
        raise
    words.release()
    return map_


def _verify(words: memoryview, room: int, boot: int) -> None:
    if words[_Word.MAGIC] != _MAGIC or words[_Word.CHECKSUM] != _checksum(words):
        raise RingError("its header is damaged")
    if _boot(words) != boot and not words[_Word.STOPPED]:
        raise RingError("the machine was restarted without a clean stop of virtmuxd")
    capacity, start, end = words[_Word.CAPACITY], words[_Word.START], words[_Word.END]
    counts = words[_Word.NEXT_MARK] > 0 and max(words[_Word.INCARNATION], words[_Word.BOOT_INCARNATION]) <= _MAX_U32
    fits = all(words[word] <= _MAX_U63 for word in range(_Word.START, _Word.BOOT_MARK + 1))
    if not (counts and fits and 0 < capacity <= room and start <= end <= start + capacity):
        raise RingError("its bounds are damaged")


def _fit(marks: list[StoredMark], end: int) -> None:
    """Check that the marks stand in order within the output.

    Raises:
        RingError: they do not.
    """
    offsets = [0, *(mark.offset for mark in marks), end]
    if offsets != sorted(offsets):
        raise RingError("its marks do not fit its output")
