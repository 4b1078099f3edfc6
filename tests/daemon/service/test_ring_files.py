"""The files of a ring: what is trusted of those that are found, and what they are called."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.rings import NEXT_BOOT, PAGE, opened
from tests.harness.stores import contents, note, pattern
from virtmuxd.service.ring_files import ring_file
from virtmuxd.service.ring_marks import marks_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring"


# What is trusted.


def test_a_ring_that_is_as_it_was_left_needs_no_warning(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    opened(path).append(b"x", 1)
    opened(path)

    assert caplog.records == []


def test_after_a_crash_within_one_boot_the_history_goes_on(path: Path) -> None:
    ring = opened(path)
    ring.append(b"login: ", 1)

    found = opened(path)

    assert (found.history, contents(found)) == (ring.history, b"login: ")


def test_after_another_boot_without_a_clean_stop_a_new_history_begins(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring = opened(path)
    ring.append(b"login: ", 1)

    found = opened(path, boot=NEXT_BOOT)

    assert found.history != ring.history
    assert (found.start, found.end, found.found_marks(), found.held_until) == (0, 0, [], None)
    assert len(caplog.records) == 1


def test_after_another_boot_with_a_clean_stop_the_history_goes_on(path: Path) -> None:
    ring = opened(path)
    ring.append(b"login: ", 1)
    history = ring.history
    ring.close(2)

    found = opened(path, boot=NEXT_BOOT)

    assert (found.history, contents(found)) == (history, b"login: ")


def test_a_history_that_went_on_over_a_boot_survives_a_crash_in_that_boot(path: Path) -> None:
    ring = opened(path)
    ring.append(b"log", 1)
    history = ring.history
    ring.close(2)
    opened(path, boot=NEXT_BOOT).append(b"in: ", 3)

    found = opened(path, boot=NEXT_BOOT)

    assert (found.history, contents(found)) == (history, b"login: ")


def test_a_running_id_means_nothing_after_another_boot(path: Path) -> None:
    ring = opened(path)
    ring.append(b"login: ", 1)
    ring.remember(3, 17)
    ring.close(2)

    assert opened(path, boot=NEXT_BOOT).incarnation == (3, -1)


def test_a_clean_stop_counts_once(path: Path) -> None:
    ring = opened(path)
    ring.append(b"login: ", 1)
    ring.close(1)
    history = opened(path).history

    found = opened(path, boot=NEXT_BOOT)

    assert found.history != history


@pytest.mark.parametrize("word", range(7))
def test_a_damaged_header_begins_a_new_history(path: Path, word: int, caplog: pytest.LogCaptureFixture) -> None:
    ring = opened(path)
    ring.append(b"login: ", 1)
    history = ring.history
    _overwrite(path, word, _word(path, word) ^ (1 << 40))

    found = opened(path)

    assert (found.history != history, found.end) == (True, 0)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("word", [7, 8])
def test_bounds_that_cannot_be_begin_a_new_history(path: Path, word: int, caplog: pytest.LogCaptureFixture) -> None:
    ring = opened(path)
    ring.append(b"login: ", 1)
    _overwrite(path, word, 1 << 40)

    assert opened(path).end == 0
    assert len(caplog.records) == 1


@pytest.mark.parametrize("size", [0, 1, PAGE - 1, PAGE, PAGE + 16383, PAGE + 16384, PAGE + 16384 + 3])
def test_a_truncated_file_begins_a_new_history(path: Path, size: int, caplog: pytest.LogCaptureFixture) -> None:
    ring = opened(path)
    ring.append(pattern(100000), 1)
    history = ring.history
    del ring
    os.truncate(ring_file(path), size)

    found = opened(path)

    assert (found.history != history, found.end) == (True, 0)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b"0" * 32 + b"\n"),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes() + b"garbage\n"),
        lambda file: file.write_bytes(file.read_bytes() + b"{}\n"),
        lambda file: file.write_bytes(b"\xff\xfe\n"),
        lambda file: file.unlink(),
    ],
    ids=["another history", "empty", "garbage", "no mark", "no text", "gone"],
)
def test_marks_that_cannot_be_trusted_begin_a_new_history(
    path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    ring = opened(path)
    ring.append(b"login: ", 1)
    ring.put_mark(note(1))
    damage(marks_file(path))

    found = opened(path)

    assert (found.history != ring.history, found.end, found.found_marks()) == (True, 0, [])
    assert len(caplog.records) == 1


def test_a_new_history_is_whole(path: Path) -> None:
    opened(path).append(b"old", 1)
    _overwrite(path, 0, 0)
    ring = opened(path)
    ring.append(b"new", 2)
    ring.put_mark(note(1, 3))

    found = opened(path)

    assert (found.history, contents(found), found.found_marks()) == (ring.history, b"new", [note(1, 3)])


# Another name.


def test_a_ring_that_moves_is_found_where_it_went_and_nowhere_else(path: Path, tmp_path: Path) -> None:
    ring = opened(path)
    ring.append(b"here ", 1)
    ring.put_mark(note(1))
    there = tmp_path / "other" / "ring"

    ring.move(there)
    ring.append(b"there", 2)
    ring.put_mark(note(2))

    found = opened(there)
    assert (found.history, contents(found)) == (ring.history, b"here there")
    assert found.found_marks() == [note(1), note(2)]
    assert not ring_file(path).exists()
    assert not marks_file(path).exists()


def test_a_ring_whose_name_is_needed_for_another_is_kept(path: Path, tmp_path: Path) -> None:
    older = opened(tmp_path / "there")
    older.append(b"older", 1)
    history = older.history
    older.close(1)
    ring = opened(path)

    ring.move(tmp_path / "there")

    kept = opened(tmp_path / f"there_{history}")
    assert contents(kept) == b"older"
    assert opened(tmp_path / "there").history == ring.history


def test_a_ring_that_cannot_move_stays_and_says_so(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring = opened(path)
    (tmp_path / "file").write_text("")

    ring.move(tmp_path / "file" / "ring")
    ring.append(b"on it goes", 1)

    assert "cannot be moved" in caplog.text
    assert contents(opened(path)) == b"on it goes"


def _word(path: Path, word: int) -> int:
    value: int = struct.unpack_from("=Q", ring_file(path).read_bytes(), 8 * word)[0]
    return value


def _overwrite(path: Path, word: int, value: int) -> None:
    with ring_file(path).open("r+b") as file:
        file.seek(8 * word)
        file.write(struct.pack("=Q", value))
