"""The record sequence: everything at once, against a plain list."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tests.harness.reading import Reader, Reading, Readings
from tests.harness.records import append, note, sequence
from virtmuxd.core.store import MAX_MARKS, StoredMark


class Readers(Readings):
    """Appends, marks, reservations and completions; readers that come, go back and take at random paces."""

    def __init__(self) -> None:
        super().__init__(sequence(capacity=50))
        self.reserved: dict[int, StoredMark] = {}

    @rule(size=st.integers(1, 70))
    def output_arrives(self, size: int) -> None:
        data = bytes((len(self.output) + number) % 251 for number in range(size))
        self.output += data
        append(self.records, data)

    @rule(count=st.sampled_from([1, 1, 1, 2, MAX_MARKS // 2]))
    def marks_are_made(self, count: int) -> None:
        for _ in range(count):
            self.marks.append((len(self.output), f"mark {len(self.marks)}"))
            self.records.mark(note(self.marks[-1][1]))

    @rule()
    def a_mark_is_reserved(self) -> None:
        self.marks.append((len(self.output), "provisional"))
        self.reserved[len(self.marks)] = self.records.reserve(note("provisional"))

    @precondition(lambda self: self.reserved)
    @rule(data=st.data())
    def a_mark_is_completed(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.reserved)))
        self.marks[number - 1] = (self.marks[number - 1][0], f"completed {number}")
        self.records.complete(self.reserved.pop(number), note(f"completed {number}"))

    @rule()
    def a_reader_comes(self) -> None:
        if len(self.readings) < 4:
            self.readings.append(Reading(Reader(self.records), self.records.position))

    @invariant()
    def a_mark_that_is_reserved_holds_readers_back(self) -> None:
        for reading in self.readings:
            first = max(reading.started.mark, self.records.oldest.mark)
            waiting = [number for number in self.reserved if number >= first]
            assert not waiting or reading.reader.position.mark <= min(waiting)

    def teardown(self) -> None:
        for number, mark in self.reserved.items():
            self.marks[number - 1] = (self.marks[number - 1][0], "late")
            self.records.complete(mark, note("late"))
        super().teardown()


Readers.TestCase.settings = settings(max_examples=150, stateful_step_count=40)


TestReaders = Readers.TestCase
