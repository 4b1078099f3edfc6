"""A console's records on their way to the disk."""

import errno
import os
from pathlib import Path

import pytest

from tests.harness.recording import RING, Disk, Recording, recording
from virtmux.records import Note, rfc3339
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.service.ring import Life, Ring

OTHER = "qemu/system/other"


# What comes is written.


def test_what_came_before_the_files_were_looked_at_is_written(record: Recording) -> None:
    record.print(b"early\n")
    record.note()
    record.settle()

    assert record.written() == b"early\n"
    assert record.story.marks == {1: 6}
    assert record.points[-1] == record.files.position == (6, 2)


def test_news_wait_a_moment_for_more(record: Recording) -> None:
    record.write()
    record.print(b"one")
    record.print(b"two")
    assert not record.queued
    record.clock.advance(0.3)

    assert record.write() == 1
    assert record.written() == b"onetwo"


def test_much_output_does_not_wait(record: Recording) -> None:
    record.write()
    record.print(b"x")
    record.print(b"x" * (RING // 4))

    assert record.queued
    assert not record.clock.pending, "it waits for nothing any more"


def test_what_comes_while_a_job_is_under_way_is_written_with_the_next(record: Recording) -> None:
    record.print(b"one")
    record.write()
    record.clock.advance(0.3)
    work = record.take()
    record.print(b"two")
    record.finish(work)
    assert not record.queued
    record.clock.advance(0.3)
    record.write()

    assert record.written() == b"onetwo"


def test_more_than_a_job_may_have_is_written_in_several(record: Recording) -> None:
    record.write()
    record.print(bytes(range(256)) * 15)
    record.clock.advance(1)

    assert record.write(room=1000) >= 3
    record.settle()

    assert record.written() == bytes(range(256)) * 15


def test_marks_behind_one_that_is_reserved_wait_and_the_bytes_do_not(record: Recording) -> None:
    record.print(b"one")
    reserved = record.console.sequence.reserve(Note(rfc3339(0), "crashed"))
    record.note()
    record.print(b"two")
    record.settle()
    assert record.written() == b"onetwo"
    assert record.story.marks == {}

    record.console.sequence.complete(reserved, Note(rfc3339(1), "crashed"))
    record.settle()

    assert record.story.marks == {1: 3, 2: 3}


def test_a_journal_goes_on_where_its_files_end(tmp_path: Path, disk: Disk) -> None:
    ring = Ring.open(tmp_path / "ring", 1 << 20, 1, Life(1, 0, 0))
    with recording(tmp_path / "log", ring=ring) as record:
        record.print(b"one")
        record.note()
        record.settle()
    ring = Ring.open(tmp_path / "ring", 1 << 20, 1, Life(2, 0, 0))
    with recording(tmp_path / "log", ring=ring) as again:
        again.print(b"two")
        again.note()
        again.settle()

    assert again.written() == b"onetwo"
    assert again.story.marks == {1: 3, 2: 6}


# What the ring holds no more.


def test_what_the_ring_overran_is_a_gap_that_is_told_and_counted(record: Recording) -> None:
    record.print(b"one")
    record.settle()
    record.print(b"x" * (RING + 10))
    record.settle()

    assert record.story.lost == [(3, 13, "the ring held them no more")]
    assert record.gaps() == [(3, 13)]
    assert record.counters.journal_lost == 10
    assert len(record.story.held()) == RING + 3


def test_a_journal_that_is_behind_by_more_than_a_job_catches_up(record: Recording) -> None:
    record.write()
    record.print(b"x" * 4 * RING)
    record.clock.advance(1)
    record.write(room=RING)

    assert record.gaps() == [(0, 3 * RING)]
    assert record.counters.journal_lost == 3 * RING
    assert record.files.position == (4 * RING, 1)


def test_bytes_that_went_while_the_daemon_was_away_are_told(tmp_path: Path, disk: Disk) -> None:
    ring = Ring.open(tmp_path / "ring", 4 * RING, 1, Life(1, 0, 0))
    with recording(tmp_path / "log", ring=ring) as record:
        record.print(b"one")
        record.settle()
        record.print(b"x" * 5 * RING)
    ring = Ring.open(tmp_path / "ring", 4 * RING, 1, Life(2, 0, 0))
    with recording(tmp_path / "log", ring=ring, capacity=4 * RING) as again:
        again.settle()

    assert again.gaps() == [(3, RING + 3)]
    assert again.counters.journal_lost == RING


# A disk that does not take it.


def test_a_disk_that_fails_is_told_once_and_tried_again(record: Recording, disk: Disk) -> None:
    record.print(b"one")
    record.write()
    disk.full = True
    record.clock.advance(0.3)
    for _ in range(3):
        record.write()
        record.clock.advance(5)
    assert record.kinds() == ["journal-failed"]
    assert (record.recorder.state, record.counters.journal_failures) == ("failing", 1)
    assert record.written() == b""

    disk.full = False
    record.print(b"two")
    record.settle()

    assert record.kinds() == ["journal-failed", "journal-recovered"]
    assert record.recorder.state == "disk"
    assert record.written() == b"onetwo"
    assert record.gaps() == []


@pytest.mark.parametrize("room", [0, 1, 400, 700, 1500])
def test_what_a_full_disk_took_in_part_is_written_once(record: Recording, disk: Disk, room: int) -> None:
    record.write()
    record.print(b"0123456789" * 100)
    record.note()
    disk.full, disk.room = True, room
    record.settle()
    disk.full = False
    record.settle()

    assert record.written() == b"0123456789" * 100
    assert record.story.marks == {1: 1000}


def test_what_the_ring_overran_while_the_disk_failed_is_one_gap(record: Recording, disk: Disk) -> None:
    record.print(b"one")
    record.settle()
    disk.full = True
    for _ in range(5):
        record.print(b"x" * RING)
        record.settle()
    disk.full = False
    record.settle()

    assert record.gaps() == [(3, 4 * RING + 3)]
    assert record.story.lost == [(3, 4 * RING + 3, "the ring held them no more")]
    assert record.counters.journal_lost == 4 * RING


def test_a_gap_that_was_written_before_the_disk_failed_is_told_as_it_was_written(tmp_path: Path, disk: Disk) -> None:
    with recording(tmp_path, size=3000) as record:
        record.write()
        record.print(b"x" * (RING + 100))  # the first segment is full within these
        record.clock.advance(1)
        _fail_to_close_a_segment(record, disk)
        record.print(b"y" * 500)
        record.settle()

        lost = [(begin, end) for begin, end, _ in record.story.lost]
        assert record.gaps() == lost
        assert record.counters.journal_lost == sum(end - begin for begin, end in lost)


def _fail_to_close_a_segment(record: Recording, disk: Disk) -> None:
    """Take a job, of which a part is written and the rest is not."""
    work = record.take()
    disk.full, disk.room = True, 2800
    record.finish(work)
    disk.full = False


# Orders.


def test_a_rename_that_the_disk_did_not_take_is_carried_out_later(record: Recording, disk: Disk) -> None:
    record.print(b"one")
    record.settle()
    disk.full = True
    record.recorder.rename("web2", record.now)
    record.write()
    disk.full = False
    record.settle()

    assert (record.directory / "web2").is_symlink()
    assert not (record.directory / "web1").is_symlink()


def test_what_comes_while_a_console_is_renamed_is_written_once_it_has_waited(record: Recording) -> None:
    record.settle()
    record.recorder.rename("web2", record.now)
    work = record.take()
    record.print(b"one")
    record.finish(work)

    assert len(record.clock.pending) == 1, "it waits once"


def test_a_console_that_moves_takes_all_along(record: Recording) -> None:
    record.print(b"one")
    record.settle()
    record.print(b"two")
    record.recorder.move(ConsoleKey(OTHER, *record.console.key[1:]), record.now)
    record.print(b"three")
    record.settle()

    assert record.files.key.hypervisor == OTHER
    assert record.written() == b"onetwothree"


def test_what_was_forgotten_is_not_there_and_what_comes_is(record: Recording) -> None:
    forgotten: list[bool] = []
    record.print(b"secret")
    record.settle()
    record.print(b"secret too")
    record.console.forget(lambda: forgotten.append(True))
    record.print(b"news")
    record.settle()

    assert forgotten == [True]
    assert record.story.held() == {16 + at: byte for at, byte in enumerate(b"news")}
    assert (record.gaps(), record.story.lost) == ([], [])


def test_it_is_forgotten_once_though_the_disk_fails_behind_it(
    record: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[bool] = []
    record.print(b"secret")
    record.settle()
    record.console.forget(lambda: forgotten.append(True))
    record.recorder.rename("web2", record.now)
    with monkeypatch.context() as patched:
        patched.setattr(record.files, "rename", _does_not_answer)
        record.write()
    record.print(b"news")
    record.settle()

    assert forgotten == [True]
    assert record.story.held() == {6 + at: byte for at, byte in enumerate(b"news")}
    assert (record.directory / "web2").is_symlink()


def _does_not_answer(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_what_came_behind_what_was_forgotten_is_written_also_at_the_end(record: Recording) -> None:
    record.print(b"secret")
    record.settle()
    record.console.forget(lambda: None)
    record.print(b"news")
    record.close()
    record.write()

    assert record.story.held() == {6 + at: byte for at, byte in enumerate(b"news")}


def test_what_the_ring_overran_behind_what_was_forgotten_is_counted_once(record: Recording) -> None:
    record.print(b"secret")
    record.settle()
    record.console.forget(lambda: None)
    record.print(b"x" * (RING + 100))
    record.settle()

    assert record.gaps() == [(6, 106)]
    assert record.counters.journal_lost == 100


def test_an_end_whose_reason_was_not_known_when_all_was_forgotten_is_written(record: Recording) -> None:
    record.note()
    record.print(b"secret")
    reserved = record.console.sequence.reserve(Note(rfc3339(record.now), "paused"))
    record.print(b" behind")
    record.settle()
    record.console.forget(lambda: None)
    record.settle()
    record.console.sequence.complete(reserved, Note(rfc3339(record.now), "resumed"))
    record.print(b"news")
    record.settle()

    assert record.story.marks == {2: 6}
    assert record.story.held() == {13 + at: byte for at, byte in enumerate(b"news")}
    assert (record.gaps(), record.story.lost) == ([], [])
