"""What is stored of a console, read from the journal's files: for whoever may read them, while no daemon answers."""

import asyncio
from collections.abc import AsyncGenerator, Iterator

from virtmux.errors import ConnectionLost
from virtmux.journal import entries
from virtmux.journal.directory import Journal, StoredConsole
from virtmux.journal.history import History as StoredHistory
from virtmux.journal.history import Missing
from virtmux.journal.history import Record as StoredRecord
from virtmux.journal.segment import Piece
from virtmux.reasons import Reason
from virtmux.records import Position
from virtmux_cli.log.incarnations import Placed, incarnations
from virtmux_cli.log.records import Chunk, Gap, HistoryInfo, LastLines, Marked, Record, Since, Start

_PIECE = 1 << 20


class FileSource:
    """A `virtmux_cli.log.source.LogSource`."""

    def __init__(self, journal: Journal, console: StoredConsole, no_daemon: Reason) -> None:
        """`no_daemon` says why no daemon is asked, which alone could be followed."""
        self._histories = {each.id: each for each in journal.histories(console)}
        self._no_daemon = no_daemon

    async def histories(self) -> list[HistoryInfo]:
        """See `LogSource`."""
        return [_info(history) for history in self._histories.values()]

    async def records(self, history: str, start: Start, *, follow: bool) -> AsyncGenerator[Record, None]:
        """See `LogSource`."""
        stored = self._histories[history]
        position = _beginning(stored, start)
        while True:
            records, behind = await asyncio.to_thread(stored.read, position, _PIECE)
            for record in _shown(records):
                yield record
            if behind == position:
                break
            position = behind
        if follow:
            raise ConnectionLost(self._no_daemon)


def _info(history: StoredHistory) -> HistoryInfo:
    marks = (Placed(Position(history.id, mark.offset, mark.number), mark.record) for mark in history.marks_since(0))
    return HistoryInfo(history.oldest, history.end, history.began_at, history.ended_at, incarnations(marks))


def _beginning(history: StoredHistory, start: Start) -> Position:
    match start:
        case LastLines(number):
            return history.align(Position(history.id, history.lines_back(number), 0))
        case Since(at):
            return history.position_at(at)
        case Position():
            return history.align(start)


def _shown(records: list[StoredRecord]) -> Iterator[Record]:
    for record in records:
        match record:
            case Piece(offset, data, times):
                begin = 0
                for size, at in times:
                    yield Chunk(offset + begin, data[begin : begin + size], at)
                    begin += size
            case entries.Marked(number, offset, mark):
                yield Marked(offset, number, mark)
            case Missing():
                yield Gap(*record)
