"""A console's ring: its last output and marks in files on a tmpfs, so that a SIGKILL of the daemon loses nothing.

Two files a console: `NAME.ring`, memory-mapped, a header page of u64 words and the output, the byte of offset `o` at
`o % capacity`; and `NAME.marks`, a line of JSON for each mark and each completion of one.

A process can die between any two stores, but what it has stored stays, in program order. So an append first gives up
the bytes that it will overwrite (`start`), then copies, then commits with one aligned 8-byte store (`end`): whenever it
dies, the bytes in [start, end) are true. A line that was cut short has no newline and is dropped.

The files are trusted after a crash only within one boot of the machine; after another only if a clean stop was
recorded.
"""

import errno
import logging
import mmap
import os
from binascii import crc32
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from msgspec import DecodeError
from msgspec.json import Decoder, Encoder

from virtmuxd.core.sequence import MAX_MARKS, StoredMark

_log = logging.getLogger(__name__)

_PAGE = 4096
_MAGIC = int.from_bytes(b"VMXRING1", "little")
_FIRST_CAPACITY = 4 * _PAGE
_MAX_INCARNATION = (1 << 32) - 1
_MAX_OFFSET = (1 << 63) - 1
_MARK_LINES = 4 * MAX_MARKS
_LOW = (1 << 64) - 1
_encoder = Encoder()
_decoder: Decoder[StoredMark] = Decoder(StoredMark)


class _Word(IntEnum):
    """The u64 words of the header. `CHECKSUM` covers those that never change after creation."""

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


class Life(NamedTuple):
    """Times (ns): when this daemon began, when the one before it began, and until when that one was surely alive."""

    began: int
    former_began: int
    former_alive: int


class RingError(Exception):
    """A ring that is there cannot be trusted; the text says why."""


