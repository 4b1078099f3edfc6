"""One segment of the journal: an index and its log, read while the daemon may write and rename them.

The index says what there is, the log has the bytes. A batch is there as far as the log reaches, and where its CRC32C is
right; a part of one, which only a crash or a foreign hand leaves at the end of a log, has none of its own and is taken
for true where the batch before it is, or where it is the first and the log surely the one of this index.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from typing import NamedTuple, Self, assert_never

from crc32c import crc32c

from virtmux.journal import files
from virtmux.journal.batches import Batches
from virtmux.journal.entries import (
    FORMAT,
    Batch,
    Closed,
    DamagedError,
    Entry,
    Head,
    Lost,
    Marked,
    Opened,
    Renamed,
    Stopped,
    encode,
    entries,
)
from virtmux.journal.times import moment

#: A batch larger than this is kept once it was verified, for it is read piece by piece.
_LARGE = 65536


class Piece(NamedTuple):
    """Bytes, the first of them at `offset`. `times` says when they came: the first `size` of them `at` (ns), ..."""

    offset: int
    data: bytes
    times: tuple[tuple[int, int], ...]

    @property
    def end(self) -> int:
        """The offset behind its last byte."""
        return self.offset + len(self.data)


class Segment:
    """What an index tells, as far as it is not damaged, and the bytes of its log.

    `head`, `marks`, `losses` and `names` (all that the domain had, the newest last) are as in the index. `closed` is
    its last line where it is finished, `stopped` where a clean stop is the last that happened, `boot` the host's
    boot that it was written in last. `last_at` is the newest of its times (ns).
    """

    head: Head
    boot: str
    _since: int
    """The CRC32C of what was read of the index from its last batch on."""
    _log_size: int

    def __init__(self, path: Path) -> None:
        """Use `Segment.load`."""
        self.path = path
        self._begin(inode=0)

    def _begin(self, inode: int) -> None:
        self.inode = inode
        self.batches = Batches()
        self.marks: list[Marked] = []
        self.losses: list[Lost] = []
        self.names: list[str] = []
        self.closed: Closed | None = None
        self.stopped: Stopped | None = None
        self.last_at = 0
        self._told = 0, 0  # an offset and the number of a mark: there were records up to there
        self._read = 0  # how much of the index
        self._batch = 0  # where its last batch begins there: what stands before is never changed
        self._log: tuple[Path, int] | None = None
        self._kept: tuple[int, bytes] | None = None  # the number of a large batch, and its bytes

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Load the segment of this index; None where there is none, or it does not even begin like one.

        Raises:
            OSError: it cannot be read.
        """
        segment = cls(path)
        return segment if segment.refresh() else None

    def refresh(self) -> bool:
        """Read what was added since; or all anew, where it is another file now or was changed. False: there is none.

        Raises:
            OSError: it cannot be read.
        """
        try:
            with files.open_file(self.path) as file:
                inode, data = files.inode(file), _from(file, self._batch)
                if inode != self.inode or crc32c(data[: self._read - self._batch]) != self._since:
                    self._begin(inode)
                    data = _from(file, 0)
                self._take(data)
        except FileNotFoundError:
            return False
        if not self._read:
            return False
        with self._opened_log():
            return True

    def _take(self, data: bytes) -> None:
        """Take what was added; `data` is all from the last batch that was read on."""
        begin, known = self._batch, self._read
        for entry, end in entries(data[known - begin :]):
            try:
                self._add(entry)
            except DamagedError:
                break
            if isinstance(entry, Batch):
                self._batch = self._read
            self._read = known + end
            self.last_at = moment(entry) or self.last_at
        self._since = crc32c(data[self._batch - begin : self._read - begin])

    def _add(self, entry: Entry) -> None:
        """Raises DamagedError where it cannot stand there."""
        if (self._read == 0) != isinstance(entry, Head):
            raise DamagedError
        told = 0, 0
        match entry:
            case Head():
                if entry.format != FORMAT:
                    raise DamagedError
                self.head, self.boot, self.names = entry, entry.boot, [entry.domain]
                told = entry.offset, entry.mark
            case Opened():
                self.boot, self.stopped = entry.boot, None
            case Batch():
                self.batches.add(entry)
            case Marked():
                self.marks.append(entry)
                told = entry.offset, entry.number + 1
            case Lost():
                self.losses.append(entry)
                told = entry.to_offset, 0
            case Renamed():
                self.names.append(entry.domain)
            case Stopped():
                self.stopped = entry
                told = entry.offset, entry.mark
            case Closed():
                self.closed = entry
            case _:
                assert_never(entry)
        self._told = max(self._told[0], told[0]), max(self._told[1], told[1])

    @property
    def size(self) -> int:
        """What its files take, as far as its index tells, in bytes."""
        return self._read + self.batches.total

    @property
    def end(self) -> tuple[int, int]:
        """The offset and mark behind the last record that there certainly was, whether it can be read or not.

        Of a segment that still grows the last batch counts as far as it is in the log: it may be on its way there.
        """
        offset, mark = self._told
        last = len(self.batches) - 1
        if last >= 0 and (self.closed or self.stopped):
            offset = max(offset, self.batches.end(last))
        elif last >= 0:
            offset = max(offset, self.batches.reach(last, self._log_size))
        return offset, mark

    def read(self, offset: int, size: int) -> Piece | None:
        """At most `size` bytes from this offset on, up to the next that is not there; None where this one is not.

        Raises:
            OSError: the log cannot be read.
        """
        if self.batches.holding(offset) is None:
            return None
        with self._opened_log() as log:
            return self._piece(log, offset, size) if log else None

    def seek(self, offset: int) -> int | None:
        """The first offset from this one on whose byte is there.

        Raises:
            OSError: the log cannot be read.
        """
        first = self.batches.ending_behind(offset)
        if first == len(self.batches):
            return None
        with self._opened_log() as log:
            for number in range(first, len(self.batches)):
                begin = max(offset, self.batches.offset(number))
                if log is None or begin >= self.batches.reach(number, self._log_size):
                    break
                if any(self._held(log, number, number + 1)):
                    return begin
        return None

    def end_before(self, offset: int) -> int | None:
        """The greatest offset up to this one before which, for all that the index says, a byte is there."""
        number = self.batches.beginning_before(offset, self._log_size)
        return min(offset, self.batches.reach(number, self._log_size)) if number >= 0 else None

    def offset_at(self, at: int) -> int | None:
        """The offset of the first byte that came at this time (ns) or later, for all that the index says."""
        return self.batches.offset_at(at, self._log_size)

    def _piece(self, log: FileIO, offset: int, size: int) -> Piece | None:
        first = self.batches.holding(offset)
        if first is None or size <= 0:
            return None
        data = b"".join(self._held(log, first, self.batches.run(first, offset + size)))
        begin = offset - self.batches.offset(first)
        data = data[begin : begin + size]
        return Piece(offset, data, self.batches.times(offset, offset + len(data))) if data else None

    def _held(self, log: FileIO, first: int, stop: int) -> Iterator[bytes]:
        """The bytes of these batches, which follow each other, as far as they are there."""
        if self._kept and self._kept[0] == first:
            yield self._kept[1]
            first += 1
        start = self.batches.start(first)
        size = min(self.batches.start(stop), self._log_size) - start
        data = memoryview(os.pread(log.fileno(), max(0, size), start))
        for number in range(first, stop):
            begin = self.batches.start(number) - start
            part = bytes(data[begin : begin + self.batches.size(number)])
            if not part or not self._true(log, number, part, verified=number > first):
                return
            if len(part) > _LARGE and len(part) == self.batches.size(number):
                self._kept = number, part
            yield part

    def _true(self, log: FileIO, number: int, part: bytes, *, verified: bool) -> bool:
        """Whether these are the bytes of a batch, or the first of them; `verified`: the batch before it was."""
        if len(part) == self.batches.size(number):
            return crc32c(part) == self.batches.crc(number)
        if verified:
            return True
        if number == 0:
            return self._surely_its_own(log)
        before = os.pread(log.fileno(), self.batches.size(number - 1), self.batches.start(number - 1))
        return crc32c(before) == self.batches.crc(number - 1)

    def _surely_its_own(self, log: FileIO) -> bool:
        """Whether an open file is still the log beside this index: its inode, or both, may be used again by now."""
        with ExitStack() as opened:
            beside, index = (_opened(path, opened) for path in (files.log_beside(self.path), self.path))
            if not beside or not index or not files.inode(beside) == files.inode(log) == self.head.inode:
                return False
            first = encode(self.head)
            return os.pread(index.fileno(), len(first), 0) == first

    @contextmanager
    def _opened_log(self) -> Iterator[FileIO | None]:
        """The log, wherever it lies by now; None where it is gone."""
        with ExitStack() as opened:
            log = self._find_log(opened)
            self._log_size = files.size(log) if log else 0
            yield log

    def _find_log(self, opened: ExitStack) -> FileIO | None:
        """The file that is this segment's log: its inode may have been used again, and is another one in a copy.

        So what begins as the index says is preferred; where nothing does, its beginning is damaged.
        """
        if self._log and (log := _opened(self._log[0], opened)) and files.inode(log) == self._log[1]:
            return log
        first = self.batches.size(0) if self.batches else 0
        damaged: FileIO | None = None
        for path in files.logs(self.path, self._log[1] if self._log else self.head.inode):
            if not (log := _opened(path, opened)):
                continue
            whole = 0 < first <= files.size(log)
            sure = files.inode(log) == self.head.inode and path == files.log_beside(self.path)
            if crc32c(os.pread(log.fileno(), first, 0)) == self.batches.crc(0) if whole else sure:
                self._log = path, files.inode(log)
                return log
            if whole:
                damaged = damaged or log
        return damaged


def _opened(path: Path, opened: ExitStack) -> FileIO | None:
    try:
        return opened.enter_context(files.open_file(path))
    except FileNotFoundError:
        return None


def _from(file: FileIO, begin: int) -> bytes:
    file.seek(begin)
    return file.readall()
