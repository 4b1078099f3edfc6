"""The end of a console that is recorded: all is written, and nothing is done behind it."""

from collections.abc import Callable

import pytest

from tests.harness.recording import RING, Disk, Recording


def _before_its_files_were_looked_at(record: Recording, disk: Disk) -> None:
    record.print(b"last")


def _while_idle(record: Recording, disk: Disk) -> None:
    record.print(b"la")
    record.settle()
    record.print(b"st")


def _while_its_files_are_looked_at(record: Recording, disk: Disk) -> Callable[[], object]:
    record.print(b"last")
    work = record.take()
    return lambda: record.finish(work)


def _while_a_job_is_under_way(record: Recording, disk: Disk) -> Callable[[], object]:
    record.print(b"la")
    record.write()
    record.clock.advance(1)
    work = record.take()
    record.print(b"st")
    return lambda: record.finish(work)


def _while_a_job_fails(record: Recording, disk: Disk) -> Callable[[], object]:
    finish = _while_a_job_is_under_way(record, disk)

    def fail() -> None:
        disk.full = True
        finish()
        disk.full = False

    return fail


def _while_failing(record: Recording, disk: Disk) -> Callable[[], object]:
    record.print(b"la")
    record.write()
    disk.full = True
    record.settle()
    record.print(b"st")

    def recover() -> None:
        disk.full = False

    return recover


@pytest.mark.parametrize(
    "happen",
    [
        _before_its_files_were_looked_at,
        _while_idle,
        _while_its_files_are_looked_at,
        _while_a_job_is_under_way,
        _while_a_job_fails,
        _while_failing,
    ],
)
def test_all_is_written_whenever_it_is_closed(
    record: Recording, disk: Disk, happen: Callable[[Recording, Disk], Callable[[], object] | None]
) -> None:
    then = happen(record, disk)
    record.close()
    if then is not None:
        then()
    assert record.write() == 1

    assert record.released == 1
    assert record.written() == b"last"
    assert record.files.position == (4, 1)
    record.clock.advance(100)
    assert not record.queued, "nothing comes behind the end"


def test_a_clean_stop_is_the_last_line(record: Recording) -> None:
    record.print(b"one")
    record.note()
    record.settle()
    record.close()
    record.write()

    index = record.files.directory / "serial0.idx"
    assert b'"entry":"stopped"' in index.read_bytes().splitlines()[-1]


def test_a_disk_that_fails_to_the_end_holds_nobody_up(record: Recording, disk: Disk) -> None:
    record.print(b"one")
    disk.full = True
    record.settle()
    record.close()
    record.write()

    assert record.released == 1
    record.clock.advance(100)
    assert not record.queued


def test_nothing_is_done_behind_the_end_by_a_timer_that_was_left(record: Recording, disk: Disk) -> None:
    record.print(b"one")
    record.settle()
    record.recorder.rename("web2", record.now)
    work = record.take()
    record.print(b"two")
    record.finish(work)
    record.close()
    record.write()
    record.clock.advance(100)

    assert not record.queued
    assert record.released == 1


def test_nor_by_one_that_was_to_try_again(record: Recording, disk: Disk) -> None:
    record.print(b"one")
    disk.full = True
    record.write()
    record.clock.advance(1)
    record.write()
    disk.full = False
    record.recorder.rename("web2", record.now)
    record.write(room=1)
    record.close()
    record.write()
    record.clock.advance(100)

    assert not record.queued


def test_a_gap_in_the_last_records_is_told_as_well(record: Recording) -> None:
    record.print(b"one")
    record.settle()
    record.print(b"x" * (RING + 10))
    record.close()
    record.write()

    assert record.gaps() == [(3, 13)]
    assert record.counters.journal_lost == 10