class Ring:
    """The store of one console's sequence (`virtmuxd.core.sequence.Store`)."""

    def __init__(self, path: Path | None, map_: mmap.mmap, limit: int, marks: list[StoredMark], began: int) -> None:
        """Use `Ring.open`. Without a `path` it lies in this process's memory alone."""
        self._path = path
        self._map = map_
        self._words = memoryview(map_).cast("Q")
        self._capacity = self._words[_Word.CAPACITY]
        self._limit = limit // _PAGE * _PAGE
        self._marks = marks
        self._lines = len(marks)
        self._began = began

    @classmethod
    def open(cls, path: Path, limit: int, boot: int, life: Life) -> "Ring":
        """Open the ring at `path` (without its suffix), or begin a new history where there is none to trust.

        Where no files can be made it lies in memory: the console works, and a crash forgets it.

        Args:
            limit: the most bytes of output that it may hold.
            boot: the machine's boot id, 128 bits.
        """
        try:
            map_ = _verified(path, boot)
            words = memoryview(map_).cast("Q")
            ring = cls(path, map_, limit, _fitting(_read_marks(path, _history(words)), words[_Word.END]), life.began)
        except FileNotFoundError:
            ring = cls._new(path, limit, boot, life.began)
        except (RingError, OSError, ValueError) as error:
            _log.warning("a ring begins a new history", extra={"ring": path.name, "why": str(error)})
            ring = cls._new(path, limit, boot, life.began)
        ring.begin(boot, life)
        return ring

    @classmethod
    def _new(cls, path: Path, limit: int, boot: int, began: int) -> "Ring":
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            return cls(path, _create(path, boot), limit, [], began)
        except OSError as error:
            _log.error("a ring lies in memory alone", extra={"ring": path.name, "why": error.strerror})
            limit = limit // _PAGE * _PAGE
            map_ = mmap.mmap(-1, _PAGE + limit)
            _set_up(map_, uuid4().int, boot, limit)
            return cls(None, map_, limit, [], began)

    def begin(self, boot: int, life: Life) -> None:
        """From now on only a clean stop makes it last beyond this boot: said last, whenever this process dies."""
        words = self._words
        if words[_Word.HOLDING] == life.former_began != 0 and not words[_Word.STOPPED]:
            # The daemon before this one died, and held the console to its end.
            words[_Word.HELD_UNTIL] = max(words[_Word.HELD_UNTIL], life.former_alive)
        words[_Word.HOLDING] = 0
        if self._marks:
            words[_Word.NEXT_MARK] = max(words[_Word.NEXT_MARK], self._marks[-1].number + 1)
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
        needed = self._words[_Word.END] + len(data)
        if needed > self._capacity < self._limit:
            self._grow(needed)
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

    def _grow(self, needed: int) -> None:
        """Double the room, which leaves every byte where it is as long as the ring has not wrapped.

        A full tmpfs must not become a SIGBUS: the room is allocated before it is mapped.
        """
        if self._path is None or self._words[_Word.END] > self._capacity:
            return
        capacity = self._capacity
        while capacity < min(needed, self._limit):
            capacity *= 2
        capacity = min(capacity, self._limit)
        try:
            map_ = _map(self._path.with_suffix(".ring"), _PAGE + capacity)
        except OSError as error:
            self._limit = self._capacity
            why = {"bytes": self._capacity, "why": error.strerror}
            _log.warning("a ring cannot grow", extra={"ring": self._path.name, **why})
            return
        self._unmap()
        self._map, self._words, self._capacity = map_, memoryview(map_).cast("Q"), capacity
        self._words[_Word.CAPACITY] = capacity

    def found_marks(self) -> list[StoredMark]:
        return self._marks

    def put_mark(self, mark: StoredMark) -> None:
        # Before anybody sees the mark: its number is not used again, even if the mark itself cannot be stored.
        self._words[_Word.NEXT_MARK] = max(self.next_mark, mark.number + 1)
        if self._path is None:
            return
        path = self._path.with_suffix(".marks")
        try:
            _write(path, _encoder.encode(mark) + b"\n", os.O_APPEND)
            self._lines += 1
            if self._lines > _MARK_LINES:
                self._lines = _compact(self._path, self.history)
        except (RingError, OSError) as error:
            _log.error("a mark cannot be stored", extra={"ring": path.name, "mark": mark.number, "why": str(error)})

    def close(self, at: int) -> None:
        self._words[_Word.STOPPED] = at
        unused = self.end == 0 and self.next_mark == 1 and self.released_until is None
        self._unmap()
        if unused and self._path is not None:
            for suffix in (".ring", ".marks"):
                self._path.with_suffix(suffix).unlink(missing_ok=True)

    def move(self, path: Path) -> None:
        """Go on under another name (without its suffix); a ring that is there is kept under its history's.

        Whenever a crash comes in between, one of the two names has both files, and the other has not both.
        """
        former = self._path
        if former is None:
            return
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _put_aside(path)
            os.link(former.with_suffix(".marks"), path.with_suffix(".marks"))
            former.with_suffix(".ring").rename(path.with_suffix(".ring"))
            self._path = path
            former.with_suffix(".marks").unlink()
        except OSError as error:
            _log.error("a ring cannot be moved", extra={"ring": former.name, "to": path.name, "why": error.strerror})

    def _unmap(self) -> None:
        self._words.release()
        self._map.close()


def _history(words: memoryview) -> str:
    return f"{words[_Word.HISTORY_HIGH]:016x}{words[_Word.HISTORY_LOW]:016x}"


def _boot(words: memoryview) -> int:
    high, low = words[_Word.BOOT_HIGH], words[_Word.BOOT_LOW]
    return int(high << 64 | low)


def _checksum(words: memoryview) -> int:
    return crc32(words[: _Word.CHECKSUM].tobytes())


