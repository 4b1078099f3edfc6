"""What the files of a console hold when a daemon finds them, and how much of that is true.

Within one boot of the host everything that was written is there: only the end may be missing, where a daemon died
between an index line and its bytes, or while it wrote one of them. After another boot nothing is believed that does not
verify. (A file that somebody changed is told by the same means.)
"""

import os
from contextlib import suppress
from pathlib import Path

from crc32c import crc32c
from msgspec import Struct
from msgspec.structs import replace

from virtmux.journal.entries import (
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
    decode,
    encode,
    entries,
)
from virtmux.journal.names import LOG
from virtmuxd.service.journal.batches import cut_beats
from virtmuxd.service.journal.disk import look
from virtmuxd.service.journal.segments import file, segments


class Walk:
    """What the entries of an index come to, one after the other."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.offset, self.mark = head.offset, head.mark
        self.boot, self.domain = head.boot, head.domain
        self.last: Entry = head
        self.size = 0
        """How many bytes of the log the batches describe."""

    def take(self, entry: Entry) -> None:
        """The next entry."""
        self.last = entry
        match entry:
            case Batch():
                self.offset = entry.end
                self.size += entry.size
            case Lost():
                self.offset = max(self.offset, entry.to_offset)
            case Marked():
                self.mark = entry.number + 1
            case Opened():
                self.boot = entry.boot
            case Renamed():
                self.domain = entry.domain
            case Head() | Stopped() | Closed():
                pass

    @property
    def position(self) -> tuple[int, int]:
        """The offset and the mark that come next."""
        return self.offset, self.mark


class Found(Struct, frozen=True):
    """A segment that grows, as it was found.

    `index` is what its index should hold: all of what is true. `wrong` says what was wrong with it, if anything: then
    nothing more may come into it. `cut` is how much of the log is true, where what follows has to go.
    """

    walk: Walk
    index: bytes
    was: bytes
    wrong: str | None
    cut: int | None

    @property
    def clean(self) -> bool:
        """Whether it ends in a clean stop."""
        return isinstance(self.walk.last, Stopped)


def examine(directory: Path, stem: str, boot: str) -> Found | None:
    """Verify the segment that grows, all of it; None where there is no index that can be read.

    Args:
        boot: the id of this boot.
    """
    growing = (each for each in segments(directory, stem) if each.number is None and each.index is not None)
    segment = next(growing, None)
    if segment is None or segment.index is None or segment.head is None:
        return None
    was = segment.index.read_bytes()
    in_place = segment.log == file(directory, stem, LOG)
    log = _Log(segment.log, segment.head)
    try:
        found = _Examination(segment.head, was, log, boot).found()
    finally:
        log.close()
    if not in_place:
        return replace(found, wrong=found.wrong or f"its log was {'moved' if segment.log else 'deleted'}", cut=None)
    return found


class _Log:
    """The log of an index; `own` where it is surely that, by its inode."""

    def __init__(self, path: Path | None, head: Head) -> None:
        known = look(path) if path is not None else None
        readable = path is not None and known is not None and known.regular
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW) if path and readable else None
        self.size = known.size if known is not None and readable else 0
        self.inode = known.inode if known is not None and readable else head.inode
        self.own = self.inode == head.inode

    def read(self, size: int, at: int) -> bytes:
        return os.pread(self._descriptor, size, at) if self._descriptor is not None else b""

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


class _Examination:
    """Goes through an index and its log side by side.

    Of an index, `_kept` bytes from the beginning are true as they are; `_rest` are lines that follow them.
    """

    def __init__(self, head: Head, index: bytes, log: _Log, boot: str) -> None:
        self._index = index
        self._log = log
        self._boot = boot
        self._same_boot = _last_boot(head, index) == boot
        self._kept = 0
        self._rest: list[Entry] = []
        self._short = False
        self._walk = Walk(head)

    def found(self) -> Found:
        wrong = self._go_through()
        walk, log = self._walk, self._log
        tail = self._index[self._kept :] if not self._short else b""
        if wrong is None and tail and (b"\n" in tail or not self._same_boot):
            wrong = "its index is damaged"
        if wrong is None and self._short and not log.own:
            wrong = "its log was replaced"
        if wrong is None and log.size > walk.size:
            wrong = "its log holds more than it was given"
        index = self._index[: self._kept] + b"".join(map(encode, self._rest))
        if wrong is None and not log.own:  # a copy: everything verifies
            index = encode(replace(walk.head, inode=log.inode)) + index[index.index(b"\n") + 1 :]
            walk.head = replace(walk.head, inode=log.inode)
        return Found(walk, index, self._index, wrong, walk.size if log.own and not self._same_boot else None)

    def _go_through(self) -> str | None:
        """Take what is true; gives what is wrong with the entry behind it, if anything."""
        for entry, end in entries(self._index):
            match entry:
                case Head() if self._kept:
                    return "its index is damaged"
                case Batch() if self._short:
                    continue
                case Lost() if self._short:
                    continue
                case Batch():
                    data = self._log.read(entry.size, self._walk.size)
                    if len(data) < entry.size:
                        if not self._same_boot:
                            return "its log is shorter than its index says"
                        self._short = True
                        # Of a part nothing can be verified: it is believed of what this boot wrote alone.
                        if not data or not self._log.own or self._walk.boot != self._boot:
                            continue
                        entry = _part(entry, data)  # noqa: PLW2901
                    elif crc32c(data) != entry.crc:
                        return "its log is damaged"
                case _:
                    pass
            self._walk.take(entry)
            if self._short:
                self._rest.append(entry)
            else:
                self._kept = end
        return None


def _last_boot(head: Head, index: bytes) -> str:
    """In which boot it was written last, also where something before that is damaged."""
    for line in reversed(index.splitlines(keepends=True)):
        if b'"opened"' in line:
            with suppress(DamagedError):
                if isinstance(entry := decode(line), Opened):
                    return entry.boot
    return head.boot


def _part(batch: Batch, data: bytes) -> Batch:
    """The batch of which only this is there."""
    return Batch(batch.offset, len(data), crc32c(data), batch.at, cut_beats(batch.beats, 0, len(data)))


def last_position(directory: Path, stem: str, history: str) -> tuple[int, int] | None:
    """Where the newest segment of this history ends; None where there is none."""
    for segment in segments(directory, stem):
        if segment.index is not None and segment.head is not None and segment.head.history == history:
            walk = Walk(segment.head)
            for entry, _ in entries(segment.index.read_bytes()):
                walk.take(entry)
            return walk.position
    return None
