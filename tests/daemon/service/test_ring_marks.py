"""The marks of a ring, in their two files."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from virtmux.records import Note, rfc3339
from virtmuxd.core.store import MAX_MARKS, StoredMark
from virtmuxd.service.ring_marks import MarksError, RingMarks, history_of, marks_file, older_file

HISTORY, OTHER = "a" * 32, "b" * 32


def mark(number: int, text: str = "paused", *, reserved: bool = False) -> StoredMark:
    return StoredMark(number, 10 * number, Note(rfc3339(number), text), reserved)


def found(path: Path) -> list[StoredMark]:
    _, marks = RingMarks.find(path, HISTORY)
    return marks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "console"


def test_what_was_put_is_found(path: Path) -> None:
    marks = RingMarks.begin(path, HISTORY)
    for number in (1, 2, 3):
        marks.put(mark(number))

    assert found(path) == [mark(1), mark(2), mark(3)]
    assert history_of(path) == HISTORY


def test_a_completion_takes_the_place_of_what_was_reserved(path: Path) -> None:
    marks = RingMarks.begin(path, HISTORY)
    marks.put(mark(1, reserved=True))
    marks.put(mark(2))
    marks.put(mark(1, "crashed"))

    assert found(path) == [mark(1, "crashed"), mark(2)]


@pytest.mark.parametrize("number", [MAX_MARKS, 2 * MAX_MARKS, 2 * MAX_MARKS + 1, 4 * MAX_MARKS + 7])
def test_as_many_are_held_as_readers_may_ask_for(path: Path, number: int) -> None:
    marks = RingMarks.begin(path, HISTORY)
    for each in range(1, number + 1):
        marks.put(mark(each))

    assert [each.number for each in found(path)] == list(range(number - MAX_MARKS + 1, number + 1))


def test_a_mark_that_is_completed_late_is_found_completed(path: Path) -> None:
    marks = RingMarks.begin(path, HISTORY)
    for number in range(1, 2 * MAX_MARKS):
        marks.put(mark(number))
    marks.put(mark(2 * MAX_MARKS, reserved=True))  # the last line of the older file
    marks.put(mark(2 * MAX_MARKS, "crashed"))

    assert found(path)[-1] == mark(2 * MAX_MARKS, "crashed")


def test_what_goes_on_counts_the_lines_that_are_there(path: Path) -> None:
    marks = RingMarks.begin(path, HISTORY)
    for number in range(1, 2 * MAX_MARKS):
        marks.put(mark(number))
    marks, _ = RingMarks.find(path, HISTORY)
    marks.put(mark(2 * MAX_MARKS))
    assert not older_file(path).exists()
    marks.put(mark(2 * MAX_MARKS + 1))

    assert older_file(path).exists()
    assert len(found(path)) == MAX_MARKS


@pytest.mark.parametrize("size", range(1, 40, 7))
def test_a_line_that_a_death_cut_short_is_dropped(path: Path, size: int) -> None:
    marks = RingMarks.begin(path, HISTORY)
    marks.put(mark(1))
    whole = marks_file(path).stat().st_size
    marks.put(mark(2))
    os.truncate(marks_file(path), whole + size)

    marks, held = RingMarks.find(path, HISTORY)
    assert held == [mark(1)]
    marks.put(mark(2))
    assert found(path) == [mark(1), mark(2)]


def test_what_stands_before_one_that_could_not_be_stored_is_given_up(path: Path) -> None:
    marks = RingMarks.begin(path, HISTORY)
    for number in (1, 2, 4, 5):
        marks.put(mark(number))

    assert found(path) == [mark(4), mark(5)]


def test_a_death_between_the_two_files_loses_nothing(path: Path) -> None:
    marks = RingMarks.begin(path, HISTORY)
    marks.put(mark(1))
    marks_file(path).rename(older_file(path))

    marks, held = RingMarks.find(path, HISTORY)
    assert held == [mark(1)]
    marks.put(mark(2))
    assert found(path) == [mark(1), mark(2)]


@pytest.mark.parametrize("damage", [b"", b"\n", b"x" * 40 + b"\n", HISTORY.encode() + b"\n{}\n"])
def test_what_is_damaged_is_not_trusted(path: Path, damage: bytes) -> None:
    marks_file(path).write_bytes(damage)

    with pytest.raises(MarksError):
        found(path)


def test_marks_of_another_history_are_not_taken(path: Path) -> None:
    RingMarks.begin(path, OTHER)

    with pytest.raises(MarksError, match="another history"):
        found(path)


# A tmpfs that is full.


class _Full:
    """Takes so many more bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.write

    def write(self, descriptor: int, data: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(descriptor, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("room", [0, 1, 30])
def test_a_mark_that_does_not_fit_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    marks = RingMarks.begin(path, HISTORY)
    marks.put(mark(1))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", _Full(room).write)
        with pytest.raises(OSError, match="No space"):
            marks.put(mark(2))
    marks.put(mark(3))

    assert found(path) == [mark(3)]


@pytest.mark.parametrize("room", [0, 10])
def test_marks_are_stored_again_once_there_is_room_for_a_new_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    marks = RingMarks.begin(path, HISTORY)
    for number in range(1, 2 * MAX_MARKS + 1):
        marks.put(mark(number))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", _Full(room).write)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                marks.put(mark(2 * MAX_MARKS + 1))
    marks.put(mark(2 * MAX_MARKS + 1))

    assert len(found(path)) == MAX_MARKS
    assert found(path)[-1].number == 2 * MAX_MARKS + 1


# Forgetting, moving.


def test_what_is_forgotten_is_in_no_file(path: Path) -> None:
    marks = RingMarks.begin(path, HISTORY)
    for number in range(1, 2 * MAX_MARKS + 3):
        marks.put(mark(number, "secret"))

    marks.forget()

    assert not any(b"secret" in file.read_bytes() for file in path.parent.iterdir())
    marks.put(mark(2 * MAX_MARKS + 3))
    assert found(path) == [mark(2 * MAX_MARKS + 3)]


def test_marks_that_moved_go_on_where_they_are(path: Path) -> None:
    marks = RingMarks.begin(path, HISTORY)
    marks.put(mark(1))
    there = path.with_name("there")
    marks_file(path).rename(marks_file(there))
    marks.moved(there)
    marks.put(mark(2))

    assert found(there) == [mark(1), mark(2)]
