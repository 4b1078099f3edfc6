"""Where a reader of a console's records starts that looks back: by bytes, lines, a boot or a time."""

import pytest

from tests.harness.memory_store import MemoryStore
from tests.harness.records import unobserved
from tests.harness.starts import CAPACITY, SECOND, ScriptedArchive, at, boot, console, lines, not_given, start
from virtmux.records import Note, Position, rfc3339
from virtmux.replay import Replay
from virtmuxd.core.archive import Seek, Sought
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.start import Start, find_start
from virtmuxd.core.store import MAX_MARKS

# Some bytes back.


def test_some_bytes_back_is_the_start_of_the_first_line_that_is_whole() -> None:
    records = console()
    records.append(lines(20), 1)

    assert start(records, "bytes:35") == Start(at(records, 170))
    assert start(records, "bytes:30") == Start(at(records, 170))


def test_more_bytes_back_than_there_are_is_the_beginning() -> None:
    records = console()
    records.append(lines(3), 1)

    assert start(records, "bytes:16384") == Start(at(records, 0))


def test_no_byte_back_is_the_end() -> None:
    records = console()
    records.append(lines(3), 1)

    assert start(records, "bytes:0") == Start(records.position)


def test_some_bytes_back_never_cross_the_start_of_the_newest_incarnation() -> None:
    records = console()
    boot(records, 1)
    records.append(lines(5), 1)
    boot(records, 2)
    records.append(lines(5), 2)

    assert start(records, "bytes:9999") == Start(at(records, 50, 2))
    assert start(records, "bytes:20") == Start(at(records, 80, 3))


def test_back_to_the_very_start_of_the_newest_incarnation_is_at_its_mark() -> None:
    records = console()
    boot(records, 1)
    records.append(lines(5), 1)
    records.mark(Note(rfc3339(2), "paused"))
    boot(records, 2)
    records.append(lines(5), 2)

    assert start(records, "bytes:50") == Start(at(records, 50, 3))


@pytest.mark.parametrize("replay", ["bytes:20", "lines:2"])
def test_a_line_before_marks_of_which_the_first_are_gone_begins_with_the_first_that_is_held(replay: str) -> None:
    records = console()
    records.append(lines(5), 1)
    for _ in range(MAX_MARKS + 2):
        records.mark(Note(rfc3339(1), "paused"))

    assert start(records, replay) == Start(at(records, 30, 3))


def test_an_attachment_more_in_an_incarnation_is_no_start_of_one() -> None:
    records = console()
    boot(records, 1)
    records.append(lines(5), 1)
    boot(records, 1)
    records.append(lines(5), 2)

    assert start(records, "bytes:9999") == Start(at(records, 0))


def test_a_cut_is_not_in_an_escape_sequence_or_a_character() -> None:
    records = console()
    records.append(b"x" * 10 + b"\x1b[1;31m" + "é".encode() * 10, 1)

    assert start(records, "bytes:23") == Start(at(records, 17))
    assert start(records, "bytes:19") == Start(at(records, 19))


def test_a_cut_is_not_in_the_longest_escape_sequence_either() -> None:
    records = Sequence(7, MemoryStore(), unobserved)
    title = b"\x1b]0;" + "é".encode() * 4000 + b"\nweb1\x07"
    records.append(title + b"\nlogin:", 1)

    assert start(records, "bytes:100") == Start(at(records, len(title) + 1))


def test_what_is_no_longer_held_is_named_where_it_was_wanted() -> None:
    records = console()
    boot(records, 1)
    records.append(lines(300), 1)

    assert start(records, "bytes:2000") == Start(at(records, 2000, 2), missing_from=1000)
    assert start(records, "bytes:500") == Start(at(records, 2500, 2))
    assert start(records, "boot") == Start(at(records, 0), missing_from=0), "the mark is held, the bytes are not"


def test_what_only_the_archive_has_is_looked_for_there() -> None:
    archive = ScriptedArchive((0, 1), (2900, 2))
    records = console(archive)
    records.append(lines(300), 1)
    found: list[Start] = []

    find_start(records, None, Replay.parse("bytes:1995"), found.append)
    assert archive.asked == [Sought(Seek.LINE, 1005)]
    archive.answers[0]((1010, 1))

    assert found == [Start(at(records, 1010))]


def test_where_the_archive_does_not_have_it_either_it_is_what_is_held() -> None:
    archive = ScriptedArchive((1500, 1), (2900, 2))
    records = console(archive)
    records.append(lines(300), 1)
    found: list[Start] = []

    find_start(records, None, Replay.parse("bytes:1995"), found.append)
    assert archive.asked == [Sought(Seek.LINE, 1500)]
    archive.answers[0](None)

    assert found == [Start(at(records, 2000), missing_from=1005)]


@pytest.mark.parametrize(
    ("replay", "started"),
    [("bytes:1995", (2000, 1005)), ("lines:150", (2000, None)), ("bytes:1000", (2000, None)), ("boot", (0, 0))],
)
def test_an_archive_that_has_nothing_older_is_not_asked_where_something_is(
    replay: str, started: tuple[int, int | None]
) -> None:
    archive = ScriptedArchive((2000, 1), (2900, 1))
    records = console(archive)
    boot(records, 1)
    records.append(lines(300), 1)
    offset, missing_from = started

    assert start(records, replay) == Start(at(records, offset, 2 if offset else 1), missing_from=missing_from)
    assert archive.asked == []


