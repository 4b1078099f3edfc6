"""Whatever happens to a console and its disk, in whatever order: what its guest printed is in the journal, or in one
gap that was told and counted; and each mark that is final is there."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.recorded_life import RecordedLife, Step, step
from tests.harness.recording import RING, Disk, recording
from virtmux.journal.directory import Journal, StoredConsole
from virtmux.journal.entries import Marked
from virtmux.journal.history import Missing
from virtmux.journal.segment import Piece
from virtmux.records import Position

_often = st.one_of(
    step("print", size=st.integers(1, 300)),
    step("print", size=st.integers(1, 2 * RING)),
    step("begin", room=st.sampled_from([1, 100, 5000, 1 << 20])),
    step("end"),
    step("wait", seconds=st.sampled_from([0.1, 0.3, 5.0])),
)
_sometimes = st.one_of(
    step("mark"),
    step("reserve"),
    step("complete"),
    step("fail", room=st.integers(0, 5000)),
    step("recover"),
    step("rename", number=st.integers(1, 3)),
    step("move", number=st.integers(0, 2)),
    step("forget"),
)
STEPS = st.lists(_often | _often | _sometimes, min_size=20, max_size=60)


@given(steps=STEPS, size=st.sampled_from([600, 3000, 1 << 20]), closes=st.booleans())
@settings(max_examples=150)
def test_every_record_is_written_once_or_is_in_one_gap(steps: list[Step], size: int, closes: bool) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        Disk().there() as disk,
        recording(Path(directory), size=size) as record,
    ):
        life = RecordedLife(record, disk)
        life.go_through(steps)
        life.recover()
        if closes:
            life.close()
        life.settle()

        assert record.released == closes
        check(life)
        check_as_it_is_read(life)


def check(life: RecordedLife) -> None:
    """What the files say, and what was told and counted."""
    record, story = life.record, life.record.story
    begin, end = life.forgotten[0], len(record.output)
    held = story.held()
    assert all(record.output[offset] == byte for offset, byte in held.items())
    gaps = record.gaps()
    assert record.counters.journal_lost == sum(to - offset for offset, to in gaps)
    missed = [at for offset, to in gaps for at in range(offset, to)]
    assert len(missed) == len(set(missed)), "a byte is missed once"
    assert sorted([*held, *(at for at in missed if at >= begin)]) == list(range(begin, end))
    assert [gap for gap in gaps if gap[0] >= begin] == [loss[:2] for loss in story.lost]
    first_open = min((mark.number for mark in life.reserved), default=len(life.offsets) + 1)
    final = {number: at for number, at in life.offsets.items() if life.forgotten[1] <= number < first_open}
    assert story.marks == final


def check_as_it_is_read(life: RecordedLife) -> None:
    """The same, as `virtmux log` reads it from the first record to the last."""
    key = life.record.files.key
    histories = Journal(life.record.directory).histories(StoredConsole(*key))
    if not histories:
        assert (len(life.record.output), len(life.offsets) + 1) == life.forgotten or life.reserved
        return
    (history,) = histories
    here, end = history.oldest, history.end
    held: dict[int, int] = {}
    marks = []
    while here != end:
        records, behind = history.read(here, 1000)
        assert behind != here or here.mark <= end.mark
        if behind == here:
            break
        for record in records:
            match record:
                case Piece(offset, data):
                    assert offset == here.offset
                    assert not set(held) & set(range(offset, offset + len(data)))
                    held |= dict(enumerate(data, offset))
                    here = Position(here.history, offset + len(data), here.mark)
                case Marked(number, offset):
                    assert (offset, number) == (here.offset, here.mark)
                    marks.append(number)
                    here = Position(here.history, offset, number + 1)
                case Missing():
                    assert record[:2] == (here.offset, here.mark)
                    here = Position(here.history, record.to_offset, record.to_mark)
    assert held == life.record.story.held()
    assert marks == sorted(life.record.story.marks)
