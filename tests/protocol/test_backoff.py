"""The intervals between attempts."""

from hypothesis import given
from hypothesis import strategies as st

from virtmux.backoff import Backoff


def test_intervals_double_up_to_the_longest() -> None:
    backoff = Backoff(lambda: 0.0, first=1.0, longest=10.0)
    assert [backoff.next() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_chance_shortens_an_interval_by_up_to_a_quarter() -> None:
    assert Backoff(lambda: 0.5, first=8.0).next() == 7.0


def test_a_success_starts_over() -> None:
    backoff = Backoff(lambda: 0.0, first=1.0)
    backoff.next()
    backoff.next()
    backoff.reset()
    assert backoff.next() == 1.0


def test_an_interval_that_was_cut_short_does_not_count() -> None:
    backoff = Backoff(lambda: 0.0, first=1.0)
    backoff.take_back()
    assert backoff.next() == 1.0
    assert backoff.next() == 2.0
    backoff.take_back()
    assert backoff.next() == 2.0


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 10_000))
def test_chance_shortens_an_interval_by_a_quarter_at_most(chance: float, attempts: int) -> None:
    exact, jittered = Backoff(lambda: 0.0, attempts=attempts), Backoff(lambda: chance, attempts=attempts)
    whole = exact.next()
    assert 0 < 0.75 * whole <= jittered.next() <= whole <= 30.0
