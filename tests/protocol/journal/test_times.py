"""When entries were made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtmux.journal.entries import Batch, Closed, Entry, Marked, Opened
from virtmux.journal.times import moment, nanoseconds
from virtmux.records import Note, rfc3339


@given(st.integers(0, 250_000_000_000 * 1_000_000_000))
def test_a_time_of_a_mark_is_read_to_the_microsecond(ns: int) -> None:
    assert nanoseconds(rfc3339(ns)) == ns // 1000 * 1000


@pytest.mark.parametrize("text", ["", "now", "2026-01-31T25:00:00Z", "9" * 40])
def test_what_is_no_time_is_none(text: str) -> None:
    assert nanoseconds(text) is None


def test_a_time_without_a_zone_is_utc() -> None:
    assert nanoseconds("1970-01-01T00:00:01") == 1_000_000_000


@pytest.mark.parametrize(
    ("entry", "at"),
    [
        (Opened("b", 7), 7),
        (Batch(0, 5, 0, 1_000_000, ((2, 0), (3, 12))), 13_000_000),
        (Marked(1, 0, Note("1970-01-01T00:00:00.000003Z", "paused")), 3000),
        (Marked(1, 0, Note("soon", "paused")), None),
        (Closed(9, "rotated"), None),
    ],
)
def test_the_moment_of_an_entry_is_that_of_the_last_that_it_tells(entry: Entry, at: int | None) -> None:
    assert moment(entry) == at
