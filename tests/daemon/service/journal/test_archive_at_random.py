"""Readers of a console with a small ring and its journal, while things are added to both: whatever they start from,
each is given every byte and mark once, or a gap for what was nowhere."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.reading import Reader, Reading
from tests.harness.recorded_life import RecordedLife, Step, step
from tests.harness.recording import RING, Disk, Recording, recording
from virtmux.messages import Gap
from virtmux.records import Position
from virtmuxd.core.store import MAX_MARKS


class Watched:
    """A reader, and what the journal held when it asked it last."""

    def __init__(self, life: RecordedLife, position: Position, *, timed: bool) -> None:
        self._life = life
        self._reader = Reader(life.record.console.sequence, position, timed=timed)
        self._reading = Reading(self._reader, position)
        self._held: set[int] = set()
        self._marks: set[int] = set()

    @property
    def position(self) -> Position:
        return self._reader.position

    def take(self) -> bool:
        """Whether there was anything."""
        record, asked = self._life.record, self._life.record.readers.asked
        here, mark = self._reader.position.offset, self._reader.position.mark
        taken = self._reading.take()
        if record.readers.asked > asked:
            self._held, self._marks = set(record.story.held()), set(record.story.marks)
        if isinstance(taken, Gap):
            missing = set(range(max(here, self._life.forgotten[0]), taken.to_offset))
            assert not missing & self._held, "a gap for what the journal had"
            missing = set(range(max(mark, self._life.forgotten[1]), taken.to_mark))
            assert not missing & self._marks, "a gap for a mark that the journal had"
        return taken is not None

    def check(self) -> None:
        marks = [(offset, "paused") for _, offset in sorted(self._life.offsets.items())]
        self._reading.check(bytes(self._life.record.output), marks)


class Readers(RecordedLife):
    """A recorded console that is read."""

    def __init__(self, record: Recording, disk: Disk) -> None:
        super().__init__(record, disk)
        self.readers: list[Watched] = []

    def come(self, part: float, timed: bool) -> None:
        """A reader comes and starts at this part of what there is."""
        here = self.record.console.sequence.position
        offset = int(part * here.offset)
        mark = next((number for number, at in sorted(self.offsets.items()) if at >= offset), here.mark)
        self.readers.append(Watched(self, Position(here.history, offset, mark), timed=timed))

    def take(self, frames: int) -> None:
        for reader in self.readers:
            for _ in range(frames):
                reader.take()

    def read(self) -> None:
        self.record.readers.read()

    def give(self) -> None:
        self.record.readers.give()

    def take_all(self) -> None:
        """They take all there is, whatever it has to be asked for."""
        for _ in range(10_000):
            for reader in self.readers:
                while reader.take():
                    pass
            if not self.record.readers.answer():
                return
        raise AssertionError("they never come to the end")


_added = st.one_of(
    step("print", size=st.integers(1, 300)),
    step("print", size=st.integers(1, RING)),
    step("begin", room=st.sampled_from([100, 1 << 20])),
    step("end"),
    step("settle"),
    step("wait", seconds=st.sampled_from([0.3, 5.0])),
)
_read = st.one_of(
    step("come", part=st.floats(0, 1), timed=st.booleans()),
    step("take", frames=st.integers(1, 5)),
    step("read"),
    step("give"),
)
_sometimes = st.one_of(
    step("mark"),
    step("marks", count=st.sampled_from([2, 50, 50, MAX_MARKS])),
    step("reserve"),
    step("complete"),
    step("fail", room=st.integers(0, 5000)),
    step("recover"),
    step("rename", number=st.integers(1, 3)),
    step("move", number=st.integers(0, 2)),
    step("forget"),
)
STEPS = st.lists(_added | _added | _read | _read | _sometimes, min_size=20, max_size=60)


@given(steps=STEPS, size=st.sampled_from([10_000, 1 << 20]))
@settings(max_examples=100)
def test_a_reader_is_given_every_record_once_or_a_gap(steps: list[Step], size: int) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        Disk().there() as disk,
        recording(Path(directory), size=size) as record,
    ):
        life = Readers(record, disk)
        life.go_through(steps)
        life.recover()
        life.settle()
        while life.reserved:
            life.complete()
        life.come(0, timed=False)
        life.come(0, timed=True)
        life.take_all()

        for reader in life.readers:
            reader.check()
            assert reader.position == record.console.sequence.position
