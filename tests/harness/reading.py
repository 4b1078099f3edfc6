"""Readers of a console's records as clients are: they count along and hold the sequence to its order."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from virtmux.following import advance
from virtmux.messages import Gap, MarkMessage, Time, decode_daemon_message
from virtmux.records import Note, Position
from virtmux.wire import MESSAGE, OUTPUT, Decoder, Message, Output
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.sequence import Sequence

Taken = Output | MarkMessage | Gap


class Reader:
    """Takes frames from a sequence, and checks that each stands exactly where the last one left off.

    While it is `idle` it also takes what it is offered, and keeps it in `offered`.
    """

    def __init__(self, records: Sequence, position: Position | None = None, *, timed: bool = False) -> None:
        self._records = records
        self.position = position or records.position
        self.times: list[Time] = []
        self.idle = False
        self.offered: list[Taken] = []
        self._cursor = Cursor(self.position.offset, self.position.mark, _not_woken, self._offered, timed=timed)
        self._decoder = Decoder(frozenset({MESSAGE, OUTPUT}))

    def begin(self, position: Position) -> None:
        """Look back from there: what is before the end is not live to it."""
        self._cursor.begin(position.offset, position.mark)
        self.position = position

    def take(self) -> Taken | None:
        """The next record; None where there is none now."""
        frame = self._records.take(self._cursor)
        if frame is not None:
            return self._given(frame)
        if not self._cursor.fetching:
            self._records.park(self._cursor)
        return None

    def _offered(self, frame: bytes) -> bool:
        if self.idle:
            taken = self._given(frame)
            assert taken is not None
            self.offered.append(taken)
        return self.idle

    def _given(self, frame: bytes) -> Taken | None:
        (decoded,) = self._decoder.feed(frame)
        taken = decode_daemon_message(decoded.payload) if isinstance(decoded, Message) else decoded
        if isinstance(taken, Time):
            assert taken.offset == self.position.offset
            self.times.append(taken)
            return self.take()
        assert isinstance(taken, Output | MarkMessage | Gap)
        behind = advance(self.position, taken)
        assert behind != self.position
        self.position = behind
        return taken

    def all(self) -> list[Taken]:
        """All that can be taken now."""
        return list(iter(self.take, None))

    def sizes(self) -> list[int]:
        """The sizes of the output frames that can be taken now."""
        return [len(taken.data) for taken in self.all() if isinstance(taken, Output)]


class Reading:
    """What one reader was given so far, against what there was."""

    def __init__(self, reader: Reader, started: Position) -> None:
        self.reader = reader
        self.started = started
        self.taken: list[Taken] = []

    def take(self) -> Taken | None:
        """Let the reader take one record."""
        taken = self.reader.take()
        if taken is not None:
            self.taken.append(taken)
        return taken

    def check(self, output: bytes, marks: list[tuple[int, str]]) -> None:
        """Every record that was taken is true; order and completeness are checked as they are taken.

        `marks`: offset and note of each mark, from number 1.
        """
        for taken in [*self.taken, *self.reader.offered]:
            match taken:
                case Output(_, offset, data):
                    assert data == output[offset : offset + len(data)]
                case MarkMessage(_, offset, number, Note(note=text)):
                    assert (offset, text) == marks[number - 1]
                case Gap() | MarkMessage():
                    pass


class Readings(RuleBasedStateMachine):
    """Readers that come and take at random, whatever a subclass does to the records meanwhile: it keeps `output` and
    `marks`, as `Reading.check` takes them. In the end all of them have read all."""

    def __init__(self, records: Sequence) -> None:
        super().__init__()
        self.records = records
        self.output = bytearray()
        self.marks: list[tuple[int, str]] = []
        self.readings: list[Reading] = []

    @rule(data=st.data(), frames=st.integers(1, 10))
    def a_reader_takes(self, data: st.DataObject, frames: int) -> None:
        if self.readings:
            reading = data.draw(st.sampled_from(self.readings))
            for _ in range(frames):
                reading.take()
            reading.reader.idle = data.draw(st.booleans())

    @invariant()
    def all_that_was_taken_is_true(self) -> None:
        for reading in self.readings:
            reading.check(bytes(self.output), self.marks)

    def teardown(self) -> None:
        for reading in self.readings:
            while reading.take():
                pass
            reading.check(bytes(self.output), self.marks)
            assert reading.reader.position == self.records.position


def _not_woken() -> None:
    """These readers take when the test says so."""
