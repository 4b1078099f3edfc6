"""The measure of how live a console is: what it forgives a loaded machine, and what it does not."""

import pytest

from tests.harness.echo import MOST_S, P95_S, Echoes

QUIET = Echoes([0.002] * 49 + [0.02])


def test_few_slow_echoes_are_forgiven() -> None:
    Echoes([0.003] * 95 + [P95_S + 0.1] * 5).hold_against(QUIET)


@pytest.mark.parametrize(
    "times",
    [[0.003] * 94 + [P95_S + 0.1] * 6, [0.003] * 999 + [MOST_S + 0.1]],
    ids=["many take long", "one takes very long"],
)
def test_a_console_that_stalls_is_caught(times: list[float]) -> None:
    with pytest.raises(AssertionError, match="meanwhile: "):
        Echoes(times).hold_against(QUIET)
