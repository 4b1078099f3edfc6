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


def test_a_guest_that_speaks_may_be_sent_all_of_it_again() -> None:
    budget = Budget(10)
    budget.spend(10)

    budget.heard()

    assert budget.left == 10


@given(st.lists(st.one_of(st.none(), st.integers(0, 20))))
def test_between_two_words_of_the_guest_no_more_than_its_size_is_spent(steps: list[int | None]) -> None:
    budget = Budget(16)
    since_heard = 0

    for step in steps:
        if step is None:
            budget.heard()
            since_heard = 0
        else:
            sent = min(step, budget.left)
            budget.spend(sent)
            since_heard += sent
        assert since_heard <= 16
        assert budget.left == 16 - since_heard
