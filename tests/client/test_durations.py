"""Durations as people write them."""

import math

import pytest

from virtmux_cli.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), ("5m", 300), ("2h", 7200), ("1h30m", 5400), ("1d1s", 86401), ("forever", math.inf)],
)
def test_a_duration_is_a_number_or_parts_with_their_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5 m", "1h30", "-1", "1e3", "m", "\u0665"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)
