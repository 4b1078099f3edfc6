"""What the writer's thread does with the journal's directory, job by job."""

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.harness.console_files import BOUNDS, NEXT_BOOT, stopped, store, written
from tests.harness.recording import Disk
from virtmuxd.core.archive import Point
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.retention import Bounds
from virtmuxd.service.journal import store as store_module
from virtmuxd.service.journal.batches import Batch
from virtmuxd.service.journal.store import Outcome, Work


def test_a_console_that_moved_is_written_though_another_took_its_place(tmp_path: Path) -> None:
    journal = store(tmp_path, BOUNDS._replace(total=0))
    moved = written(journal, "u1")
    moved.move("other", 0)
    moved.write([Batch(1, b"y" * 5000, 0, ())], [], 0)
    journal.console(ConsoleKey("h", "u1", "serial0"), "web")

    journal.carry_out([], [moved.key], 1)
    moved.write([Batch(5001, b"z", 0, ())], [], 0)

    (home,) = (tmp_path / "by-id").glob("other/u1")
    assert b'"why":"its log was moved or deleted"' not in (home / "serial0.idx").read_bytes()


# What the thread does.


class Bench:
    """A store with one console, and works that write to it, one byte each."""

    def __init__(self, directory: Path, bounds: Bounds = BOUNDS) -> None:
        self.journal = store(directory, bounds)
        self.files = self.journal.console(ConsoleKey("h", "u1", "serial0"), "web")
        self.files.open("a" * 32, 10**6, 1, 0)

    def write(self) -> Point:
        self.files.write([Batch(self.files.position[0], b"x", 0, ((1, 0),))], [], 0)
        return self.files.position

    def carry_out(self, *works: Work, now: int = 0) -> list[Outcome]:
        return self.journal.carry_out([(1, work) for work in works], None, now)


def test_each_work_has_its_outcome(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    error = OSError(errno.EIO, "failed")

    def fail() -> Point:
        raise error

    assert bench.carry_out(bench.write, fail, bench.write) == [(1, 1), error, (2, 1)]


def test_a_bug_in_one_is_logged_and_harms_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path)

    def fail() -> Point:
        raise ZeroDivisionError

    failed, point = bench.carry_out(fail, bench.write)

    assert isinstance(failed, OSError)
    assert point == (1, 1)
    assert "ZeroDivisionError" in caplog.text


def test_where_too_little_is_free_nothing_is_written_until_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, BOUNDS._replace(free=0.1))
    with monkeypatch.context() as patched:
        patched.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=9, f_blocks=100, f_frsize=4096))
        (outcome,) = bench.carry_out(bench.write)
    assert isinstance(outcome, OSError)
    assert (outcome.errno, outcome.strerror) == (errno.ENOSPC, "less than 10% of the file system is free")

    assert bench.carry_out(bench.write) == [(1, 1)]


def test_where_the_directory_is_gone_it_is_made_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "log")
    bench.carry_out(bench.write)
    shutil.rmtree(tmp_path / "log")

    assert bench.carry_out(bench.write) == [(2, 1)]
    assert (tmp_path / "log" / "by-id" / ".lock").is_file()


def test_a_directory_that_another_daemon_has_is_not_written(tmp_path: Path) -> None:
    one, other = Bench(tmp_path), Bench(tmp_path)
    one.carry_out(one.write)
    (outcome,) = other.carry_out(other.write)
    assert isinstance(outcome, BlockingIOError)

    one.journal.close()

    assert other.carry_out(other.write) == [(1, 1)]


def test_the_limits_are_looked_at_at_first_then_by_what_was_written_and_by_the_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BOUNDS._replace(total=128))
    hour = 3600 * 10**9
    assert bench.journal.is_to_be_tidied(10 * hour)

    bench.journal.carry_out([(1, bench.write)], [], 10 * hour)
    assert not bench.journal.is_to_be_tidied(10 * hour + 1)
    bench.carry_out(bench.write, now=10 * hour + 1)
    assert bench.journal.is_to_be_tidied(10 * hour + 2)
    bench.journal.carry_out([], [], 10 * hour + 2)
    assert not bench.journal.is_to_be_tidied(10 * hour + 3)
    assert bench.journal.is_to_be_tidied(11 * hour + 2)


def test_a_bug_in_tidying_does_not_keep_it_from_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(store_module, "tidy", fail)

    assert bench.journal.carry_out([(1, bench.write)], [], 1) == [(1, 1)]
    assert "ZeroDivisionError" in caplog.text


# What it finds.


def test_a_clean_stop_is_found_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.carry_out(bench.write)
    bench.files.stop(stopped(1, 1))
    bench.journal.close()
    key = bench.files.key

    def restarted(boot: str) -> bool:
        journal = store(tmp_path, boot=boot)
        found = journal.begin()[key]
        journal.close()
        return found.clean

    assert restarted(NEXT_BOOT)
    assert not restarted("d" * 32), "the one before might have added something, and the machine have lost it"


def test_a_history_does_not_go_on_where_the_disk_does_not_take_that_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    bench.carry_out(bench.write)
    bench.files.stop(stopped(1, 1))
    bench.journal.close()
    journal = store(tmp_path, boot=NEXT_BOOT)
    with Disk(full=True).there():
        found = journal.begin()

    assert not found[bench.files.key].clean


def test_what_is_not_written_any_more_is_forgotten(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.carry_out(bench.write)
    bench.journal.release(bench.files)

    bench.journal.forget(bench.files.key)

    assert not list((tmp_path / "by-id").glob("*/*"))
    assert not (tmp_path / "web").is_symlink()
