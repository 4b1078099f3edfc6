"""How late the event loop was is told as a distribution, and as the worst of the last minute."""

from virtmuxd.core.loop_lag import BOUNDS, LoopLag


def test_before_the_first_beat_nothing_is_late() -> None:
    lag = LoopLag()
    assert (lag.worst, lag.sum, lag.counts) == (0.0, 0.0, [0] * (len(BOUNDS) + 1))


def test_each_beat_counts_for_every_bound_that_it_keeps() -> None:
    lag = LoopLag()
    for late in (0.0, 0.001, 0.3, 60.0):
        lag.beat(late)
    assert dict(zip(BOUNDS, lag.counts, strict=False)) == {bound: 2 if bound < 0.5 else 3 for bound in BOUNDS}
    assert lag.counts[-1] == 4
    assert lag.sum == 60.301


def test_the_worst_is_forgotten_after_a_minute() -> None:
    lag = LoopLag()
    lag.beat(1.5)
    for _ in range(59):
        lag.beat(0.0)
    assert lag.worst == 1.5
    lag.beat(0.25)
    assert lag.worst == 0.25


def test_a_beat_that_comes_early_is_not_late() -> None:
    lag = LoopLag()
    lag.beat(-0.0001)
    assert (lag.worst, lag.sum, lag.counts[0]) == (0.0, 0.0, 1)
