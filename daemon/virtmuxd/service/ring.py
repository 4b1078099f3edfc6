"""A console's ring: its last output and marks in files on a tmpfs, so that a SIGKILL of the daemon loses nothing.

Two files a console: `NAME.ring`, memory-mapped, a header page of u64 words and the output, the byte of offset `o` at
`(o - base) % capacity`; and `NAME.marks`, a line of JSON for each mark and each completion of one.

A process can die between any two stores, but what it has stored stays, in program order. So an append first gives up
the bytes that it will overwrite (`start`), then copies, then commits with one aligned 8-byte store (`end`): whenever it
dies, the bytes in [start, end) are true. A line that was cut short has no newline and is dropped.

The files are trusted after a crash only within one boot of the machine; after another only if a clean stop was
recorded.
"""

import errno
import mmap
import os
from binascii import crc32
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from uuid import uuid4

from msgspec import DecodeError
from msgspec.json import Decoder, Encoder

from virtmuxd.core.sequence import MAX_MARKS, StoredMark

_PAGE = 4096
_MAGIC = int.from_bytes(b"VMXRING1", "little")
_FIRST_CAPACITY = 4 * _PAGE
_MARK_LINES = 4 * MAX_MARKS
_LOW = (1 << 64) - 1
_encoder = Encoder()
_decoder: Decoder[StoredMark] = Decoder(StoredMark)


class _Word(IntEnum):
    """The u64 words of the header. `CHECKSUM` covers those before it, which never change after creation."""

    MAGIC = 0
    HISTORY_HIGH = 1
    HISTORY_LOW = 2
    BASE = 3
    CHECKSUM = 4
    BOOT_HIGH = 5
    BOOT_LOW = 6
    CAPACITY = 7
    START = 8
    END = 9
    HELD_UNTIL = 10
    STOPPED = 11
    INCARNATION = 12
    RUNNING_ID = 13  # plus one: 0 is none


class RingError(Exception):
    """A ring that is there cannot be trusted; the text says why."""


