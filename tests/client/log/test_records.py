"""When a record came."""

import pytest

from tests.harness.scripted_daemon import AT
from virtmux.records import Note, Position
from virtmux_cli.log.records import Chunk, Gap, History, HistoryInfo, Marked, Record, time_of


@pytest.mark.parametrize(
    ("record", "at"),
    [
        (Chunk(0, b"a", 7), 7),
        (Chunk(0, b"a", None), None),
        (Marked(0, 1, Note(AT, "paused")), 1740830400_000000000),
        (Marked(0, 1, Note("soon", "paused")), None),
        (Marked(0, 1, Note("2025-03-01T12:00:00", "paused")), None),
        (Gap(0, 1, 2, 1, None), None),
        (History("a" * 32), None),
    ],
)
def test_output_and_marks_have_a_time_where_it_is_known(record: Record, at: int | None) -> None:
    assert time_of(record) == at


def test_a_history_is_called_by_its_id() -> None:
    assert HistoryInfo(Position("a" * 32, 0, 1), Position("a" * 32, 5, 1), None, None, ()).id == "a" * 32
