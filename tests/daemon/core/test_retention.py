"""Which segments go: those that are too old, then no more than needed, in an order that people can know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtmuxd.core.retention import Bounds, SegmentInfo, to_drop

WEB, SHOP = ("h", "u1", "serial0"), ("h", "u2", "serial0")
ROOMY = Bounds(total=1000, age=100, free=0)


def segment(
    key: tuple[str, str, str] = WEB, number: int | None = 0, size: int = 10, at: int = 0, *, defined: bool = True
) -> SegmentInfo:
    return SegmentInfo(key, number, size, at, defined)


def test_nothing_goes_as_long_as_there_is_room() -> None:
    assert to_drop([segment(), segment(SHOP)], Bounds(total=20, age=100, free=0.1), 100, 100, 1000) == []


def test_what_is_older_than_allowed_goes_the_oldest_first() -> None:
    old, older, new = segment(number=1, at=9), segment(number=2, at=8), segment(number=None, at=10)

    assert to_drop([new, old, older], ROOMY, 110, 0, 0) == [older, old]
    assert to_drop([new, old, older], ROOMY._replace(total=0), 110, 0, 0) == [older, old, new]


def test_undefined_guests_go_first_then_what_was_rotated_then_what_grows() -> None:
    grows, rotated, older = segment(number=None, at=1), segment(number=0, at=5), segment(number=1, at=4)
    gone, gone_before = segment(SHOP, None, at=9, defined=False), segment(SHOP, 0, at=9, defined=False)

    order = [gone_before, gone, older, rotated, grows]
    assert to_drop([grows, gone, rotated, gone_before, older], ROOMY._replace(total=0), 10, 0, 0) == order


@pytest.mark.parametrize("defined", [True, False])
def test_of_those_that_are_equally_old_the_one_that_was_made_first_goes_first(*, defined: bool) -> None:
    made = [segment(number=number, defined=defined) for number in (2, 1, 0, None)]

    assert to_drop(made[::-1], ROOMY._replace(total=0), 10, 0, 0) == made


def test_as_much_goes_as_is_more_than_may_be_kept() -> None:
    segments = [segment(number=number, at=10 - number) for number in range(5)]

    assert to_drop(segments, ROOMY._replace(total=25), 10, 0, 0) == [segments[4], segments[3], segments[2]]


def test_as_much_goes_as_the_file_system_needs_free() -> None:
    segments = [segment(number=number, at=10 - number) for number in range(5)]

    assert to_drop(segments, ROOMY._replace(free=0.1), 10, 85, 1000) == [segments[4], segments[3]]


SEGMENTS = st.lists(
    st.builds(
        SegmentInfo,
        st.sampled_from([WEB, SHOP]),
        st.none() | st.integers(0, 5),
        st.integers(0, 50),
        st.integers(0, 200),
        st.booleans(),
    ),
    max_size=12,
    unique=True,
)


@given(SEGMENTS, st.integers(0, 300), st.integers(0, 200), st.floats(0, 1), st.integers(0, 400))
def test_what_is_left_is_within_the_limits_and_no_more_goes_than_needed(
    segments: list[SegmentInfo], total: int, age: int, least: float, free: int
) -> None:
    bounds = Bounds(total, age, least)

    def fits(dropped: list[SegmentInfo]) -> bool:
        left = [each for each in segments if each not in dropped]
        young = all(200 - each.last_at <= age for each in left)
        freed = free + sum(each.size for each in dropped)
        return young and sum(each.size for each in left) <= total and freed >= least * 1000

    dropped = to_drop(segments, bounds, 200, free, 1000)

    assert len(set(dropped)) == len(dropped)
    assert fits(dropped) or len(dropped) == len(segments)
    assert not dropped or not fits(dropped[:-1])


@given(SEGMENTS, st.integers(0, 300))
def test_no_segment_of_a_defined_guest_goes_before_one_of_an_undefined(segments: list[SegmentInfo], total: int) -> None:
    dropped = to_drop(segments, Bounds(total, 1000, 0), 200, 0, 0)

    ranks = [(each.defined, each.defined and each.number is None) for each in dropped]
    assert ranks == sorted(ranks)
    for known in (True, False):
        for grows in (True, False):
            times = [each.last_at for each in dropped if (each.defined, each.number is None) == (known, grows)]
            assert times == sorted(times)
