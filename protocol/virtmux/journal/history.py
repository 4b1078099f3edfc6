"""The records of one history, put together from its segments.

Bytes come from whichever segment has them, marks by their numbers from all: a mark may stand in the index behind
batches with greater offsets, also in a later segment. What is not held is named.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, assert_never

from virtmux.journal import files
from virtmux.journal.entries import Marked
from virtmux.journal.names import component
from virtmux.journal.segment import Piece, Segment
from virtmux.journal.times import moment
from virtmux.lines import newline_back
from virtmux.records import Attached, Position

#: The most marks that one `History.read` gives.
MAX_MARKS = 100
_WINDOW = 65536


class Missing(NamedTuple):
    """Records that are not held: those from the first position to the second (excluded). `why` is what the journal
    knows of it."""

    offset: int
    mark: int
    to_offset: int
    to_mark: int
    why: str | None


Record = Piece | Marked | Missing
"""What `History.read` gives."""


class Incarnation(NamedTuple):
    """A start of the domain: its number, when the console was first attached in it (RFC 3339), and where."""

    number: int
    at: str
    position: Position


class History:
    """A console's history as the journal holds it. Not for two threads at once.

    `id` is the history's, `hypervisor`, `uuid` and `device` are the console's. What the daemon adds and rotates is seen
    after `refresh`. All methods may raise OSError where files cannot be read; that they are renamed, cut or gone is no
    error: what they held is not held then.

    A mark that is not final yet is in no file, though bytes behind it may be: whoever reads while the daemon writes
    gives as `to` the position up to which all is final.
    """

    oldest: Position
    """The position of the first record that is held; a mark may stand before all bytes that are."""
    end: Position
    """The position behind the last record that there was, also where that is not held."""
    domains: tuple[str, ...]
    """Every name that the domain had, the newest last."""
    began_at: int
    """When what is held began (ns)."""
    ended_at: int
    """When the last of it happened (ns)."""
    closed: str | None
    """Why nothing more comes into its last segment; None where it grows."""

    def __init__(self, home: Path, hypervisor: str, uuid: str, device: str, segments: Sequence[Segment]) -> None:
        """Use `Journal.histories`. `segments` are those of one history, the oldest first, and at least one."""
        self.id = segments[0].head.history
        self.hypervisor = hypervisor
        self.uuid = uuid
        self.device = device
        self._home = home
        self._join(segments)

    def refresh(self) -> None:
        """Take in what happened to the files since. Where all of them are gone nothing is held from then on, and the
        rest that is said of the history still stands."""
        known = {segment.inode: segment for segment in self._segments}
        segments = [one for one in load_segments(self._home, self.device, known) if one.head.history == self.id]
        if segments:
            self._join(segments)
        else:
            self._hold([])
            self.oldest = self.end

    def _join(self, segments: Sequence[Segment]) -> None:
        self._hold(segments)
        ends = [segment.end for segment in segments]
        self.end = Position(self.id, max(offset for offset, _ in ends), max(mark for _, mark in ends))
        self.oldest = self._first()
        self.domains = newest_last(name for segment in segments for name in segment.names)
        self.began_at = segments[0].head.at
        self.ended_at = max(segment.last_at for segment in segments)
        closed = segments[-1].closed
        self.closed = closed.why if closed else None

    def _hold(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        marks = {mark.number: mark for segment in segments for mark in segment.marks}
        self._marks: list[Marked] = []
        for number in sorted(marks):
            mark = marks[number]
            if not self._marks or mark.offset >= self._marks[-1].offset:
                self._marks.append(mark)
        self._numbers = [mark.number for mark in self._marks]
        self._offsets = [mark.offset for mark in self._marks]

    def _first(self) -> Position:
        start = self._seek(0)
        offset = self.end.offset if start is None else start
        if not self._marks:
            return Position(self.id, offset, self.end.mark)
        return Position(self.id, min(offset, self._offsets[0]), self._numbers[0])

    @property
    def size(self) -> int:
        """What its files take, in bytes."""
        return sum(segment.size for segment in self._segments)

    def align(self, position: Position) -> Position:
        """The position that is meant: its mark number set right where it cannot stand at its offset, as in one that was
        made from an offset alone, with mark 0."""
        behind = bisect_right(self._offsets, position.offset)
        mark = self.passed(position).mark
        if behind < len(self._numbers):
            mark = min(mark, self._numbers[behind])
        return Position(self.id, position.offset, mark)

    def passed(self, position: Position) -> Position:
        """A position where the marks that stand before its offset are passed. It may be behind some more, to a reader
        who was told that it misses them."""
        before = bisect_left(self._offsets, position.offset)
        first = self._numbers[before - 1] + 1 if before else 0
        mark = max(position.mark, first) or self.oldest.mark
        return Position(self.id, position.offset, mark)

    def read(self, position: Position, size: int, to: Position | None = None) -> tuple[list[Record], Position]:
        """The records from a position on, and the position behind them: about `size` bytes, at most `MAX_MARKS` marks,
        and none at or behind `to`, neither by its offset nor by its mark.

        What is not held is one `Missing` up to what is held next. Where nothing more is held: ([], position).
        """
        here, stop = self.passed(position), to or self.end
        records: list[Record] = []
        marks = 0
        while size > 0 and marks < MAX_MARKS and (record := self._next(here, stop, size)):
            records.append(record)
            match record:
                case Piece():
                    here = Position(self.id, record.end, here.mark)
                    size -= len(record.data)
                case Marked():
                    here = Position(self.id, record.offset, record.number + 1)
                    marks += 1
                case Missing():
                    here = Position(self.id, record.to_offset, record.to_mark)
                case _:
                    assert_never(record)
        return records, here

    def _next(self, here: Position, to: Position, size: int) -> Record | None:
        mark = self._mark_from(here, to)
        stop = mark.offset if mark else to.offset
        to_mark = mark.number if mark else here.mark
        if mark and to_mark == here.mark and stop <= here.offset:
            return mark
        piece = self._piece(here.offset, min(size, stop - here.offset))
        if piece and to_mark == here.mark:
            return piece
        held = here.offset if piece else self._seek(here.offset + 1)
        if held is not None and held < stop:
            return self._missing(here, held, to_mark)
        return self._missing(here, stop, to_mark) if mark else None

    def _mark_from(self, here: Position, to: Position) -> Marked | None:
        index = bisect_left(self._numbers, here.mark)
        mark = self._marks[index] if index < len(self._marks) else None
        return mark if mark and mark.number < to.mark and mark.offset <= to.offset else None

    def _missing(self, here: Position, to_offset: int, to_mark: int) -> Missing:
        losses = [loss for segment in self._segments for loss in segment.losses]
        whys = [loss.why for loss in losses if loss.offset < to_offset and here.offset < loss.to_offset]
        return Missing(here.offset, here.mark, to_offset, to_mark, "; ".join(dict.fromkeys(whys)) or None)

    def _seek(self, offset: int) -> int | None:
        found: int | None = None
        for segment in self._segments:  # each opens its log: those that begin behind what was found need not
            if found is None or segment.head.offset < found:
                found = min((each for each in (found, segment.seek(offset)) if each is not None), default=None)
        return found

    def _piece(self, offset: int, size: int) -> Piece | None:
        pieces = (segment.read(offset, size) for segment in self._segments)
        return next((piece for piece in pieces if piece), None)

    def _pieces(self, offset: int, end: int) -> Iterator[Piece]:
        """All bytes between two offsets that are held."""
        while (held := self._seek(offset)) is not None and (piece := self._piece(held, end - held)):
            yield piece
            offset = piece.end

    def bytes(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from this offset on, up to the next that is not held."""
        parts = []
        end = offset + size
        while offset < end and (piece := self._piece(offset, end - offset)):
            parts.append(piece.data)
            offset = piece.end
        return b"".join(parts)

    def lines_back(self, count: int, not_before: Position | None = None) -> int:
        """The offset where the last `count` lines of the held bytes begin, an unfinished last one counted as a line;
        but not before the given position, nor before what is held."""
        bound = max(self.oldest.offset, not_before.offset if not_before else 0)
        end, last = self.end.offset, True
        while count > 0 and (held := self._end_before(end)) is not None and held > bound:
            end = max(bound, held - _WINDOW)
            for piece in reversed(list(self._pieces(end, held))):
                data = piece.data[:-1] if last else piece.data  # a newline at the very end begins no line
                last = False
                newlines = data.count(b"\n")
                if newlines >= count:
                    return piece.offset + newline_back(data, count, len(data)) + 1
                count -= newlines
        return bound if count > 0 else self.end.offset

    def _end_before(self, offset: int) -> int | None:
        ends = [end for segment in self._segments if (end := segment.end_before(offset)) is not None]
        return max(ends, default=None)

    def marks_since(self, at: int) -> list[Marked]:
        """The marks that were made at this time (ns) or later; all with 0."""
        return list(self._since(at))

    def _since(self, at: int) -> Iterator[Marked]:
        return (mark for mark in self._marks if (moment(mark) or 0) >= at)

    def incarnations(self) -> list[Incarnation]:
        """The starts of the domain, in the order of the records. The history may begin in the midst of one."""
        found: dict[int, Incarnation] = {}
        for mark in self._marks:
            if isinstance(mark.record, Attached) and mark.record.incarnation not in found:
                position = Position(self.id, mark.offset, mark.number)
                found[mark.record.incarnation] = Incarnation(mark.record.incarnation, mark.record.at, position)
        return list(found.values())

    def position_at(self, at: int) -> Position:
        """The position of the first record of this time (ns) or later; the end where there is none."""
        offsets = [offset for segment in self._segments if (offset := segment.offset_at(at)) is not None]
        offset = min(offsets, default=self.end.offset)
        mark = next(self._since(at), None)
        if mark and mark.offset <= offset:
            return Position(self.id, mark.offset, mark.number)
        passed = bisect_right(self._offsets, offset)
        number = self._numbers[passed - 1] + 1 if passed else self.oldest.mark
        return Position(self.id, offset, number if offsets else self.end.mark)


def newest_last(names: Iterable[str]) -> tuple[str, ...]:
    """Each of the names once, where it comes last."""
    return tuple(reversed(dict.fromkeys(reversed(list(names)))))


def load_segments(home: Path, device: str, known: dict[int, Segment]) -> list[Segment]:
    """The segments of a device, of all its histories: those put aside, then the oldest first.

    Those that are `known`, by the inodes of their indexes, are only refreshed.
    """
    stem = component(device)

    def load(file: files.IndexFile) -> Segment | None:
        if file.device != stem:
            return None
        segment = known.get(file.inode)
        if segment is None:
            return Segment.load(file.path)
        segment.path = file.path
        return segment if segment.refresh() else None

    return [segment for _, segment in files.settled(home, load)]
