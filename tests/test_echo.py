"""The measure of how live a console is: what it forgives a loaded machine, and what it does not."""

import pytest

from tests.harness.echo import MOST_S, P95_S, Echoes

QUIET = Echoes([0.002] * 49 + [0.02])


@pytest.mark.parametrize("times", [[0.003] * 95 + [P95_S + 0.1] * 5, [0.003] * 14 + [P95_S + 0.1]], ids=["many", "few"])
def test_one_of_twenty_slow_echoes_or_one_of_fewer_is_forgiven(times: list[float]) -> None:
    Echoes(times).hold_against(QUIET)


@pytest.mark.parametrize(
    "times",
    [[0.003] * 94 + [P95_S + 0.1] * 6, [0.003] * 999 + [MOST_S + 0.1]],
    ids=["many take long", "one takes very long"],
)
def test_a_console_that_stalls_is_caught(times: list[float]) -> None:
    with pytest.raises(AssertionError, match="meanwhile: "):
        Echoes(times).hold_against(QUIET)
