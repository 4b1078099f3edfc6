"""The ring: how it grows, what the next daemon finds in it, and how it goes on from the journal."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.rings import BOOT, LIMIT, PAGE, full, opened
from tests.harness.stores import contents, note, pattern
from virtmuxd.core.store import MAX_MARKS, Boot
from virtmuxd.service import ring as ring_module
from virtmuxd.service.ring import Life, Past, Ring
from virtmuxd.service.ring_marks import marks_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring"


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
    monkeypatch.setattr(os, "posix_fallocate", full)

    ring.append(pattern(50000), 1)
    ring.append(pattern(50000, 1 << 20), 2)

    assert ring._capacity == capacity
    assert contents(ring) == pattern(50000, 1 << 20)[-capacity:]
    assert len(caplog.records) == 1
    assert "No space left" in str(vars(caplog.records[0])["error"])


def test_once_there_is_room_again_it_grows_with_all_that_it_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = opened(path)
    capacity = ring._capacity
    monkeypatch.setattr(os, "posix_fallocate", full)
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
                    now.setattr(os, "posix_fallocate", full)
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
    monkeypatch.setattr(os, "posix_fallocate", full)

    ring = opened(path, limit=50000)
    ring.append(pattern(100_000), 1)
    ring.put_mark(note(1))

    assert len(caplog.records) == 1
    assert contents(ring) == pattern(100_000)[-(50000 // PAGE * PAGE) :]
    assert ring.next_mark == 2
    ring.close(2)


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