class Ring:
    """The store of one console's sequence (`virtmuxd.core.sequence.Store`)."""

    def __init__(self, path: Path, map_: mmap.mmap, limit: int, marks: list[StoredMark], warn: Callable[[str], None]):
        """Use `Ring.open`. `warn` is told, once, when the ring cannot grow or store a mark."""
        self._path = path
        self._map = map_
        self._words = memoryview(map_).cast("Q")
        self._capacity = self._words[_Word.CAPACITY]
        self._limit = limit // _PAGE * _PAGE
        self._marks = marks
        self._lines = len(marks)
        self._warn = warn

    @classmethod
    def open(cls, path: Path, limit: int, boot: int, warn: Callable[[str], None]) -> "Ring":
        """Open the ring at `path` (without its suffix), or begin a new history where there is none to trust.

        Args:
            limit: the most bytes of output that it may hold.
            boot: the machine's boot id, 128 bits.

        Raises:
            OSError: the files cannot be made.
        """
        try:
            map_ = _verified(path, boot)
            history = _history(memoryview(map_).cast("Q"))
            ring = cls(path, map_, limit, _read_marks(path, history), warn)
        except FileNotFoundError:
            ring = cls(path, _create(path, boot), limit, [], warn)
        except (RingError, OSError, ValueError) as error:
            warn(f"ring {path.name} begins a new history: {error}")
            ring = cls(path, _create(path, boot), limit, [], warn)
        ring._begin(boot)
        return ring

    def _begin(self, boot: int) -> None:
        """From now on only a clean stop makes it last beyond this boot: said last, whenever this process dies."""
        words = self._words
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
    def capacity(self) -> int:
        """How many bytes of output it holds at its present size."""
        return self._capacity

    @property
    def incarnation(self) -> tuple[int, int]:
        return self._words[_Word.INCARNATION], self._words[_Word.RUNNING_ID] - 1

    @property
    def held_until(self) -> int | None:
        return self._words[_Word.HELD_UNTIL] or None

    def remember(self, number: int, running_id: int) -> None:
        self._words[_Word.INCARNATION] = number
        self._words[_Word.RUNNING_ID] = running_id + 1

    def held(self, at: int) -> None:
        self._words[_Word.HELD_UNTIL] = at

    def append(self, data: bytes, at: int) -> None:
        needed = self._words[_Word.END] + len(data) - self._words[_Word.BASE]
        if needed > self._capacity < self._limit:
            self._grow(needed)
        for begin in range(0, len(data), self._capacity):
            self._append(data[begin : begin + self._capacity])
        self._words[_Word.HELD_UNTIL] = at

    def _append(self, data: bytes) -> None:
        words = self._words
        base, end = words[_Word.BASE], words[_Word.END]
        new_end = end + len(data)
        if new_end - words[_Word.START] > self._capacity:
            words[_Word.START] = new_end - self._capacity
        at = _PAGE + (end - base) % self._capacity
        room = _PAGE + self._capacity - at
        if len(data) <= room:
            self._map[at : at + len(data)] = data
        else:
            self._map[at : at + room] = data[:room]
            self._map[_PAGE : _PAGE + len(data) - room] = data[room:]
        words[_Word.END] = new_end

    def read(self, offset: int, size: int) -> bytes:
        at = (offset - self._words[_Word.BASE]) % self._capacity
        size = min(size, self.end - offset, self._capacity - at)
        return self._map[_PAGE + at : _PAGE + at + size]

    def _grow(self, needed: int) -> None:
        """Double the room, which leaves every byte where it is as long as the ring has not wrapped.

        A full tmpfs must not become a SIGBUS: the room is allocated before it is mapped.
        """
        if self._words[_Word.END] - self._words[_Word.BASE] > self._capacity:
            return
        capacity = self._capacity
        while capacity < min(needed, self._limit):
            capacity *= 2
        capacity = min(capacity, self._limit)
        try:
            map_ = _map(self._path.with_suffix(".ring"), _PAGE + capacity)
        except OSError as error:
            self._limit = self._capacity
            self._warn(f"ring {self._path.name} stays at {self._capacity} bytes: {error.strerror}")
            return
        self._release()
        self._map, self._words, self._capacity = map_, memoryview(map_).cast("Q"), capacity
        self._words[_Word.CAPACITY] = capacity

    def marks(self) -> list[StoredMark]:
        return self._marks

    def put_mark(self, mark: StoredMark) -> None:
        line = _encoder.encode(mark) + b"\n"
        path = self._path.with_suffix(".marks")
        try:
            _write(path, line, os.O_APPEND)
            self._lines += 1
            if self._lines > _MARK_LINES:
                self._compact(path)
        except (RingError, OSError) as error:
            self._warn(f"ring {self._path.name} cannot store mark {mark.number}: {error}")

    def _compact(self, path: Path) -> None:
        """Rewrite the marks without those that are no longer held."""
        kept = _read_marks(self._path, self.history)
        new = path.with_suffix(".marks.new")
        lines = b"".join(_encoder.encode(mark) + b"\n" for mark in kept)
        _write(new, self.history.encode() + b"\n" + lines, os.O_TRUNC)
        new.rename(path)
        self._lines = len(kept)

    def close(self, at: int) -> None:
        self._words[_Word.STOPPED] = at
        self._release()

    def _release(self) -> None:
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
    _write(path.with_suffix(".marks"), f"{history:032x}\n".encode(), os.O_TRUNC)
    new = path.with_suffix(".ring.new")
    new.unlink(missing_ok=True)
    map_ = _map(new, _PAGE + _FIRST_CAPACITY)
    words = memoryview(map_).cast("Q")
    words[_Word.MAGIC] = _MAGIC
    words[_Word.HISTORY_HIGH], words[_Word.HISTORY_LOW] = history >> 64, history & _LOW
    words[_Word.BOOT_HIGH], words[_Word.BOOT_LOW] = boot >> 64, boot & _LOW
    words[_Word.CAPACITY] = _FIRST_CAPACITY
    words[_Word.CHECKSUM] = _checksum(words)
    words.release()
    new.rename(path.with_suffix(".ring"))
    return map_


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
    capacity, base, start, end = (words[word] for word in (_Word.CAPACITY, _Word.BASE, _Word.START, _Word.END))
    if not (0 < capacity <= room and base <= start <= end <= start + capacity):
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
    newest = max(marks, default=0)
    first = next(number for number in range(newest, -1, -1) if number - 1 not in marks)
    return [marks[number] for number in range(first, newest + 1) if number in marks][-MAX_MARKS:]


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
