"""The records of a history: read from any position they are those that are held, and what is missing is named."""

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.journal_model import STEPS, JournalModel, Step, time_of
from tests.harness.journal_writer import EPOCH, SECOND, JournalWriter
from virtmux.journal.directory import Journal
from virtmux.journal.entries import Marked
from virtmux.journal.history import History, Missing, Piece, Record
from virtmux.records import Note, Position

ID = "a" * 32


def only(directory: Path) -> History:
    journal = Journal(directory)
    (console,) = journal.consoles()
    (history,) = journal.histories(console)
    return history


def at(offset: int, mark: int) -> Position:
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


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(0, 8), st.data())
def test_reading_gives_what_a_plain_model_holds(steps: list[Step], cut: int, data: st.DataObject) -> None:
    with TemporaryDirectory() as directory:
        model = JournalModel(JournalWriter(Path(directory)))
        early = only(Path(directory))
        for step in steps:
            model.do(step)
            if data.draw(st.integers(0, 9)) == 0:
                early.refresh()
        model.cut(cut)
        early.refresh()
        for history in (only(Path(directory)), early):
            _agree(history, model, data)


def _agree(history: History, model: JournalModel, data: st.DataObject) -> None:
    held, marks = model.bytes_, model.marks
    end = history.end
    assert all(offset < end.offset for offset in held)
    assert all(mark.offset <= end.offset and mark.number < end.mark for mark in marks.values())
    first = min(marks.values(), key=lambda mark: mark.number, default=Marked(end.mark, end.offset, Note("", "")))
    assert history.oldest == at(min([*held, first.offset]), first.number)

    whole = [history.oldest, None]
    part = sorted(data.draw(st.lists(st.integers(0, end.offset), min_size=2, max_size=2)))
    numbers = data.draw(st.lists(st.integers(0, end.mark), min_size=2, max_size=2))
    start, to = (history.align(at(offset, mark)) for offset, mark in zip(part, numbers, strict=True))
    for begin, stop in (whole, (start, None), (start, to)):
        _agree_between(history, model, begin, stop)

    offset = data.draw(st.integers(0, end.offset))
    run = b""
    while offset + len(run) in held and len(run) < 9:
        run += bytes([held[offset + len(run)][0]])
    assert history.bytes(offset, 9) == run

    _agree_on_lines(history, model, data.draw(st.integers(0, 9)), offset)
    _agree_on_times(history, model, data.draw(st.integers(-SECOND, 30 * SECOND)) + EPOCH)


def _agree_between(history: History, model: JournalModel, start: Position, to: Position | None) -> None:
    records = everything(history, start, to=to)
    stop = to or history.end
    read: dict[int, tuple[int, int]] = {}
    for record in records:
        if isinstance(record, Piece):
            times = [time for size, time in record.times for _ in range(size)]
            offsets = range(record.offset, record.end)
            read.update(zip(offsets, zip(record.data, times, strict=True), strict=True))
    assert read == {at: byte for at, byte in model.bytes_.items() if start.offset <= at < stop.offset}
    found = [record for record in records if isinstance(record, Marked)]
    within = [mark for mark in model.marks.values() if start.mark <= mark.number < stop.mark]
    assert found == [mark for mark in sorted(within, key=lambda mark: mark.number) if mark.offset <= stop.offset]
    gaps = [isinstance(record, Missing) for record in records]
    assert not any(one and other for one, other in pairwise([*gaps, True]))


def _agree_on_lines(history: History, model: JournalModel, count: int, not_before: int) -> None:
    offsets = sorted(model.bytes_)
    lines = bytes(model.bytes_[offset][0] for offset in offsets).splitlines(keepends=True)
    start = len(offsets) - sum(len(line) for line in lines[-count:])
    if count == 0:
        expected = history.end.offset
    elif count >= len(lines):
        expected = history.oldest.offset
    else:
        expected = offsets[start - 1] + 1
    assert history.lines_back(count) == expected
    assert count == 0 or history.lines_back(count, at(not_before, 1)) == max(expected, not_before)


def _agree_on_times(history: History, model: JournalModel, since: int) -> None:
    marks = sorted(model.marks.values(), key=lambda mark: mark.number)
    assert history.marks_since(since) == [mark for mark in marks if time_of(mark) >= since]
    records = [(mark.offset, 0, mark.number, time_of(mark)) for mark in marks]
    records += [(offset, 1, 0, time) for offset, (_, time) in model.listed.items()]
    expected = history.end
    for offset, is_byte, number, time in sorted(records):
        if time >= since:
            before = [mark.number for mark in marks if mark.offset <= offset]
            expected = at(offset, (before[-1] + 1 if before else history.oldest.mark) if is_byte else number)
            break
    assert history.position_at(since) == expected
