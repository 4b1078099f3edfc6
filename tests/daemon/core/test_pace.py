"""How much is let out live."""

from virtmuxd.core.pace import Pace


def test_up_to_the_rate_all_is_let_out_at_once() -> None:
    pace = Pace(1000, 0)
    for second in range(10):
        assert pace.advance(1000 * (second + 1), 1.0 + second) is None
        assert (pace.shown, pace.fresh) == (1000 * (second + 1), 0)


def test_beyond_it_output_is_held_back_until_the_rate_allows_a_piece_and_then_the_newest_is_let_out() -> None:
    pace = Pace(1000, 0)
    assert pace.advance(1000, 1.0) is None
    assert pace.advance(5000, 1.0) == 0.25
    assert pace.advance(6000, 1.1) == 0.15
    assert pace.shown == 1000

    assert pace.advance(7000, 1.25) is None

    assert (pace.shown, pace.fresh) == (7000, 6750)


def test_what_is_held_back_is_let_out_whole_where_no_more_comes() -> None:
    pace = Pace(1000, 0)
    assert pace.advance(1000, 1.0) is None
    wait = pace.advance(1100, 1.0)
    assert wait == 0.1

    assert pace.advance(1100, 1.0 + wait) is None

    assert (pace.shown, pace.fresh) == (1100, 0)


def test_of_what_comes_at_once_after_a_pause_a_seconds_worth_is_let_out() -> None:
    pace = Pace(1000, 0)
    assert pace.advance(9000, 1.0) is None
    assert (pace.shown, pace.fresh) == (9000, 8000)


def test_the_smallest_rate_lets_something_out() -> None:
    pace = Pace(1, 0)
    assert pace.advance(10, 1.0) is None
    assert pace.advance(20, 1.0) == 1.0
    assert pace.advance(20, 2.0) is None
    assert (pace.shown, pace.fresh) == (20, 19)
