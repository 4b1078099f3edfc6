"""The last lines of records that come one after the other. Pure."""

from collections import deque

from virtmux_cli.log.records import Chunk, Record

MOST = 65536
"""Bytes of a line. One that is longer counts anew with each record that begins so far into it: a guest may never end
one, and what is held has to have a bound."""


class Tail:
    """Holds as many records as the last `lines` lines need, and the marks and gaps among them; an open line counts."""

    def __init__(self, lines: int) -> None:
        self._most = lines
        self._records: deque[tuple[Record, int]] = deque()
        self._newlines = 0
        self._open = 0
        """Bytes of the line that is open."""

    @property
    def lines(self) -> int:
        """How many lines there are, at most those that were asked for."""
        return min(self._newlines + bool(self._open), self._most)

    def add(self, record: Record) -> None:
        """Take the next record."""
        newlines = 0
        if isinstance(record, Chunk) and record.data:
            if self._open > MOST:
                self._break()
            newlines = record.data.count(b"\n")
            begun = record.data.rfind(b"\n") + 1
            self._open = len(record.data) - begun + (0 if begun else self._open)
        self._records.append((record, newlines))
        self._newlines += newlines
        while self._newlines - self._records[0][1] > self._most:
            self._newlines -= self._records.popleft()[1]

    def _break(self) -> None:
        """Have the line end with the last record."""
        last, newlines = self._records.pop()
        self._records.append((last, newlines + 1))
        self._newlines += 1
        self._open = 0

    def records(self) -> list[Record]:
        """The records, the first chunk cut at the start of a line; none where no lines were asked for."""
        surplus = self._newlines + bool(self._open) - self._most
        kept = iter(self._records)
        if surplus <= 0:
            return [record for record, _ in kept] if self._most else []
        for record, newlines in kept:
            if surplus > newlines:
                surplus -= newlines
                continue
            rest = _behind(record, surplus) if isinstance(record, Chunk) else None
            return ([rest] if rest and rest.data else []) + [record for record, _ in kept]
        return []


def _behind(chunk: Chunk, newlines: int) -> Chunk:
    """What is behind so many ends of lines; one that is no newline is at its end."""
    at = 0
    for _ in range(newlines):
        at = (chunk.data.find(b"\n", at) + 1) or len(chunk.data)
    return Chunk(chunk.offset + at, chunk.data[at:], chunk.at)
