"""The last lines of records that come one after the other. Pure."""

from collections import deque

from virtmux_cli.log.records import Chunk, Record


class Tail:
    """Holds as many records as the last `lines` lines need, and the marks and gaps among them; an open line counts."""

    def __init__(self, lines: int) -> None:
        self._most = lines
        self._records: deque[tuple[Record, int]] = deque()
        self._newlines = 0
        self._line_open = False

    @property
    def lines(self) -> int:
        """How many lines there are, at most those that were asked for."""
        return min(self._newlines + self._line_open, self._most)

    def add(self, record: Record) -> None:
        """Take the next record."""
        newlines = 0
        if isinstance(record, Chunk) and record.data:
            newlines = record.data.count(b"\n")
            self._line_open = not record.data.endswith(b"\n")
        self._records.append((record, newlines))
        self._newlines += newlines
        while self._newlines - self._records[0][1] > self._most:
            self._newlines -= self._records.popleft()[1]

    def records(self) -> list[Record]:
        """The records, the first chunk cut at the start of a line; none where no lines were asked for."""
        surplus = self._newlines + self._line_open - self._most
        kept = iter(self._records)
        if surplus <= 0:
            return [record for record, _ in kept] if self._most else []
        for record, newlines in kept:
            if surplus > newlines or not isinstance(record, Chunk):
                surplus -= newlines
                continue
            rest = _behind(record, surplus)
            return ([rest] if rest.data else []) + [record for record, _ in kept]
        return []


def _behind(chunk: Chunk, newlines: int) -> Chunk:
    at = 0
    for _ in range(newlines):
        at = chunk.data.index(b"\n", at) + 1
    return Chunk(chunk.offset + at, chunk.data[at:], chunk.at)
