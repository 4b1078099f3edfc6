"""The record sequence where its live delivery is limited: gaps for readers, and all of it for whoever looks back."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tests.harness.reading import Reader, Reading, Readings
from tests.harness.records import HANDLE, note, sequence
from virtmux.messages import Gap, MarkMessage
from virtmux.records import Position
from virtmux.wire import Output
from virtmuxd.core.cursor import Cursor, Lag
from virtmuxd.core.pace import WHY
from virtmuxd.core.sequence import Sequence

SECOND = 10**9
RATE = 1000


def limited(rate: int = RATE) -> Sequence:
    records = sequence()
    records.limit(rate)
    return records


def print_(records: Sequence, size: int, second: float = 1.0) -> float | None:
    """The guest prints so much at a time."""
    records.append(bytes(size), int(second * SECOND))
    return records.publish()


def test_within_the_rate_nothing_changes() -> None:
    records = limited()
    reader = Reader(records)
    assert print_(records, RATE) is None
    assert reader.all() == [Output(HANDLE, 0, bytes(RATE))]


def test_beyond_the_rate_a_reader_waits_and_goes_on_at_the_newest_behind_a_gap() -> None:
    records = limited()
    reader = Reader(records)
    print_(records, RATE)
    assert print_(records, 5 * RATE) == 0.25
    assert reader.all() == [Output(HANDLE, 0, bytes(RATE))]

    assert records.let_out(int(1.25 * SECOND)) is None

    assert reader.all() == [
        Gap(HANDLE, RATE, 1, 6 * RATE - 250, 1, WHY),
        Output(HANDLE, 6 * RATE - 250, bytes(250)),
    ]


def test_a_parked_reader_sleeps_until_there_is_something_for_it() -> None:
    records = limited()
    woken: list[str] = []
    print_(records, RATE)
    records.park(Cursor(RATE, 1, lambda: woken.append("woken")))

    print_(records, 5 * RATE)
    records.mark(note())
    assert not woken

    records.let_out(2 * SECOND)
    assert woken == ["woken"]


def test_readers_that_are_level_are_given_the_very_same_frames_also_behind_a_gap() -> None:
    records = limited()
    frames: list[tuple[bytes | None, bytes | None]] = []

    def reader() -> Cursor:
        cursor = Cursor(0, 1, lambda: frames.append((records.take(cursor), records.take(cursor))))
        return cursor

    for _ in range(2):
        records.park(reader())
    print_(records, 5 * RATE)

    assert frames[0] == frames[1]
    assert frames[0][1] is frames[1][1] is not None


def test_marks_within_what_is_left_out_are_given() -> None:
    records = limited()
    reader = Reader(records)
    print_(records, RATE)
    print_(records, 2 * RATE)
    records.mark(note())
    print_(records, 2 * RATE)
    records.let_out(2 * SECOND)

    assert [type(each) for each in reader.all()] == [Gap, MarkMessage, Gap, Output]


def test_who_looks_back_gets_all_that_came_before_it_did() -> None:
    records = limited()
    print_(records, 10 * RATE)
    here = records.position
    old = Cursor(here.offset, here.mark, lambda: None)
    old.begin(0, 1)
    frame = records.take(old)
    assert frame is not None
    assert old.offset == 10 * RATE


def test_who_comes_while_output_is_held_back_goes_on_from_there() -> None:
    records = limited()
    print_(records, RATE)
    print_(records, 5 * RATE)
    late = Reader(records)
    assert late.take() is None
    records.let_out(int(1.25 * SECOND))
    assert late.take() is None

    print_(records, 10, 2.0)

    assert late.take() == Output(HANDLE, 6 * RATE, bytes(10))


def test_what_is_held_back_is_no_lag_of_a_reader() -> None:
    records = limited()
    cursor = Cursor(0, 1, lambda: None, lag=Lag(100, SECOND, leaves=True))
    print_(records, RATE)
    assert records.take(cursor) is not None
    print_(records, 100 * RATE)

    assert records.too_slow(cursor) is None


def test_who_has_all_that_may_be_had_is_not_too_slow_however_much_newer_is_what_is_held_back() -> None:
    records = limited(rate=1)
    cursor = Cursor(0, 1, lambda: None, lag=Lag(100, SECOND // 10, leaves=True))
    print_(records, 1)
    assert records.take(cursor) is not None
    print_(records, 1, 1.2)
    print_(records, 1, 1.4)
    assert records.take(cursor) is None

    assert records.too_slow(cursor) is None


def test_more_than_the_store_holds_may_be_held_back() -> None:
    records = sequence(100)
    records.limit(RATE)
    reader = Reader(records)
    print_(records, RATE)
    reader.all()
    print_(records, 5 * RATE)
    assert reader.take() is None

    records.let_out(2 * SECOND)

    assert reader.all()[-1] == Output(HANDLE, 6 * RATE - 100, bytes(100))


def test_the_limit_may_change_at_any_time() -> None:
    records = limited()
    reader = Reader(records)
    print_(records, 5 * RATE)
    print_(records, RATE)
    woken: list[str] = []
    reader.all()
    records.park(Cursor(reader.position.offset, 1, lambda: woken.append("woken")))

    records.limit(0)

    assert woken
    assert reader.all() == [Output(HANDLE, 5 * RATE, bytes(RATE))]
    records.limit(10)
    print_(records, 100, 10.0)
    assert reader.all() == [Gap(HANDLE, 6 * RATE, 1, 6 * RATE + 90, 1, WHY), Output(HANDLE, 6 * RATE + 90, bytes(10))]


def test_another_rate_holds_for_what_is_held_back_already() -> None:
    records = limited()
    reader = Reader(records)
    print_(records, RATE)
    records.limit(2 * RATE)
    assert print_(records, 5 * RATE) == 0.25

    assert records.let_out(int(1.25 * SECOND)) is None

    assert reader.all()[-1] == Output(HANDLE, 6 * RATE - 500, bytes(500))


def test_a_recorder_hears_of_all_at_once() -> None:
    records, called = limited(), list[int]()
    records.record_at(0, lambda: called.append(records.end))
    print_(records, 5 * RATE)
    print_(records, 5 * RATE)
    assert called == [5 * RATE, 10 * RATE]


class Limited(Readings):
    """Output at random paces, marks, changes of the limit; readers that come, look back and take as they like."""

    def __init__(self) -> None:
        super().__init__(sequence())
        #: Where the output ended when each reader came.
        self.came: list[int] = []
        self.now = 0
        self.due: int | None = None

    def _wait(self, seconds: float | None) -> None:
        if seconds is not None and self.due is None:
            self.due = self.now + int(seconds * SECOND) + 1

    @rule(size=st.integers(1, 3000))
    def output_arrives(self, size: int) -> None:
        self.output += bytes((len(self.output) + number) % 251 for number in range(size))
        self.records.append(bytes(self.output[-size:]), self.now)
        self._wait(self.records.publish())

    @rule(ms=st.integers(0, 2000))
    def time_passes(self, ms: int) -> None:
        until = self.now + ms * 1_000_000
        while self.due is not None and self.due <= until:
            self.now, self.due = self.due, None
            self._wait(self.records.let_out(self.now))
        self.now = until

    @rule()
    def a_mark_is_made(self) -> None:
        self.marks.append((len(self.output), f"mark {len(self.marks)}"))
        self.records.mark(note(self.marks[-1][1]))

    @rule(rate=st.sampled_from([0, 1, 100, 1000, 5000]))
    def the_limit_changes(self, rate: int) -> None:
        self.records.limit(rate)

    @precondition(lambda self: len(self.readings) < 4)
    @rule(back=st.booleans())
    def a_reader_comes(self, back: bool) -> None:
        here = self.records.position
        started = Position(here.history, 0, 1) if back else here
        reader = Reader(self.records)
        reader.begin(started)
        self.readings.append(Reading(reader, started))
        self.came.append(here.offset)

    @invariant()
    def nothing_is_left_out_of_what_was_there_before_the_reader(self) -> None:
        for reading, came in zip(self.readings, self.came, strict=True):
            assert all(gap.offset >= came for gap in reading.taken if isinstance(gap, Gap))

    @invariant()
    def what_is_held_back_is_waited_for(self) -> None:
        assert self.due is not None or self.records._shown == len(self.output)

    def teardown(self) -> None:
        for _ in range(100):
            self.time_passes(10**6)
        super().teardown()
        for reading in self.readings:
            numbers = [taken.mark for taken in reading.taken if isinstance(taken, MarkMessage)]
            assert numbers == list(range(reading.started.mark, self.records.position.mark))


Limited.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestLimited = Limited.TestCase
