"""The journal's directory as the daemon has it."""

import shutil
from pathlib import Path

import pytest

from tests.harness.console_files import stopped, store, written
from virtmuxd.core.archive import Point
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.service.journal import store as store_module
from virtmuxd.service.journal.batches import Batch
from virtmuxd.service.journal.recovery import recover
from virtmuxd.service.journal.settings import Settings


def test_the_name_of_a_guest_whose_last_console_is_released_is_free(tmp_path: Path) -> None:
    journal = store(tmp_path)
    first, second = written(journal, "u1"), written(journal, "u1", "serial1")
    journal.release(first)
    written(journal, "u2", hypervisor="other")
    assert (tmp_path / "web").readlink() == Path("by-id/h/u1")

    journal.release(second)
    written(journal, "u3")

    assert (tmp_path / "web").readlink() == Path("by-id/h/u3")
    assert (tmp_path / "web~h~u1").readlink() == Path("by-id/h/u1")


def test_a_console_that_was_moved_is_released_as_well(tmp_path: Path) -> None:
    journal = store(tmp_path)
    files = written(journal, "u1")
    files.move("other", 0)
    journal.release(files)

    written(journal, "u2")

    assert (tmp_path / "web").readlink() == Path("by-id/h/u2")


def stopped_console(directory: Path) -> ConsoleKey:
    """A console whose journal ends in a clean stop in this boot."""
    journal = store(directory)
    files = written(journal, "u1")
    files.stop(stopped(1, 1))
    return files.key


def test_a_clean_stop_is_taken_back_also_in_the_same_boot(tmp_path: Path) -> None:
    key = stopped_console(tmp_path)

    found = store(tmp_path).begin()[key]

    assert (found.clean, found.standing) == (True, False)
    assert not recover(Settings(directory=tmp_path))[key].clean, "another boot does not go on there"


def test_that_a_clean_stop_cannot_be_taken_back_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = stopped_console(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(store_module, "use_up", fail)

    found = store(tmp_path).begin()[key]

    assert (found.clean, found.standing) == (False, True)


@pytest.mark.parametrize("removed", [".", "by-id"])
def test_a_directory_that_somebody_removed_is_made_and_locked_again(tmp_path: Path, removed: str) -> None:
    directory = tmp_path / "journal"
    journal = store(directory)
    journal.begin()
    files = written(journal, "u1")
    shutil.rmtree(directory / removed)

    def work() -> Point:
        files.write([Batch(1, b"y", 0, ())], [], 0)
        return files.position

    assert journal.carry_out([(1, work)], None, 0) == [(2, 1)]
    assert (directory / "web" / "serial0.log").read_bytes() == b"y"
    with pytest.raises(BlockingIOError):
        store(directory).begin()


def test_a_directory_that_another_daemon_has_by_now_is_left_to_it(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    journal = store(directory)
    journal.begin()
    shutil.rmtree(directory)
    other = store(directory)
    other.begin()

    assert isinstance(journal.carry_out([(0, lambda: (0, 1))], None, 0)[0], BlockingIOError)
    other.close()
    assert journal.carry_out([(0, lambda: (0, 1))], None, 0) == [(0, 1)]


def test_a_clean_stop_of_a_console_that_was_not_there_counts_again(tmp_path: Path) -> None:
    key = stopped_console(tmp_path)
    life = store(tmp_path)
    found = life.begin()
    assert found[key].clean

    life.give_back(found, 7)
    life.close()

    next_life = store(tmp_path)
    assert next_life.begin()[key]._replace(boot=found[key].boot) == found[key]
    next_life.close()


def test_what_was_written_since_is_no_clean_stop(tmp_path: Path) -> None:
    key = stopped_console(tmp_path)
    life = store(tmp_path)
    found = life.begin()
    files = life.console(key, "web1")
    position = files.open(found[key].history, found[key].offset, found[key].mark, 6)
    files.write([Batch(position[0], b"more", 6, ((4, 0),))], [], 6)

    life.give_back(found, 7)
    life.close()

    next_life = store(tmp_path)
    assert not next_life.begin()[key].clean
    next_life.close()
