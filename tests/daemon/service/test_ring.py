"""The ring file: growth, what it does not trust, and that a death at any moment leaves only truth behind."""

import errno
import os
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.daemon.service.test_store import contents, note, pattern
from tests.harness.deaths import deaths
from virtmuxd.core.sequence import MAX_MARKS, Boot
from virtmuxd.service import ring as ring_module
from virtmuxd.service import ring_marks as marks_module
from virtmuxd.service.ring import Life, Past, Ring

PAGE = 4096
LIMIT = 1 << 20
BOOT, NEXT_BOOT = 7 << 64 | 1, 8 << 64 | 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring"


def opened(path: Path, *, limit: int = LIMIT, boot: int = BOOT, last_alive: int = 0) -> Ring:
    """The ring at `path`."""
    return Ring.open(path, limit, boot, Life(1, 1, last_alive))


def ring_file(path: Path) -> Path:
    return path.with_suffix(".ring")


def marks_file(path: Path) -> Path:
    return path.with_suffix(".marks")


# Growth.


def test_it_begins_small_and_grows_as_it_fills(path: Path) -> None:
    ring = opened(path)
    first = ring._capacity

    for seed in range(0, LIMIT, LIMIT // 8):
        ring.append(pattern(LIMIT // 8, seed), 1)

    assert first < LIMIT
    assert ring._capacity == LIMIT
    assert ring.start == 0
    assert contents(ring) == b"".join(pattern(LIMIT // 8, seed) for seed in range(0, LIMIT, LIMIT // 8))


@pytest.mark.parametrize("before", [0, 1, 10, 16384, 20000])
@pytest.mark.parametrize("size", [16384, 23616, 32768, 40000, 65537, 178000])
def test_one_large_piece_is_stored_once_while_the_ring_grows(path: Path, before: int, size: int) -> None:
    ring = opened(path)
    ring.append(pattern(before, 1 << 20), 1)

    ring.append(pattern(size), 2)

    assert ring.end == before + size
    assert contents(ring) == pattern(before, 1 << 20) + pattern(size)


@pytest.mark.parametrize("limit", [16384, 16385, 20001, 100003])
def test_it_keeps_within_any_limit(path: Path, limit: int) -> None:
    ring = opened(path, limit=limit)

    ring.append(pattern(3 * limit), 1)

    assert limit - PAGE < ring._capacity <= limit
    assert contents(ring) == pattern(3 * limit)[-ring._capacity :]
    assert contents(opened(path, limit=limit)) == contents(ring)


def test_a_grown_ring_is_opened_at_its_size(path: Path) -> None:
    opened(path).append(pattern(100000), 1)

    ring = opened(path)

    assert ring._capacity >= 100000
    assert contents(ring) == pattern(100000)


def test_a_smaller_limit_loses_nothing_that_is_there(path: Path) -> None:
    opened(path).append(pattern(100000), 1)

    assert contents(opened(path, limit=16384)) == pattern(100000)


def test_where_the_file_system_is_full_it_stays_at_its_size_and_says_so_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ring = opened(path)
    capacity = ring._capacity
    monkeypatch.setattr(os, "posix_fallocate", _full)

    ring.append(pattern(50000), 1)
    ring.append(pattern(50000, 1 << 20), 2)

    assert ring._capacity == capacity
    assert contents(ring) == pattern(50000, 1 << 20)[-capacity:]
    assert len(caplog.records) == 1
    assert "No space left" in str(vars(caplog.records[0])["error"])


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_once_there_is_room_again_it_grows_with_all_that_it_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = opened(path)
    capacity = ring._capacity
    monkeypatch.setattr(os, "posix_fallocate", _full)
    ring.append(pattern(50000), 1)
    monkeypatch.undo()

    ring.append(b"too soon", 2)
    assert ring._capacity == capacity
    held = contents(ring)

    ring.append(b"at last", 1 + ring_module._ASK_AGAIN)
    assert (ring._capacity, contents(ring)) == (2 * capacity, held + b"at last")
    ring.append(pattern(LIMIT), 1 + ring_module._ASK_AGAIN)
    assert ring._capacity == LIMIT
    assert contents(opened(path)) == contents(ring) == pattern(LIMIT)


@given(limit=st.sampled_from([20001, 65536, 100003, 131072]), sizes=st.lists(st.integers(1, 70000)), data=st.data())
@settings(deadline=None)
def test_whenever_it_may_grow_it_holds_the_last_bytes_that_have_room(
    limit: int, sizes: list[int], data: st.DataObject
) -> None:
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as monkeypatch:
        ring = opened(Path(directory) / "ring", limit=limit)
        monkeypatch.setattr(ring_module, "_ASK_AGAIN", 0)
        said = b""
        for size in sizes:
            with monkeypatch.context() as now:
                if data.draw(st.booleans(), label="full"):
                    now.setattr(os, "posix_fallocate", _full)
                held = len(contents(ring))
                ring.append(pattern(size, len(said)), 1)
            said += pattern(size, len(said))
            assert ring._capacity <= limit
            assert contents(ring) == said[ring.start :]
            assert len(said) - ring.start >= min(held + size, ring._capacity)
        assert contents(opened(Path(directory) / "ring", limit=limit)) == contents(ring)


def test_where_no_file_can_be_made_it_lies_in_memory_and_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", _full)

    ring = opened(path, limit=50000)
    ring.append(pattern(100_000), 1)
    ring.put_mark(note(1))

    assert len(caplog.records) == 1
    assert contents(ring) == pattern(100_000)[-(50000 // PAGE * PAGE) :]
    assert ring.next_mark == 2
    ring.close(2)


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


# Since when nobody holds the console.


def test_a_console_that_was_held_until_its_daemon_died_was_held_until_that_was_last_alive(path: Path) -> None:
    opened(path).hold(5)

    assert opened(path, last_alive=9).held_until == 9


def test_a_console_whose_output_is_newer_was_held_until_then(path: Path) -> None:
    ring = opened(path)
    ring.hold(5)
    ring.append(b"x", 12)

    assert opened(path, last_alive=9).held_until == 12


def test_a_console_that_had_been_let_go_was_not_held_any_longer(path: Path) -> None:
    ring = opened(path)
    ring.hold(5)
    ring.let_go(6)

    assert opened(path, last_alive=9).held_until == 6


def test_a_console_that_was_held_until_a_clean_stop_was_held_until_then(path: Path) -> None:
    ring = opened(path)
    ring.append(b"x", 4)
    ring.hold(5)
    ring.let_go(6)
    ring.close(7)

    assert opened(path, last_alive=9).held_until == 6


def test_a_ring_that_was_never_used_leaves_nothing_behind(path: Path, tmp_path: Path) -> None:
    opened(path).close(1)

    assert list(tmp_path.iterdir()) == []


# Marks.


def test_a_mark_that_was_cut_short_is_dropped(path: Path) -> None:
    ring = opened(path)
    ring.put_mark(note(1))
    with marks_file(path).open("ab") as file:
        file.write(b'{"number":2,"off')

    assert opened(path).found_marks() == [note(1)]


def test_a_mark_that_was_cut_short_harms_none_that_follow(path: Path) -> None:
    ring = opened(path)
    ring.put_mark(note(1))
    with marks_file(path).open("ab") as file:
        file.write(b'{"number":2,"off')

    opened(path).put_mark(note(2))

    assert opened(path).found_marks() == [note(1), note(2)]


@pytest.mark.parametrize("fits", [0, 5])
def test_a_mark_that_does_not_fit_on_the_disk_harms_none_that_follow(
    path: Path, monkeypatch: pytest.MonkeyPatch, fits: int, caplog: pytest.LogCaptureFixture
) -> None:
    ring = opened(path)
    ring.put_mark(note(1))
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:fits]))
        ring.put_mark(note(2))
    assert len(caplog.records) == 1

    ring.put_mark(note(3))
    ring.put_mark(note(4))

    # Readers count marks without holes, so what stands before one is given up.
    assert opened(path).found_marks() == [note(3), note(4)]


def test_the_number_of_a_mark_that_did_not_fit_is_not_used_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = opened(path)
    ring.put_mark(note(1))
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda *_: 0)
        ring.put_mark(note(2))

    assert opened(path).next_mark == 3


def test_the_marks_file_does_not_grow_for_ever(path: Path) -> None:
    ring = opened(path)
    sizes = []
    for number in range(1, 20 * MAX_MARKS):
        ring.put_mark(note(number))
        if number % MAX_MARKS == 0:
            sizes.append(marks_file(path).stat().st_size)

    assert max(sizes[10:]) <= max(sizes[:10]) * 1.1


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


# A death at any moment.


#: Long, and storing nothing: to die there is to die before it.
_READING = ("find", "_read", "_find", "_verified", "_verify", "_fit", "<listcomp>", "<dictcomp>", "<genexpr>")
_STORING = (ring_module.__file__, marks_module.__file__)


def _is_tried(code: CodeType) -> bool:
    return code.co_filename in _STORING and code.co_name not in _READING


@pytest.mark.parametrize(
    ("before", "size"),
    [(0, 5), (16380, 4), (16380, 5), (16384, 40000), (50000, 20000), (65536, 1), (70000, 65536), (70000, 100000)],
)
def test_a_death_within_an_append_leaves_only_true_bytes_and_keeps_all_that_was_committed(
    tmp_path: Path, before: int, size: int
) -> None:
    limit = 65536
    sent = pattern(before, 1 << 20) + pattern(size)
    names = iter(range(10**6))
    path = tmp_path / "none"

    def prepare() -> Callable[[], object]:
        nonlocal path
        path = tmp_path / f"ring{next(names)}"
        ring = opened(path, limit=limit)
        for begin in range(0, before, 8192):
            ring.append(sent[begin : min(begin + 8192, before)], 1)
        return lambda: ring.append(sent[before:], 2)

    for _ in deaths(prepare, _is_tried, beyond=5):
        found = opened(path, limit=limit)
        assert found.end >= before
        assert contents(found) == sent[found.start : found.end]
        found.append(b"on it goes", 3)
        assert contents(opened(path, limit=limit)).endswith(b"on it goes")


@pytest.mark.parametrize("before", [16384, 20000, 32768, 40000])
def test_a_death_while_a_ring_grows_that_has_wrapped_leaves_all_that_it_held(tmp_path: Path, before: int) -> None:
    sent = pattern(before + 30000)
    names = iter(range(10**6))
    path = tmp_path / "none"

    def prepare() -> Callable[[], object]:
        nonlocal path
        path = tmp_path / f"ring{next(names)}"
        ring = opened(path)
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(os, "posix_fallocate", _full)
            ring.append(sent[:before], 1)
        return lambda: ring.append(sent[before:], 1 + ring_module._ASK_AGAIN)

    for _ in deaths(prepare, _is_tried, beyond=5):
        found = opened(path)
        assert contents(found) == sent[found.start : found.end]
        assert found.end >= before
        assert found.start == max(0, before - 16384)


def test_a_death_while_the_newer_marks_become_the_older_loses_none(tmp_path: Path) -> None:
    path, full = tmp_path / "ring", 2 * MAX_MARKS
    last = note(full + 1)

    def prepare() -> Callable[[], object]:
        for file in tmp_path.iterdir():
            file.unlink()
        ring = opened(path)
        for number in range(1, full + 1):
            ring.put_mark(note(number))
        return lambda: ring.put_mark(last)

    newest = [note(number) for number in range(full - MAX_MARKS + 1, full + 1)]
    for _ in deaths(prepare, _is_tried, beyond=5):
        assert opened(path).found_marks() in (newest, [*newest[1:], last])
        opened(path).put_mark(note(full + 2))
        assert opened(path).found_marks()[-1] == note(full + 2)


def test_a_death_while_a_ring_is_made_leaves_one_that_can_be_made_or_used(tmp_path: Path) -> None:
    path = tmp_path / "ring"

    for _ in deaths(lambda: partial(opened, path, boot=BOOT), _is_tried):
        ring = opened(path)
        ring.append(b"login: ", 1)
        assert contents(opened(path)) == b"login: "
        for file in tmp_path.iterdir():
            file.unlink()


def test_a_death_while_a_ring_moves_leaves_it_whole_at_one_of_the_two_names(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    history = ""

    def prepare() -> Callable[[], object]:
        nonlocal history
        ring = opened(here)
        ring.append(b"login: ", 1)
        ring.put_mark(note(1))
        history = ring.history
        return lambda: ring.move(there)

    for _ in deaths(prepare, _is_tried, beyond=3):
        found = {path.name: opened(path) for path in (here, there)}
        (whole,) = [ring for ring in found.values() if ring.history == history]
        assert contents(whole) == b"login: "
        assert whole.found_marks() == [note(1)]
        for file in tmp_path.iterdir():
            file.unlink()


# Going on from the journal.


def past(history: str = "c" * 32, *, clean: bool = True, offset: int = 5000) -> Past:
    return Past(history, offset, 7, clean, (3, 17), Boot(3, 4000, 5), 77, 99)


def test_without_a_ring_the_history_goes_on_where_the_journal_was_stopped_in_order(path: Path) -> None:
    ring = Ring.open(path, LIMIT, BOOT, Life(1, 1, 0), past())

    assert (ring.history, ring.start, ring.end, ring.next_mark) == ("c" * 32, 5000, 5000, 7)
    assert (ring.incarnation, ring.boot) == ((3, 17), Boot(3, 4000, 5))
    assert (ring.held_until, ring.released_until) == (77, 99)
    ring.append(b"on it goes", 1)
    ring.put_mark(note(7, 5010))
    found = opened(path)
    assert (found.history, found.start, contents(found)) == ("c" * 32, 5000, b"on it goes")
    assert found.found_marks() == [note(7, 5010)]


def test_a_ring_that_goes_on_far_from_the_beginning_grows_as_any(path: Path) -> None:
    ring = Ring.open(path, LIMIT, BOOT, Life(1, 1, 0), past(offset=10**9 + 1))
    ring.append(pattern(100000), 1)

    assert (ring.start, contents(ring)) == (10**9 + 1, pattern(100000))
    assert contents(opened(path)) == pattern(100000)


def test_a_journal_that_was_not_stopped_in_order_lets_a_new_history_begin(path: Path) -> None:
    ring = Ring.open(path, LIMIT, BOOT, Life(1, 1, 0), past(clean=False))

    assert (ring.history != "c" * 32, ring.end, ring.next_mark) == (True, 0, 1)


def test_a_ring_that_is_there_counts_more_than_its_journal(path: Path) -> None:
    ring = opened(path)
    ring.append(pattern(6000), 1)

    found = Ring.open(path, LIMIT, BOOT, Life(1, 1, 0), past(ring.history, clean=False))

    assert (found.history, found.end) == (ring.history, 6000)


def test_a_ring_that_is_older_than_its_journal_uses_no_address_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring = opened(path)
    ring.append(pattern(4999), 1)

    found = Ring.open(path, LIMIT, BOOT, Life(1, 1, 0), past(ring.history, clean=False))

    assert (found.history != ring.history, found.end) == (True, 0)
    assert "older than its journal" in str(vars(caplog.records[-1])["error"])


@pytest.mark.parametrize("stopped", [True, False])
def test_where_the_journal_may_have_a_clean_stop_that_stands_only_a_ring_that_was_not_stopped_goes_on(
    path: Path, *, stopped: bool
) -> None:
    ring = opened(path)
    history = ring.history
    if stopped:
        ring.close(2)

    found = Ring.open(path, LIMIT, BOOT, Life(1, 1, 0), standing=True)

    assert (found.history == history) is not stopped


# Where the newest incarnation begins, and forgetting.


def test_where_an_incarnation_begins_is_found_again(path: Path) -> None:
    ring = opened(path)
    assert ring.boot == Boot(0, 0, 1)
    ring.begin_boot(Boot(2, 17, 4))

    assert opened(path).boot == Boot(2, 17, 4)


@pytest.mark.parametrize("size", [10, 3 * LIMIT])
def test_what_is_forgotten_is_nowhere_in_the_files_and_no_address_is_used_again(path: Path, size: int) -> None:
    ring = opened(path)
    ring.append(b"secret" * size, 1)
    ring.put_mark(note(1, 6 * size, text="secret"))

    ring.forget()

    assert b"secret" not in b"".join(file.read_bytes() for file in path.parent.iterdir())
    found = opened(path)
    assert (found.history, found.start, found.end) == (ring.history, 6 * size, 6 * size)
    assert (found.found_marks(), found.next_mark) == ([], 2)
    found.append(b"on it goes", 2)
    assert contents(found) == b"on it goes"


def test_what_was_put_aside_is_forgotten_too(path: Path, tmp_path: Path) -> None:
    older = opened(tmp_path / "there")
    older.append(b"secret", 1)
    older.close(1)
    ring = opened(path)
    ring.move(tmp_path / "there")

    ring.forget()

    assert sorted(file.name for file in tmp_path.iterdir()) == ["there.marks", "there.ring"]


def _word(path: Path, word: int) -> int:
    value: int = struct.unpack_from("=Q", ring_file(path).read_bytes(), 8 * word)[0]
    return value


def _overwrite(path: Path, word: int, value: int) -> None:
    with ring_file(path).open("r+b") as file:
        file.seek(8 * word)
        file.write(struct.pack("=Q", value))
