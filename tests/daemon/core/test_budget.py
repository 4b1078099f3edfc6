"""How much input may be under way to a guest on a shared connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtmuxd.core.budget import Budget


def test_what_is_sent_is_no_longer_left() -> None:
    budget = Budget(8192)

    budget.spend(8000)

    assert budget.left == 192


def test_nothing_is_left_once_all_is_spent() -> None:
    budget = Budget(10)

    budget.spend(10)

    assert budget.left == 0


@pytest.mark.parametrize("n", [11, -1])
def test_more_than_is_left_cannot_be_spent(n: int) -> None:
    budget = Budget(10)

    with pytest.raises(ValueError, match="10 may be sent"):
        budget.spend(n)
    assert budget.left == 10


def test_a_guest_that_speaks_may_be_sent_as_much_again() -> None:
    budget = Budget(10)
    budget.spend(10)

    budget.heard(3)
    assert budget.left == 3

    budget.heard(100)
    assert budget.left == 10


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20))))
def test_a_guest_is_never_sent_more_than_it_said_and_the_size(steps: list[tuple[bool, int]]) -> None:
    budget = Budget(16)
    sent = said = 0

    for speaks, size in steps:
        if speaks:
            budget.heard(size)
            said += size
        else:
            fitting = min(size, budget.left)
            budget.spend(fitting)
            sent += fitting
        assert sent <= said + 16
        assert 0 <= budget.left <= 16
