"""The token bucket."""

from hypothesis import given
from hypothesis import strategies as st

from virtmuxd.core.bucket import Bucket


def test_it_is_full_at_first_and_fills_with_time() -> None:
    bucket = Bucket()
    assert bucket.level(10, 100, 5.0) == 100
    bucket.take(100)
    assert bucket.level(10, 100, 5.0) == 0
    assert bucket.level(10, 100, 5.55) == 5
    assert bucket.level(10, 100, 1000.0) == 100


def test_another_rate_counts_from_the_next_look_on() -> None:
    bucket = Bucket()
    bucket.take(bucket.level(10, 100, 0.0))
    assert bucket.level(20, 100, 1.0) == 20
    assert bucket.level(20, 10, 2.0) == 10


def test_a_clock_that_is_set_back_does_no_harm() -> None:
    bucket = Bucket()
    bucket.take(bucket.level(10, 100, 50.0))
    assert bucket.level(10, 100, 20.0) == 0
    assert bucket.level(10, 100, 21.0) == 10


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 1000))), st.integers(1, 1000), st.integers(1, 5000))
def test_no_more_passes_than_a_burst_and_the_rate_allow(asked: list[tuple[float, int]], rate: int, burst: int) -> None:
    bucket, now, passed = Bucket(), 0.0, 0
    for pause, size in asked:
        now += pause
        passing = min(size, bucket.level(rate, burst, now))
        bucket.take(passing)
        passed += passing
        assert passed <= burst + rate * now + 1
