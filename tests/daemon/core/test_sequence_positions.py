"""Positions in the record sequence: what they mean, and that they count on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.memory_store import MemoryStore
from tests.harness.reading import Reader
from tests.harness.records import HANDLE, append, note, sequence, unobserved
from virtmux.messages import Gap, MarkMessage
from virtmux.records import Position
from virtmux.wire import Output
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.store import MAX_MARKS


def test_positions_count_on_over_a_restart() -> None:
    store = MemoryStore()
    records = Sequence(HANDLE, store, unobserved)
    append(records, b"login: ")
    records.mark(note())
    before = records.position

    again = Sequence(HANDLE + 1, store.reopened(), unobserved)

    assert again.position == before == Position(store.history, 7, 2)
    assert again.held_until == 1, "when the last byte came"


def _settling() -> Sequence:
    """Bytes `aabb`, with marks 1 and 2 at 0, 3 at 2, 4 at 4."""
    records = sequence()
    records.mark(note())
    records.mark(note())
    append(records, b"aa")
    records.mark(note())
    append(records, b"bb")
    records.mark(note())
    return records


@pytest.mark.parametrize(
    ("offset", "mark", "expected"),
    [
        (0, 1, 1), (0, 2, 2), (0, 3, 3),  # all of them can stand there
        (2, 3, 3), (2, 4, 4), (4, 4, 4), (4, 5, 5),
        (0, 0, 1), (1, 0, 3), (2, 0, 3), (3, 0, 4), (4, 0, 4),  # from an offset alone
        (2, 1, 3), (4, 2, 4),  # marks that stand before the offset
        (0, 5, 3), (1, 4, 3),  # marks that stand behind it
    ],
)  # fmt: skip
def test_a_position_means_the_mark_that_comes_next_at_its_offset(offset: int, mark: int, expected: int) -> None:
    records = _settling()
    history = records.position.history

    assert records.align(Position(history, offset, mark)) == Position(history, offset, expected)


def test_a_position_before_the_marks_that_are_held_says_which_were_missed() -> None:
    records = sequence()
    append(records, b"x")
    for _ in range(MAX_MARKS + 3):
        records.mark(note())
    history = records.position.history

    for mark in (1, 2, 3):
        assert records.align(Position(history, 0, mark)) == Position(history, 0, mark)
        assert records.align(Position(history, 1, mark)) == Position(history, 1, mark)


def test_a_position_that_never_was_means_one_that_is() -> None:
    records = sequence()
    for _ in range(MAX_MARKS + 3):
        records.mark(note())
    append(records, b"x")
    history = records.position.history

    assert records.align(Position(history, 1, 2)) == records.position


@pytest.mark.parametrize(("offset", "mark"), [(5, 5), (4, 6)])
def test_a_position_ahead_of_the_records_is_refused(offset: int, mark: int) -> None:
    records = _settling()

    with pytest.raises(ValueError, match="ahead"):
        records.align(Position(records.position.history, offset, mark))


def test_the_oldest_position_is_where_the_oldest_record_that_is_held_stands() -> None:
    records = sequence(capacity=4)
    assert records.oldest == records.position
    append(records, b"abc")
    records.mark(note())
    append(records, b"defghij")

    assert Reader(records, records.oldest).all() == [
        MarkMessage(HANDLE, 3, 1, note()),
        Gap(HANDLE, 3, 2, 6, 2),
        Output(HANDLE, 6, b"ghij"),
    ]


@given(st.lists(st.sampled_from(["mark", "byte", "many marks"]), max_size=30), st.data())
def test_a_reader_that_starts_at_any_settled_position_gets_records_that_follow_on(
    happen: list[str], data: st.DataObject
) -> None:
    records = sequence(capacity=3)
    for each in happen:
        if each == "byte":
            append(records, b"x")
        for _ in range({"byte": 0, "mark": 1, "many marks": MAX_MARKS // 3}[each]):
            records.mark(note())
    here = records.position
    asked = Position(here.history, data.draw(st.integers(0, here.offset)), data.draw(st.integers(0, here.mark)))

    reader = Reader(records, records.align(asked))
    reader.all()  # the reader checks that everything follows on

    assert reader.position == here
    assert records.align(records.align(asked)) == records.align(asked)
