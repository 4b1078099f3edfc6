"""When entries were made."""

import pytest

from virtmux.journal.entries import Batch, Closed, Entry, Marked, Opened
from virtmux.journal.times import moment
from virtmux.records import Note


@pytest.mark.parametrize(
    ("entry", "at"),
    [
        (Opened("b", 7), 7),
        (Batch(0, 6, 0, 1_000_000, ((2, 0), (3, 12), (1, 15))), 16_000_000),
        (Batch(0, 0, 0, 1_000_000, ()), 1_000_000),
        (Marked(1, 0, Note("1970-01-01T00:00:00.000003Z", "paused")), 3000),
        (Marked(1, 0, Note("soon", "paused")), None),
        (Closed(9, "rotated"), None),
    ],
)
def test_the_moment_of_an_entry_is_that_of_the_last_that_it_tells(entry: Entry, at: int | None) -> None:
    assert moment(entry) == at
