"""The batches of an index: where they lie, what a log of some size has of them, and when their bytes came."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtmux.journal.batches import Batches
from virtmux.journal.entries import Batch, DamagedError

MS = 1_000_000


def batches(*some: Batch) -> Batches:
    made = Batches()
    for batch in some:
        made.add(batch)
    return made


def plain(offset: int, size: int) -> Batch:
    return Batch(offset, size, 0, 0, ((size, 0),))


TWO_RUNS = batches(plain(10, 5), plain(15, 5), plain(30, 5))


def test_they_are_counted_and_so_are_their_bytes() -> None:
    assert (len(TWO_RUNS), TWO_RUNS.total) == (3, 15)
    assert (len(batches()), batches().total) == (0, 0)


@pytest.mark.parametrize(
    "batch",
    [
        plain(19, 5),
        plain(20, 0),
        Batch(20, 5, 0, 0, ((4, 0),)),
        Batch(20, 5, 0, 0, ()),
        Batch(2**63 - 3, 5, 0, 0, ((5, 0),)),
        Batch(20, 5, 0, 2**63 - 1, ((5, 1),)),
        Batch(20, 5, 0, 0, ((5, 2**63 - 1),)),
    ],
)
def test_a_batch_that_cannot_stand_behind_the_others_is_damage(batch: Batch) -> None:
    made = batches(plain(10, 10))

    with pytest.raises(DamagedError, match="a batch that does not fit the ones before: Batch"):
        made.add(batch)
    made.add(plain(20, 5))

    assert (len(made), made.offset(1), made.end(1), made.start(1), made.size(1)) == (2, 20, 25, 10, 5)


def test_the_last_byte_and_the_last_time_that_there_are_can_be_kept() -> None:
    most = 2**63 - 1
    made = batches(Batch(most - 5, 5, 2**32 - 1, most - MS, ((2, 0), (3, 1))))
    assert (made.end(0), made.crc(0)) == (most, 2**32 - 1)
    assert made.times(most - 5, most) == ((2, most - MS), (3, most))
    assert (made.times(most - 5, most - 3), made.times(most - 3, most)) == (((2, most - MS),), ((3, most),))


@pytest.mark.parametrize(
    ("offset", "holding", "ending_behind"),
    [(9, None, 0), (10, 0, 0), (19, 1, 1), (20, None, 2), (34, 2, 2), (35, None, 3)],
)
def test_a_byte_is_in_one_batch_or_in_a_gap(offset: int, holding: int | None, ending_behind: int) -> None:
    assert TWO_RUNS.holding(offset) == holding
    assert TWO_RUNS.ending_behind(offset) == ending_behind


@pytest.mark.parametrize(
    ("first", "end", "stop"), [(0, 11, 1), (0, 15, 1), (0, 16, 2), (0, 99, 2), (1, 99, 2), (2, 99, 3)]
)
def test_a_run_ends_at_a_gap_or_at_the_last_or_where_enough_is_read(first: int, end: int, stop: int) -> None:
    assert TWO_RUNS.run(first, end) == stop
    assert batches(plain(10, 5), plain(15, 4), plain(19, 3), plain(22, 2)).run(1, 22) == 3


@pytest.mark.parametrize(
    ("offset", "log_size", "number"), [(99, 15, 2), (99, 11, 2), (99, 10, 1), (30, 15, 1), (10, 15, -1), (99, 0, -1)]
)
def test_the_last_batch_before_an_offset_is_one_that_the_log_reaches(offset: int, log_size: int, number: int) -> None:
    assert TWO_RUNS.beginning_before(offset, log_size) == number


def test_a_log_has_batches_as_far_as_it_reaches() -> None:
    assert [TWO_RUNS.reach(number, 7) for number in range(3)] == [15, 17, 30]


@given(
    st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=4), min_size=1), st.data()
)
def test_the_times_of_bytes_are_those_of_their_beats(sizes: list[list[tuple[int, int]]], data: st.DataObject) -> None:
    made = Batches()
    model: list[int] = []
    for at, beats in enumerate(sizes):
        size = sum(size for size, _ in beats)
        made.add(Batch(len(model), size, 0, at, tuple(beats)))
        model += [at + ms * MS for size, ms in beats for _ in range(size)]
    begin = data.draw(st.integers(0, len(model) - 1))
    end = data.draw(st.integers(begin, len(model)))
    since = data.draw(st.sampled_from(model))

    times = made.times(begin, end)

    assert [at for size, at in times for _ in range(size)] == model[begin:end]
    assert all(one[1] != other[1] for one, other in pairwise(times))
    first = next(offset for offset, at in enumerate(model) if at >= since)
    assert made.offset_at(since, len(model)) == first
    assert made.offset_at(since, first) is None
    assert made.offset_at(len(model) + 4 * MS, len(model)) is None
