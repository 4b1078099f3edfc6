"""What a console's files are given, and what becomes of it: lines of the index with the bytes they describe."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from crc32c import crc32c

from virtmux.journal import entries
from virtmux.journal.entries import Lost, Marked, encode


class Batch(NamedTuple):
    """Output: `data` from `offset` on, its first byte received `at` (ns). Beats are as in `entries.Batch`."""

    offset: int
    data: bytes
    at: int
    beats: tuple[tuple[int, int], ...]

    def behind(self, offset: int) -> "Batch":
        """What of it stands at this offset or behind it."""
        skipped = max(0, offset - self.offset)
        if not skipped:
            return self
        beats = cut_beats(self.beats, skipped, len(self.data))
        return Batch(self.offset + skipped, self.data[skipped:], self.at, beats)


class Piece(NamedTuple):
    """A line of the index with the bytes it describes, and the position behind it."""

    line: bytes
    data: bytes
    offset: int
    mark: int

    @property
    def size(self) -> int:
        """What it adds to both files, in bytes."""
        return len(self.line) + len(self.data)


def pieces(
    position: tuple[int, int], batches: Sequence[Batch], marks: Sequence[Marked], at: int, why_lost: str
) -> Iterator[Piece]:
    """The output and the marks from `position` on; what is missing before a batch is lost."""
    offset, mark = position
    for given in batches:
        batch = given.behind(offset)
        if not batch.data:
            continue
        if batch.offset > offset:
            yield Piece(encode(Lost(offset, batch.offset, why_lost, at)), b"", batch.offset, mark)
        offset = batch.offset + len(batch.data)
        line = entries.Batch(batch.offset, len(batch.data), crc32c(batch.data), batch.at, batch.beats)
        yield Piece(encode(line), batch.data, offset, mark)
    for marked in marks:
        if marked.number >= mark:
            mark = marked.number + 1
            yield Piece(encode(marked), b"", offset, mark)


def cut_beats(beats: tuple[tuple[int, int], ...], begin: int, end: int) -> tuple[tuple[int, int], ...]:
    """The beats of the bytes from `begin` to `end` (excluded) of a batch, at the times they have in it."""
    cut = []
    at = 0
    for size, after in beats:
        kept = min(at + size, end) - max(at, begin)
        if kept > 0:
            cut.append((kept, after))
        at += size
    return tuple(cut)