def _create(path: Path, boot: int) -> mmap.mmap:
    """A new history: the marks first, the ring last and whole, so that a crash in between leaves neither."""
    history = uuid4().int
    path.with_suffix(".marks").unlink(missing_ok=True)  # never truncated: a crash while it moved may have left a link
    _write(path.with_suffix(".marks"), f"{history:032x}\n".encode(), os.O_TRUNC)
    new = path.with_suffix(".ring.new")
    new.unlink(missing_ok=True)
    map_ = _map(new, _PAGE + _FIRST_CAPACITY)
    _set_up(map_, history, boot, _FIRST_CAPACITY)
    new.rename(path.with_suffix(".ring"))
    return map_


def _set_up(map_: mmap.mmap, history: int, boot: int, capacity: int) -> None:
    words = memoryview(map_).cast("Q")
    words[_Word.MAGIC] = _MAGIC
    words[_Word.HISTORY_HIGH], words[_Word.HISTORY_LOW] = history >> 64, history & _LOW
    words[_Word.CHECKSUM] = _checksum(words)
    words[_Word.BOOT_HIGH], words[_Word.BOOT_LOW] = boot >> 64, boot & _LOW
    words[_Word.CAPACITY] = capacity
    words[_Word.NEXT_MARK] = 1
    words.release()


def _put_aside(path: Path) -> None:
    """Keep a ring whose name is needed for another, under its history's name."""
    marks = path.with_suffix(".marks")
    if marks.exists():
        history = marks.read_bytes()[:32].decode(errors="replace")
        for suffix in (".ring", ".marks"):
            path.with_suffix(suffix).rename(path.with_name(f"{path.name}_{history}").with_suffix(suffix))


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
    counts = words[_Word.NEXT_MARK] > 0 and words[_Word.INCARNATION] <= _MAX_INCARNATION
    if not (counts and 0 < capacity <= room and start <= end <= min(start + capacity, _MAX_OFFSET)):
        raise RingError("its bounds are damaged")


def _read_marks(path: Path, history: str) -> list[StoredMark]:
    """The marks of this history, completions put in their place; at most those that are held, and without holes: what
    stands before one that could not be stored is given up. A last line that was cut short is removed.

    Raises:
        RingError: the file is gone or belongs to another history, or a line in it is damaged.
    """
    file = path.with_suffix(".marks")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise RingError(f"its marks cannot be read: {error.strerror}") from error
    whole = data[: data.rfind(b"\n") + 1]
    head, _, lines = whole.partition(b"\n")
    if head != history.encode():
        raise RingError("its marks belong to another history")
    marks: dict[int, StoredMark] = {}
    try:
        for line in lines.splitlines():
            mark = _decoder.decode(line)
            marks[mark.number] = mark
    except (DecodeError, UnicodeDecodeError) as error:
        raise RingError(f"its marks are damaged: {error}") from error
    if len(whole) < len(data):
        os.truncate(file, len(whole))
    held: list[StoredMark] = []
    for number in sorted(marks):
        if held and held[-1].number != number - 1:
            held.clear()
        held.append(marks[number])
    return held[-MAX_MARKS:]


def _fitting(marks: list[StoredMark], end: int) -> list[StoredMark]:
    """The marks, which stand in order within the output.

    Raises:
        RingError: they do not.
    """
    offsets = [0, *(mark.offset for mark in marks), end]
    if offsets != sorted(offsets):
        raise RingError("its marks do not fit its output")
    return marks


def _compact(path: Path, history: str) -> int:
    """Rewrite the marks without those that are no longer held; gives how many are left."""
    kept = _read_marks(path, history)
    new = path.with_suffix(".marks.new")
    lines = b"".join(_encoder.encode(mark) + b"\n" for mark in kept)
    _write(new, history.encode() + b"\n" + lines, os.O_TRUNC)
    new.rename(path.with_suffix(".marks"))
    return len(kept)


def _write(path: Path, data: bytes, flags: int) -> None:
    """Write all of `data` with one system call, or nothing and raise OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, data) != len(data):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)
