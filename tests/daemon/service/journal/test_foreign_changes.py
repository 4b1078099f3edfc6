"""Somebody changes the files while the daemon writes them: it is noticed, what can be read stays, the rest is named."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.console_files import H1, batch, console, holds, home, mark, names, text
from tests.harness.journal_files import Story, lines, read

DEVICE = "serial0"


def _truncate(directory: Path) -> None:
    os.truncate(directory / "serial0.log", 0)


def _truncate_in_part(directory: Path) -> None:
    os.truncate(directory / "serial0.log", 60)


def _append(directory: Path) -> None:
    with (directory / "serial0.log").open("ab") as log:
        log.write(b"somebody was here\n")


def _delete(directory: Path) -> None:
    (directory / "serial0.log").unlink()


def _delete_index(directory: Path) -> None:
    (directory / "serial0.idx").unlink()


def _truncate_index(directory: Path) -> None:
    os.truncate(directory / "serial0.idx", 0)


def _append_to_index(directory: Path) -> None:
    with (directory / "serial0.idx").open("ab") as index:
        index.write(b"somebody was here\n")


def _replace_index(directory: Path) -> None:
    (directory / "serial0.idx").rename(directory / "old")
    (directory / "serial0.idx").write_bytes(b"another\n")


def _move_away(directory: Path) -> None:
    (directory / "serial0.log").rename(directory.parent / "elsewhere")


def _move_and_create(directory: Path) -> None:
    """As logrotate does with `create`."""
    (directory / "serial0.log").rename(directory / "serial0.log.1")
    (directory / "serial0.log").write_bytes(b"")


def _move_with_a_date(directory: Path) -> None:
    """As logrotate does with `nocreate` and `dateext`."""
    (directory / "serial0.log").rename(directory / "serial0.log-20260131")


def _copy_and_truncate(directory: Path) -> None:
    """As logrotate does with `copytruncate`."""
    shutil.copy(directory / "serial0.log", directory / "serial0.log.1")
    os.truncate(directory / "serial0.log", 0)


def _replace(directory: Path) -> None:
    (directory / "serial0.log").rename(directory.parent / "elsewhere")
    (directory / "serial0.log").write_bytes(b"another log\n")


def _replace_by_a_pipe(directory: Path) -> None:
    (directory / "serial0.log").unlink()
    os.mkfifo(directory / "serial0.log")


def _replace_by_a_link(directory: Path) -> None:
    (directory / "serial0.log").unlink()
    (directory / "serial0.log").symlink_to("/etc/hostname")


def _remove_all(directory: Path) -> None:
    shutil.rmtree(directory.parent)


CHANGES: list[tuple[Callable[[Path], None], str, tuple[int, int], int]] = [
    # what is done, what is said, what is lost, up to where the first hundred bytes are still readable
    (_truncate, "its log was truncated", (0, 100), 0),
    (_truncate_in_part, "its log was truncated", (60, 100), 60),
    (_append, "its log was appended to", (100, 100), 100),
    (_delete, "its log was moved or deleted", (0, 100), 0),
    (_delete_index, "its index was moved or deleted", (0, 100), 0),
    (_truncate_index, "its index was truncated", (0, 100), 0),
    (_append_to_index, "its index was appended to", (100, 100), 100),
    (_replace_index, "its index was replaced", (0, 100), 0),
    (_move_away, "its log was moved or deleted", (0, 100), 0),
    (_move_and_create, "its log was replaced", (100, 100), 100),
    (_move_with_a_date, "its log was moved or deleted", (100, 100), 100),
    (_copy_and_truncate, "its log was truncated", (0, 100), 0),
    (_replace, "its log was replaced", (0, 100), 0),
    (_replace_by_a_pipe, "its log was replaced", (0, 100), 0),
    (_replace_by_a_link, "its log was replaced", (0, 100), 0),
    (_remove_all, "its log was moved or deleted", (0, 100), 0),
]
CASES = pytest.mark.parametrize(
    ("change", "why", "lost", "readable"), CHANGES, ids=lambda value: getattr(value, "__name__", "").strip("_")
)


@CASES
def test_a_change_is_noticed_and_a_new_segment_says_what_is_lost(
    tmp_path: Path, change: Callable[[Path], None], why: str, lost: tuple[int, int], readable: int
) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 50), batch(50, 100)], [mark(1)], 1)
    change(home(tmp_path))
    if change is _truncate_in_part:  # while it runs nothing dies: a part of a batch may be somebody else's
        lost, readable = (50, 100), 50

    files.write([batch(100, 150)], [mark(2)], 2)
    files.write([batch(150, 200)], [], 3)

    head, said, *_ = lines(home(tmp_path) / "serial0.idx")
    assert (head["offset"], head["mark"]) == (100, 2)
    assert (said["entry"], said["offset"], said["to_offset"], said["why"]) == ("lost", *lost, why)
    story = read(home(tmp_path))[H1]
    assert story.held() == dict(enumerate(text(0, readable))) | dict(enumerate(text(100, 200), 100))
    assert 2 in story.marks


@CASES
def test_a_change_while_the_daemon_is_down_is_noticed(
    tmp_path: Path, change: Callable[[Path], None], why: str, lost: tuple[int, int], readable: int
) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 50), batch(50, 100)], [mark(1)], 1)
    change(home(tmp_path))

    files = console(tmp_path)
    offset, number = files.open(H1, 100, 2, 2)
    files.write([batch(offset, 150)], [mark(1)] if number == 1 else [], 3)
    files.write([batch(150, 200)], [mark(2)], 3)

    story = read(home(tmp_path))[H1]
    assert offset in {readable, 0}
    assert story.held(once=False) == dict(enumerate(text(0, 200)))
    assert story.marks == {1: 0, 2: 0}


@CASES
def test_nothing_that_somebody_left_is_overwritten(
    tmp_path: Path, change: Callable[[Path], None], why: str, lost: tuple[int, int], readable: int
) -> None:
    files = console(tmp_path, size=1000)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 50), batch(50, 100)], [mark(1)], 1)
    change(home(tmp_path))
    logs = [path for path in tmp_path.rglob("*") if path.is_file() and ".log" in path.name]
    left = {path.read_bytes() for path in logs if path.stat().st_size}

    files.write([batch(100, 150)], [mark(2)], 2)
    files.write([batch(150, 900)], [], 3)

    assert left <= {path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "change", [_move_and_create, _move_with_a_date, _copy_and_truncate], ids=lambda each: each.__name__
)
def test_a_log_that_is_rotated_by_somebody_again_and_again_does_no_harm(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    files = console(tmp_path, size=700, keep=3)
    files.open(H1, 0, 1, 1)
    for number in range(30):
        begin = number * 200
        files.write([batch(begin, begin + 200)], [mark(number + 1, begin)], number)
        if number % 4 == 0 and not (home(tmp_path) / "serial0.log.1").exists():
            change(home(tmp_path))
        elif number % 4 == 0:
            _shift_as_logrotate_does(home(tmp_path))
            change(home(tmp_path))

    story = read(home(tmp_path))[H1]
    assert story.held().items() <= dict(enumerate(text(0, 6000))).items()
    assert set(range(5800, 6000)) <= set(story.held())
    assert len([name for name in names(tmp_path) if ".idx" in name]) <= 4
    assert len(names(tmp_path)) <= 16


def _shift_as_logrotate_does(directory: Path) -> None:
    for number in range(8, 0, -1):
        log = directory / f"serial0.log.{number}"
        if log.exists():
            log.rename(directory / f"serial0.log.{number + 1}")


def test_a_log_that_was_renumbered_by_somebody_is_dropped_with_its_index(tmp_path: Path) -> None:
    files = console(tmp_path, size=700, keep=2)
    files.open(H1, 0, 1, 1)
    for begin in range(0, 800, 200):
        files.write([batch(begin, begin + 200)], [], begin)
    (home(tmp_path) / "serial0.log.1").rename(home(tmp_path) / "serial0.log.7")

    for begin in range(800, 2000, 200):
        files.write([batch(begin, begin + 200)], [], begin)

    assert names(tmp_path) == [f"serial0.{kind}{number}" for kind in ("idx", "log") for number in ("", ".0", ".1")]


def test_the_same_numbers_come_together_again_after_a_death_in_between(tmp_path: Path) -> None:
    files = console(tmp_path, size=700, keep=9)
    files.open(H1, 0, 1, 1)
    for begin in range(0, 1000, 200):
        files.write([batch(begin, begin + 200)], [], begin)
    (home(tmp_path) / "serial0.idx.2").rename(home(tmp_path) / "serial0.idx.5")
    rotated = len([name for name in names(tmp_path) if ".idx." in name])

    files.write([batch(1000, 1600)], [], 9)

    pairs = [(name, name.replace("idx", "log")) for name in names(tmp_path) if ".idx" in name]
    assert len(pairs) == rotated + 2
    for index, log in pairs:
        assert lines(home(tmp_path) / index)[0]["inode"] == (home(tmp_path) / log).stat().st_ino
    holds(read(home(tmp_path)).get(H1, Story()), 0, 1600)
