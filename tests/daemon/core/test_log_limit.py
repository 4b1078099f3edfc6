"""How much of one kind is logged: a window at a time, and what was left out is counted."""

import pytest

from virtmuxd.core.log_limit import LeftOut, LogLimit


@pytest.fixture
def limit() -> LogLimit[str]:
    return LogLimit(60.0)


def admitted(limit: LogLimit[str], kind: str, times: int, now: float) -> int:
    return sum(limit.admits(kind, 3, now) for _ in range(times))


def test_a_window_has_so_many_of_a_kind(limit: LogLimit[str]) -> None:
    assert [admitted(limit, "a", 10, now) for now in (0.0, 59.9, 60.0, 119.9, 120.0)] == [3, 0, 3, 0, 3]


def test_one_kind_is_not_limited_for_another(limit: LogLimit[str]) -> None:
    assert [admitted(limit, kind, 10, 0.0) for kind in ("a", "b")] == [3, 3]


def test_what_was_left_out_is_told_once_the_window_is_over(limit: LogLimit[str]) -> None:
    admitted(limit, "a", 10, 0.0)
    admitted(limit, "b", 5, 30.0)
    assert limit.over(59.9) == []
    assert limit.over(60.0) == [LeftOut("a", 7)]
    assert limit.over(89.9) == []
    assert limit.over(90.0) == [LeftOut("b", 2)]
    assert limit.over(1000.0) == []


def test_what_was_left_out_is_told_also_where_the_next_window_has_begun(limit: LogLimit[str]) -> None:
    admitted(limit, "a", 10, 0.0)
    admitted(limit, "a", 5, 60.0)
    assert limit.over(61.0) == [LeftOut("a", 7)]
    assert limit.over(120.0) == [LeftOut("a", 2)]


def test_a_window_in_which_all_was_logged_has_nothing_to_tell(limit: LogLimit[str]) -> None:
    admitted(limit, "a", 3, 0.0)
    assert limit.over(60.0) == []


def test_the_next_end_is_that_of_the_oldest_window(limit: LogLimit[str]) -> None:
    assert limit.next_end() is None
    admitted(limit, "a", 1, 0.0)
    admitted(limit, "b", 1, 10.0)
    assert limit.next_end() == 60.0
    limit.over(60.0)
    assert limit.next_end() == 70.0
    limit.over(70.0)
    assert limit.next_end() is None
