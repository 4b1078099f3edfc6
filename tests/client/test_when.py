"""Points in time on the command line."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtmux.records import nanoseconds
from virtmux_cli.when import parse_when

SECOND = 10**9
ZONE = timezone(timedelta(hours=2))
NOW = nanoseconds(datetime(2026, 1, 31, 23, 30, 15, tzinfo=UTC)) + 7
"""In `ZONE` it is half past one on the first of February."""


def at(*clock: int) -> int:
    return nanoseconds(datetime(*clock, tzinfo=ZONE))  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("today", at(2026, 2, 1)),
        ("yesterday", at(2026, 1, 31)),
        ("2026-01-30", at(2026, 1, 30)),
        ("2026-01-30 12:01", at(2026, 1, 30, 12, 1)),
        ("2026-01-30 12:01:02", at(2026, 1, 30, 12, 1, 2)),
        ("2026-01-30T12:01:02.25", at(2026, 1, 30, 12, 1, 2, 250000)),
        ("2026-01-30T12:01:02Z", at(2026, 1, 30, 14, 1, 2)),
        ("2026-01-30T12:01:02.000001+02:00", at(2026, 1, 30, 12, 1, 2, 1)),
        ("2026-01-30t12:01:02.123456789z", at(2026, 1, 30, 14, 1, 2, 123456)),
        ("12:01", at(2026, 2, 1, 12, 1)),
        ("12:01:02", at(2026, 2, 1, 12, 1, 2)),
        ("-1h", NOW - 3600 * SECOND),
        ("-1h30m", NOW - 5400 * SECOND),
        ("-90", NOW - 90 * SECOND),
        ("-100000d", 0),
        ("@1700000000", 1700000000 * SECOND),
        ("@1700000000.5", 1700000000 * SECOND + SECOND // 2),
        (" now ", NOW),
    ],
)
def test_a_time_is_written_as_for_journalctl(text: str, expected: int) -> None:
    assert parse_when(text, NOW, ZONE) == expected


def test_without_a_zone_the_local_one_counts() -> None:
    local = datetime(2026, 1, 30, 12, 1).astimezone()
    assert parse_when("2026-01-30 12:01", NOW) == nanoseconds(local)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026",
        "2026-13-01",
        "2026-01-30 25:00",
        "20260130",
        "2026-W05-1",
        "12",
        "12:60",
        "-",
        "-forever",
        "-1y",
        "@",
        "@-1",
        "@999999999999999999",
        "0001-01-01",
        "\u0661\u0662:00",
        "a\nb",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a time") as error:
        parse_when(text, NOW, ZONE)
    assert "\n" not in str(error.value)


@given(st.text(st.sampled_from("0123456789-:.@TZ +hmd"), max_size=25))
def test_it_is_a_time_or_a_value_error(text: str) -> None:
    try:
        assert parse_when(text, NOW, ZONE) >= 0
    except ValueError as error:
        assert str(error).startswith("not a time")