@pytest.mark.parametrize(("replay", "asked"), [("bytes:1000", 0), ("bytes:1001", 1), ("all", 1)])
def test_how_old_the_archive_is_is_asked_only_where_that_may_matter(replay: str, asked: int) -> None:
    archive = ScriptedArchive((1, 1), (1, 1))
    records = console(archive)
    records.append(lines(100) + b"\n", 1)

    find_start(records, None, Replay.parse(replay), lambda _start: None)

    assert archive.asked_how_old == asked


# All, a boot, some lines, a time.


def test_all_is_the_oldest_record_that_anybody_holds() -> None:
    records = console(ScriptedArchive((500, 3), (2900, 9)))
    records.append(lines(300), 1)

    assert start(records, "all") == Start(at(records, 500, 1), missing_from=0)


def test_a_boot_is_the_mark_with_which_it_began() -> None:
    records = console()
    boot(records, 1)
    records.append(lines(5), 1)
    boot(records, 2)
    records.append(lines(5), 2)

    assert start(records, "boot") == Start(at(records, 50, 2))


def test_what_was_said_before_the_mark_of_a_boot_is_none_of_it() -> None:
    records = console()
    records.append(b"firmware\n", 1)
    boot(records, 1)

    assert start(records, "boot") == Start(at(records, 9, 1))


def test_of_a_boot_whose_mark_is_gone_it_is_the_oldest_record() -> None:
    records = console()
    boot(records, 1)
    records.append(lines(5), 1)
    for _ in range(MAX_MARKS + 1):
        records.mark(Note(rfc3339(1), "paused"))

    assert start(records, "boot") == Start(at(records, 0, 3))


@pytest.mark.parametrize(("number", "offset"), [(0, 50), (1, 40), (2, 30), (5, 0), (9, 0)])
def test_some_lines_back(number: int, offset: int) -> None:
    records = console()
    records.append(lines(5), 1)

    assert start(records, f"lines:{number}").position.offset == offset


def test_lines_that_are_all_here_are_not_looked_for_in_the_archive() -> None:
    archive = ScriptedArchive((0, 1), (1009, 1))
    records = console(archive)
    records.append(lines(101)[:-1], 1)
    assert records.held(records.start, 10) == b"\n", "the end of a line of which the rest is gone"

    assert start(records, "lines:100") == Start(at(records, 10))
    assert archive.asked == []


def test_more_lines_than_are_here_are_counted_back_from_the_archives_end() -> None:
    archive = ScriptedArchive((0, 1), (2900, 2))
    records = console(archive)
    records.append(lines(300), 1)
    found: list[Start] = []

    find_start(records, None, Replay.parse("lines:150"), found.append)

    assert archive.asked == [Sought(Seek.LINES, 140)], "ten lines are not in the archive yet"


@pytest.mark.parametrize(
    ("recorded", "counted"),
    [(b"", 2), (b"old\n", 2), (b"old\no", 3), (b"old\nol", 3)],
    ids=["none of it", "whole lines", "a byte of a line", "a part of a line"],
)
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_of_which_the_archive_has_a_part_is_counted_there(recorded: bytes, counted: int, end: bytes) -> None:
    """The archive has these bytes before what it was given last, of which the ring has it all."""
    archive = ScriptedArchive((0, 1), (2000 + len(recorded), 1))
    store = MemoryStore(CAPACITY)
    store.start = store.end = 2000
    records = Sequence(7, store, unobserved, archive)
    records.append(b"old\nold\n" + b"$" + end, 1)

    find_start(records, None, Replay.parse("lines:4"), not_given)

    assert archive.asked == [Sought(Seek.LINES, counted)]


def test_a_line_whose_end_alone_is_here_is_counted_in_the_archive() -> None:
    archive = ScriptedArchive((0, 1), (2000, 1))
    store = MemoryStore(CAPACITY)
    store.start = store.end = 2000
    records = Sequence(7, store, unobserved, archive)
    records.append(b"\nlogin: ", 1)

    find_start(records, None, Replay.parse("lines:2"), not_given)

    assert archive.asked == [Sought(Seek.LINES, 1)]


def test_a_time_is_the_first_record_of_it_or_later() -> None:
    records = console()
    records.append(lines(1), 10 * SECOND)
    records.append(lines(1), 20 * SECOND)
    records.mark(Note(rfc3339(30 * SECOND), "paused"))
    records.append(lines(1), 40 * SECOND)

    def since(seconds: int) -> Position:
        return start(records, f"since:{rfc3339(seconds * SECOND)}").position

    assert since(5) == at(records, 0)
    assert since(15) == at(records, 10)
    assert since(25) == since(30) == at(records, 20, 1)
    assert since(35) == since(40) == at(records, 20, 2)
    assert since(45) == records.position


@pytest.mark.parametrize(("seconds", "started"), [(9, None), (20, None), (21, 1010), (31, 1020)])
def test_a_time_before_what_is_known_here_is_looked_for_in_the_archive(seconds: int, started: int | None) -> None:
    """After a restart of the daemon that is when output came first."""
    archive = ScriptedArchive((0, 1), (1000, 1))
    store = MemoryStore(CAPACITY)
    store.append(bytes(CAPACITY), 10 * SECOND)
    records = Sequence(7, store, unobserved, archive)
    records.append(lines(1), 20 * SECOND)
    records.append(lines(1), 30 * SECOND)
    found: list[Start] = []

    find_start(records, None, Replay.parse(f"since:{rfc3339(seconds * SECOND)}"), found.append)

    if started is None:
        assert (archive.asked, found) == ([Sought(Seek.SINCE, seconds * SECOND)], [])
        archive.answers[0](None)
        assert found == [Start(records.oldest)]
    else:
        assert (archive.asked, found) == ([], [Start(at(records, started))])
