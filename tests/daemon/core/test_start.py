"""Where a reader of a console's records starts that names a position, or nothing."""

import pytest

from tests.harness.memory_store import MemoryStore
from tests.harness.records import unobserved
from tests.harness.starts import CAPACITY, ScriptedArchive, at, console, lines, start
from virtmux.records import Note, Position, rfc3339
from virtmux.replay import Replay
from virtmuxd.core.archive import Point, Seek, Sought
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.start import Start, find_start


def test_without_a_wish_it_is_the_end() -> None:
    records = console()
    records.append(b"old", 1)

    assert start(records) == Start(records.position)


def test_in_another_history_it_is_the_oldest_record() -> None:
    records = console()
    records.append(b"old", 1)

    assert start(records, position=str(Position("f" * 32, 10**6, 10**6))) == Start(at(records, 0), missing=True)


@pytest.mark.parametrize("offset", [0, 2, 3])
def test_a_bare_offset_is_one_of_the_history_that_is_held(offset: int) -> None:
    records = console()
    records.append(b"old", 1)

    assert start(records, position=str(offset)) == Start(at(records, offset))


@pytest.mark.parametrize(
    "position", ["HISTORY:4:1", "HISTORY:0:3", "4", str(2**63), "9" * 30, "x", "", "-1", "HISTORY", ":::"]
)
def test_a_position_that_cannot_be_is_refused(position: str) -> None:
    records = console()
    records.append(b"old", 1)

    with pytest.raises(ValueError, match="position"):
        start(records, position=position.replace("HISTORY", records.position.history))


def _allowed() -> Sequence:
    """Bytes `oldnew`, with marks 1 and 2 at 3, of which a reader may read what is behind the first."""
    records = console(ScriptedArchive((0, 1), (3, 1)))
    records.append(b"old", 1)
    records.mark(Note(rfc3339(1), "paused"))
    records.mark(Note(rfc3339(1), "resumed"))
    records.append(b"new", 1)
    return records


@pytest.mark.parametrize(
    ("replay", "position", "started"),
    [
        ("all", None, (6, 3)),
        ("bytes:1", None, (6, 3)),
        ("none", "2", (3, 2)),
        ("none", "HISTORY:2:1", (3, 2)),
        ("none", "HISTORY:3:1", (3, 2)),
        ("none", "f" * 32 + ":6:3", (3, 2)),
    ],
)
def test_what_may_not_be_read_is_withheld_and_the_archive_is_not_asked(
    replay: str, position: str | None, started: Point
) -> None:
    records = _allowed()
    asked = position and position.replace("HISTORY", records.position.history)
    found: list[Start] = []

    find_start(records, asked, Replay.parse(replay), found.append, since=at(records, 3, 2))

    assert found == [Start(at(records, *started), withheld=True)]
    assert isinstance(records.archive, ScriptedArchive)
    assert (records.archive.asked, records.archive.asked_how_old) == ([], 0)


@pytest.mark.parametrize(
    ("position", "started"),
    [(None, (6, 3)), ("HISTORY:3:2", (3, 2)), ("HISTORY:4:1", (4, 3)), ("4", (4, 3)), ("6", (6, 3))],
)
def test_what_may_be_read_is_not_withheld(position: str | None, started: Point) -> None:
    records = _allowed()
    asked = position and position.replace("HISTORY", records.position.history)
    found: list[Start] = []

    find_start(records, asked, Replay.parse("none"), found.append, since=at(records, 3, 2))

    assert found == [Start(at(records, *started))]


def test_of_an_offset_alone_that_may_be_read_the_marks_before_are_not() -> None:
    records = _allowed()
    found: list[Start] = []

    find_start(records, "3", Replay.parse("none"), found.append, since=at(records, 3, 2))

    assert found == [Start(at(records, 3, 2))]


def test_an_offset_that_nobody_holds_any_more_is_where_the_reader_is_told_so() -> None:
    records = console()
    records.append(lines(300), 1)

    assert start(records, position="17") == Start(at(records, 17))


def test_an_offset_that_is_only_in_the_archive_has_its_mark_from_there() -> None:
    archive = ScriptedArchive((0, 1), (5000, 4))
    records = console(archive)
    records.append(lines(500), 1)
    found: list[Start] = []

    find_start(records, "17", Replay.parse("none"), found.append)
    assert (archive.asked, found) == ([Sought(Seek.OFFSET, 17)], [])
    archive.answers[0]((17, 3))

    assert found == [Start(at(records, 17, 3))]


@pytest.mark.parametrize(("position", "offset"), [("HISTORY:17:1", 17), ("2000", 2000), ("HISTORY:2000:0", 2000)])
def test_a_position_that_is_whole_or_held_here_is_not_looked_for(position: str, offset: int) -> None:
    archive = ScriptedArchive((0, 1), (2900, 1))
    records = console(archive)
    records.append(lines(300), 1)
    asked = position.replace("HISTORY", records.position.history)

    assert start(records, position=asked) == Start(at(records, offset))
    assert archive.asked == []


@pytest.mark.parametrize("text", ["17", "HISTORY:17:0"])
def test_after_a_restart_of_the_machine_the_marks_behind_an_offset_are_in_the_archive(text: str) -> None:
    archive = ScriptedArchive((0, 1), (5000, 4))
    store = MemoryStore(CAPACITY)
    store.start = store.end = 5000
    store.next_mark = 4
    records = Sequence(7, store, unobserved, archive)
    found: list[Start] = []

    find_start(records, text.replace("HISTORY", store.history), Replay.parse("none"), found.append)
    assert (archive.asked, found) == ([Sought(Seek.OFFSET, 17)], [])
    archive.answers[0]((17, 2))

    assert found == [Start(at(records, 17, 2))]
