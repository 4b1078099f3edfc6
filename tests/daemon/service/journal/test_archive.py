"""What readers of a console are given from its journal."""

from tests.harness.reading import Reader
from tests.harness.recording import RING, Recording
from virtmux.messages import Gap, MarkMessage
from virtmux.records import Note, Position, rfc3339
from virtmux.wire import Output
from virtmuxd.core.archive import Page, Point, Seek, Sought
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.store import MAX_MARKS

MANY = RING + 1024


def much(record: Recording) -> None:
    """More than the ring holds, and all of it is written."""
    for _ in range(4):
        record.print(b"x" * (MANY // 4))
        record.settle()


def fetch(record: Recording, start: Point, stop: Point) -> list[Page]:
    given: list[list[Page]] = []
    record.archive.fetch(start, stop, timed=False, give=given.append)
    record.readers.answer()
    (pages,) = given
    return pages


def find(record: Recording, kind: Seek, number: int = 0) -> Point | None:
    given: list[Point | None] = []
    record.archive.find(Sought(kind, number), given.append)
    record.readers.answer()
    (point,) = given
    return point


def at(record: Recording, offset: int, mark: int = 1) -> Position:
    return Position(record.history, offset, mark)


def read_all(record: Recording, position: Position) -> list[Output | MarkMessage | Gap]:
    reader, taken = Reader(record.console.sequence, position), []
    while True:
        taken += reader.all()
        if not record.readers.answer():
            break
    assert reader.position == record.console.sequence.position
    return taken


def test_where_nothing_is_written_yet_nothing_is_found(record: Recording) -> None:
    assert find(record, Seek.OLDEST) is None
    assert fetch(record, (0, 1), (10, 1)) == []


def test_what_is_looked_for_is_found_as_it_stands_in_the_files(record: Recording) -> None:
    record.print(b"first\nsecond\nthird")
    record.note()
    record.settle()

    assert find(record, Seek.OLDEST) == (0, 1)
    assert find(record, Seek.OFFSET, 7) == (7, 1)
    assert find(record, Seek.LINE, 3) == (6, 1)
    assert find(record, Seek.LINES, 2) == (6, 1)
    assert find(record, Seek.SINCE, record.now + 1) == (18, 2)


def test_what_was_written_since_it_was_looked_at_is_found(record: Recording) -> None:
    record.print(b"one")
    record.settle()
    assert [page[1:3] for page in fetch(record, (0, 1), (100, 1))] == [(3, 1)]
    record.print(b"two")
    record.settle()

    assert [page[1:3] for page in fetch(record, (3, 1), (100, 1))] == [(6, 1)]


def test_a_position_that_cannot_be_is_followed_by_what_was_passed(record: Recording) -> None:
    """Its reader counts along from it."""
    record.print(b"one")
    record.note()
    record.note()
    record.print(b"x" * 17)
    record.note()
    record.settle()

    assert [page[1:3] for page in fetch(record, (10, 2), (20, 4))] == [(10, 3), (20, 3), (20, 4)]


def test_a_reader_that_misses_marks_is_given_all_bytes(record: Recording) -> None:
    much(record)
    record.note()
    record.note()
    record.settle()

    taken = read_all(record, at(record, 0, 3))

    assert sum(len(each.data) for each in taken if isinstance(each, Output)) == MANY
    assert not [each for each in taken if isinstance(each, Gap)]


def test_a_timed_reader_is_told_the_times_that_are_in_the_files(record: Recording) -> None:
    much(record)
    reader = Reader(record.console.sequence, at(record, 0), timed=True)
    while reader.position != record.console.sequence.position:
        reader.all()
        record.readers.answer()

    told = {each.at: each.offset for each in reversed(reader.times)}  # from the ring on the same one again
    assert sorted(told.values()) == [0, MANY // 4, MANY // 4 * 2, MANY // 4 * 3]


def test_a_history_that_moved_is_read_where_it_is(record: Recording) -> None:
    record.print(b"one")
    record.settle()
    fetch(record, (0, 1), (3, 1))
    record.recorder.move(ConsoleKey("qemu/system/other", *record.console.key[1:]), record.now)
    record.write()

    assert [page[1:3] for page in fetch(record, (0, 1), (3, 1))] == [(3, 1)]


# What is forgotten.


def test_marks_that_were_forgotten_are_not_given_though_they_were_read_before(record: Recording) -> None:
    record.note()
    record.print(b"secret")
    record.settle()
    assert len(fetch(record, (0, 1), (0, 2))) == 1
    record.console.forget(lambda: None)
    record.print(b"news")

    (only,) = fetch(record, (0, 1), (0, 2))
    assert b'"gap"' in only.frame


def test_what_was_forgotten_is_a_gap_before_it_is_deleted_as_well(record: Recording) -> None:
    much(record)
    record.console.forget(lambda: None)
    record.print(b"news")

    taken = read_all(record, at(record, 0))

    assert [type(each) for each in taken] == [Gap, Output]
    assert record.archive.oldest == (MANY, 1), "it stays so, though the files still have it"


def test_what_came_behind_it_is_read_from_the_files(record: Recording) -> None:
    record.print(b"secret")
    record.settle()
    record.console.forget(lambda: None)
    record.print(b"news" * 10)
    record.settle()
    record.print(b"x" * RING)
    record.settle()

    first, *others = read_all(record, at(record, 0))

    assert first == Gap(record.console.handle, 0, 1, 6, 1)
    assert sum(len(each.data) for each in others if isinstance(each, Output)) == 40 + RING


def test_an_offset_that_was_forgotten_is_started_at_so_that_what_is_missing_is_told(record: Recording) -> None:
    much(record)
    record.console.forget(lambda: None)

    assert find(record, Seek.OFFSET, 0) == (0, 1)
    assert find(record, Seek.OLDEST, 0) == (MANY, 1)


def test_an_end_whose_reason_was_not_known_when_all_was_forgotten_is_read_from_the_files(record: Recording) -> None:
    record.print(b"secret")
    reserved = record.console.sequence.reserve(Note(rfc3339(record.now), "paused"))
    record.print(b" behind")
    record.settle()
    record.console.forget(lambda: None)
    record.console.sequence.complete(reserved, Note(rfc3339(record.now), "resumed"))
    record.settle()
    for _ in range(MAX_MARKS):
        record.note()
    record.settle()
    handle = record.console.handle

    assert read_all(record, at(record, 0))[:3] == [
        Gap(handle, 0, 1, 6, 1),
        MarkMessage(handle, 6, 1, reserved.record),
        Gap(handle, 6, 2, 13, 2),
    ]


def test_output_that_was_forgotten_is_not_given_though_a_mark_before_it_is(record: Recording) -> None:
    record.print(b"secret")
    reserved = record.console.sequence.reserve(Note(rfc3339(record.now), "paused"))
    record.print(b" behind")
    record.settle()
    record.console.forget(lambda: None)
    record.console.sequence.complete(reserved, Note(rfc3339(record.now), "resumed"))

    pages = fetch(record, (0, 1), (13, 2))

    assert pages[-1][1:3] == (13, 1)
    assert all(b'"gap"' in page.frame for page in pages)


# How long the files are known.


def is_known(record: Recording) -> bool:
    return record.archive._history is not None


def test_what_was_read_of_the_files_is_dropped_once_nobody_reads(record: Recording) -> None:
    record.print(b"one")
    record.settle()
    fetch(record, (0, 1), (3, 1))
    record.clock.advance(29)
    fetch(record, (0, 1), (3, 1))
    record.clock.advance(29)
    assert is_known(record)

    record.clock.advance(2)

    assert not is_known(record)
    assert [page[1:3] for page in fetch(record, (0, 1), (3, 1))] == [(3, 1)]


def test_it_is_not_dropped_under_a_reader(record: Recording) -> None:
    record.print(b"one")
    record.settle()
    fetch(record, (0, 1), (3, 1))
    with record.archive._lock:
        record.clock.advance(31)
        assert is_known(record)
    record.clock.advance(31)

    assert not is_known(record)
