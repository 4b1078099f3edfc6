"""The records of a history, whatever became of its files: what is read is what a plain model holds."""

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.journal_model import STEPS, JournalModel, Step, Torn, time_of
from tests.harness.journal_reading import at, everything, only
from tests.harness.journal_writer import EPOCH, SECOND, JournalWriter
from virtmux.journal.entries import Marked
from virtmux.journal.history import History, Missing
from virtmux.journal.segment import Piece
from virtmux.records import Note, Position


@settings(max_examples=200)
@given(STEPS, st.integers(0, 8), st.data())
def test_reading_gives_what_a_plain_model_holds(steps: list[Step], cut: int, data: st.DataObject) -> None:
    with TemporaryDirectory() as directory:
        model = JournalModel(JournalWriter(Path(directory)))
        early = only(Path(directory))
        for step in steps:
            model.do(step)
            if isinstance(step, Torn):
                early = only(Path(directory))  # what was read of an index before it was damaged is held
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

    part = sorted(data.draw(st.lists(st.integers(0, end.offset), min_size=2, max_size=2)))
    numbers = data.draw(st.lists(st.integers(0, end.mark), min_size=2, max_size=2))
    start, to = (history.align(at(offset, mark)) for offset, mark in zip(part, numbers, strict=True))
    _agree_between(history, model, history.oldest, None)
    _agree_between(history, model, start, None)
    _agree_between(history, model, start, to)

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
