"""A plain model of a console's journal: what happens is written to files and noted down, byte by byte."""

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

from tests.harness.journal_writer import JournalWriter
from virtmux.journal.entries import Marked
from virtmux.records import Note, parse_time, rfc3339

KEEP = 3
MS = 1_000_000


class Batched(NamedTuple):
    """Bytes `size` ... come with these `beats` after `skipped` bytes that the journal missed, `later` ms after what
    came before; the clock may go back."""

    beats: list[tuple[bytes, int]]
    skipped: int
    later: int


class Reserved(NamedTuple):
    """A mark is made here, after `skipped` ones that never come to the journal; it is written later."""

    skipped: int


class Written(NamedTuple):
    """So many of the marks are final and written."""

    marks: int


class Rotated(NamedTuple):
    """The segment is full."""


class LogRenamed(NamedTuple):
    """Somebody gives the log of the segment before a name of his own."""


class LogDeleted(NamedTuple):
    """The log of a former segment is deleted."""

    segment: int


class Spoiled(NamedTuple):
    """A byte in a log is not what it was."""

    segment: int
    byte: int


class Torn(NamedTuple):
    """A line of an index is not what it was."""

    segment: int
    line: int


Step = Batched | Reserved | Written | Rotated | LogRenamed | LogDeleted | Spoiled | Torn

_beats = st.lists(st.tuples(st.text("ab\n", min_size=1, max_size=6).map(str.encode), st.integers(0, 40)), min_size=1)
_grow = st.one_of(
    st.builds(Batched, _beats, st.sampled_from([0, 0, 0, 3]), st.integers(-5, 3000)),
    st.builds(Reserved, st.sampled_from([0, 0, 0, 2])),
    st.builds(Written, st.integers(1, 3)),
    st.builds(Rotated),
)
_segment = st.integers(0, KEEP)
_harm = st.one_of(
    st.builds(LogRenamed),
    st.builds(LogDeleted, _segment),
    st.builds(Spoiled, _segment, st.integers(0, 200)),
    st.builds(Torn, _segment, st.integers(0, 20)),
)
STEPS: st.SearchStrategy[list[Step]] = st.lists(_grow | _grow | _grow | _harm, max_size=40)


@dataclass
class BatchModel:
    offset: int
    data: bytes
    times: list[int]
    true: bool = True


@dataclass
class SegmentModel:
    log: Path | None = None
    """Where its log lies, if it was renamed."""
    lines: list[BatchModel | Marked] = field(default_factory=list)
    batches: list[BatchModel] = field(default_factory=list)
    """All that are in the log."""
    torn_at: int | None = None
    lost: bool = False

    def readable(self) -> list[BatchModel | Marked]:
        return self.lines[: self.torn_at]


class JournalModel:
    """Carries out steps; then `bytes_`, `listed` and `marks` say what is held."""

    def __init__(self, writer: JournalWriter) -> None:
        self.writer = writer
        self.segments = [SegmentModel()]
        self._offset, self._mark = 0, 1
        self._pending: list[Marked] = []
        self._names = count()
        writer.begin()

    def do(self, step: Step) -> None:
        match step:
            case Batched():
                self._batch(step)
            case Reserved():
                self._mark += step.skipped
                at = rfc3339(self.writer.at)
                self._pending.append(Marked(self._mark, self._offset, Note(at, "paused")))
                self._mark += 1
            case Written():
                for mark in self._pending[: step.marks]:
                    self.writer.write(mark)
                    self.segments[-1].lines.append(mark)
                del self._pending[: step.marks]
            case Rotated():
                self.writer.rotate(keep=KEEP)
                self.segments = [*self.segments, SegmentModel()][-KEEP - 1 :]
                self.writer.begin(offset=self._offset, mark=self._pending[0].number if self._pending else self._mark)
            case _:
                self._harm(step)

    def cut(self, size: int) -> None:
        """A crash: so many of the last bytes of the log are not there, but of the last batch alone."""
        last = self.segments[-1]
        if not (size and last.batches and last.torn_at is None and last.lines[-1] is last.batches[-1]):
            return
        *others, batch = last.batches
        if batch.true:
            left = max(0, len(batch.data) - size)
            with self.writer.log().open("r+b") as log:
                log.truncate(sum(len(one.data) for one in others) + left)
            batch.data, batch.times = batch.data[:left], batch.times[:left]
            batch.true = not others or others[-1].true

    def _batch(self, step: Batched) -> None:
        self._offset += step.skipped
        self.writer.at += step.later * MS
        data = b"".join(part for part, _ in step.beats)
        self.writer.batch(self._offset, data, [(len(part), ms) for part, ms in step.beats])
        times = [self.writer.at + ms * MS for part, ms in step.beats for _ in part]
        batch = BatchModel(self._offset, data, times)
        self.segments[-1].lines.append(batch)
        self.segments[-1].batches.append(batch)
        self._offset += len(data)

    def _harm(self, step: Step) -> None:
        number = step.segment if isinstance(step, LogDeleted | Spoiled | Torn) else 1
        if number >= len(self.segments):
            return
        segment = self.segments[-1 - number]
        name = number - 1 if number else None
        log = segment.log or self.writer.log(name)
        match step:
            case LogRenamed() if not segment.lost and not segment.log:
                segment.log = log.rename(log.with_name(f"serial0.log-{next(self._names)}"))
            case LogDeleted() if number and not segment.lost:
                # Its inode stays its own: of another log with the same bytes nobody could tell that it is not this one.
                log.rename(self.writer.directory / f"deleted-{next(self._names)}")
                segment.lost = True
            case Spoiled() if segment.batches and not segment.lost:
                self._spoil(segment, log, step.byte)
            case Torn() if segment.torn_at is None and segment.lines:
                segment.torn_at = step.line % len(segment.lines)
                index = self.writer.index(name)
                lines = index.read_bytes().splitlines(keepends=True)
                lines[1 + segment.torn_at] = b"?" + lines[1 + segment.torn_at][1:]
                index.write_bytes(b"".join(lines))
            case _:
                pass

    @staticmethod
    def _spoil(segment: SegmentModel, log: Path, byte: int) -> None:
        data = bytearray(log.read_bytes())
        byte %= len(data)
        place = 0
        for batch in segment.batches:
            if place <= byte < place + len(batch.data) and batch.true:
                data[byte] ^= 0xFF
                log.write_bytes(data)
                batch.true = False
            place += len(batch.data)

    @property
    def bytes_(self) -> dict[int, tuple[int, int]]:
        """Each byte that can be read, by its offset, with its time."""
        return self._bytes(spoiled=False)

    @property
    def listed(self) -> dict[int, tuple[int, int]]:
        """The same with those that are in a log and damaged there."""
        return self._bytes(spoiled=True)

    def _bytes(self, *, spoiled: bool) -> dict[int, tuple[int, int]]:
        return {
            batch.offset + at: (byte, batch.times[at])
            for segment in self.segments
            if not segment.lost
            for batch in segment.readable()
            if isinstance(batch, BatchModel) and (batch.true or spoiled)
            for at, byte in enumerate(batch.data)
        }

    @property
    def marks(self) -> dict[int, Marked]:
        """Each mark that can be read, by its number."""
        return {
            mark.number: mark for segment in self.segments for mark in segment.readable() if isinstance(mark, Marked)
        }


def time_of(mark: Marked) -> int:
    return parse_time(mark.record.at)
