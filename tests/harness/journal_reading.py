"""A journal with one history, read as a whole."""

from pathlib import Path

from virtmux.journal.directory import Journal
from virtmux.journal.entries import Marked
from virtmux.journal.history import History, Missing, Record
from virtmux.journal.segment import Piece
from virtmux.records import Position

ID = "a" * 32


def only(directory: Path) -> History:
    """The history of a journal that has no other."""
    journal = Journal(directory)
    (console,) = journal.consoles()
    (history,) = journal.histories(console)
    return history


def at(offset: int, mark: int) -> Position:
    """A position in it."""
    return Position(ID, offset, mark)


def everything(history: History, position: Position, size: int = 7, to: Position | None = None) -> list[Record]:
    """All records from a position, each of which must stand where the one before it ends."""
    records: list[Record] = []
    while True:
        some, after = history.read(position, size, to)
        for record in some:
            match record:
                case Piece():
                    assert record.offset == position.offset
                    assert sum(size for size, _ in record.times) == len(record.data) > 0
                    position = at(record.end, position.mark)
                case Marked():
                    assert (record.offset, record.number) == (position.offset, position.mark)
                    position = at(record.offset, record.number + 1)
                case Missing():
                    assert (record.offset, record.mark) == (position.offset, position.mark)
                    assert record.to_offset >= record.offset
                    assert record.to_mark >= record.mark
                    position = at(record.to_offset, record.to_mark)
        assert after == position
        if not some:
            return records
        records += some
