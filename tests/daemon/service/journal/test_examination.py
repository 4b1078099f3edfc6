"""How much of a segment that is found is true; what becomes of it is in test_crashes.py."""

from pathlib import Path

import pytest

from tests.harness.console_files import (
    BOOT,
    H1,
    H2,
    NEXT_BOOT,
    WEB,
    batch,
    console,
    home,
    mark,
    stopped,
    text,
)
from virtmux.journal.entries import Batch, entries
from virtmuxd.service.journal.examination import Found, examine, last_position
from virtmuxd.service.journal.recovery import use_up
from virtmuxd.service.journal.settings import Settings


@pytest.fixture
def place(tmp_path: Path) -> Path:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 5), batch(5, 9)], [mark(1)], 1)
    return home(tmp_path)


def found(place: Path, boot: str = BOOT) -> Found:
    result = examine(place, "serial0", boot)
    assert result is not None
    return result


def test_what_is_whole_stays_as_it_is(place: Path) -> None:
    result = found(place)

    assert (result.index, result.wrong, result.clean, result.walk.position) == (result.was, None, False, (9, 2))


def test_a_batch_that_is_there_in_part_is_kept_in_part_and_the_marks_behind_it_stay(place: Path) -> None:
    (place / "serial0.log").write_bytes(text(0, 7))

    result = found(place)

    assert (result.wrong, result.cut, result.walk.position) == (None, None, (7, 2))
    kept = [entry.size for entry, _ in entries(result.index) if isinstance(entry, Batch)]
    assert kept == [5, 2]


def test_after_another_boot_what_does_not_verify_has_to_go(place: Path) -> None:
    (place / "serial0.log").write_bytes(text(0, 7))

    result = found(place, NEXT_BOOT)

    assert (result.wrong, result.cut, result.walk.position) == ("its log is shorter than its index says", 5, (5, 1))


def test_a_log_that_is_another_file_is_never_cut(place: Path) -> None:
    (place / "serial0.log").rename(place / "elsewhere")
    (place / "serial0.log").write_bytes(b"somebody's")

    assert found(place, NEXT_BOOT).cut is None


def test_a_clean_stop_is_seen(place: Path, tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 9, 2, 1)
    files.stop(stopped(9, 2))

    assert found(place, NEXT_BOOT).clean


def test_once_this_boot_goes_on_no_part_of_a_batch_of_the_one_before_is_believed(place: Path, tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 9, 2, 1)
    files.stop(stopped(9, 2))
    use_up(Settings(directory=tmp_path), WEB, NEXT_BOOT, 5)
    (place / "serial0.log").write_bytes(text(0, 5) + b"\0\0")  # as a power failure leaves it

    result = found(place, NEXT_BOOT)

    assert result.walk.position == (5, 2)
    assert result.wrong == "its log holds more than it was given"


def test_where_no_index_can_be_read_nothing_is_found(place: Path) -> None:
    (place / "serial0.idx").write_bytes(b"garbage\n")

    assert examine(place, "serial0", BOOT) is None
    assert examine(place / "none", "serial0", BOOT) is None


def test_the_newest_segment_of_a_history_says_where_it_ends(place: Path) -> None:
    assert last_position(place, "serial0", H1) == (9, 2)
    assert last_position(place, "serial0", H2) is None
