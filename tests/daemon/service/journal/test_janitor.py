"""The janitor removes what the bounds do not allow, and nothing that somebody else put there."""

import errno
import os
from pathlib import Path

import pytest

from tests.harness.console_files import H1, H2, WEB, batch, console, failing, home, names
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.retention import Bounds
from virtmuxd.service.journal.files import ConsoleFiles
from virtmuxd.service.journal.janitor import tidy
from virtmuxd.service.journal.links import Links
from virtmuxd.service.journal.settings import Settings

DAY = 86_400 * 10**9
OTHER = WEB._replace(uuid="u-2")
BOUNDLESS = Bounds(1 << 40, 30 * DAY, 0)


def written(directory: Path, key: ConsoleKey, domain: str, history: str = H1) -> ConsoleFiles:
    files = console(directory, size=1000, key=key, domain=domain)
    files.open(history, 0, 1, 1)
    for begin in range(0, 1500, 500):
        files.write([batch(begin, begin + 500, history)], [], 1)
    return files


def tidied(directory: Path, bounds: Bounds, known: list[ConsoleKey], live: list[ConsoleFiles], now: int) -> int:
    """How many segments were removed."""
    before = indexes(directory)
    tidy(Settings(directory=directory), bounds, known, live, Links(directory), now=now)
    return len(before - indexes(directory))


def indexes(directory: Path) -> set[tuple[int, int]]:
    """The indexes that there are: which files, also where another has the name or the number now."""
    found = [path.stat() for path in (directory / "by-id").rglob("*.idx*")]
    return {(stat.st_ino, stat.st_ctime_ns) for stat in found}


def held(directory: Path) -> int:
    return sum(path.stat().st_size for path in (directory / "by-id").rglob("*.*"))


def age(directory: Path, at: int, pattern: str = "*") -> None:
    for path in (directory / "by-id").rglob(pattern):
        os.utime(path, ns=(at, at))


def test_within_the_limits_nothing_is_removed(tmp_path: Path) -> None:
    written(tmp_path, WEB, "web")
    age(tmp_path, 100 * DAY)
    whole = held(tmp_path)

    assert tidied(tmp_path, BOUNDLESS, [WEB], [], 101 * DAY) == 0
    assert held(tmp_path) == whole


def test_what_is_too_old_is_removed_with_its_directory_and_link(tmp_path: Path) -> None:
    written(tmp_path, WEB, "web")
    written(tmp_path, OTHER, "shop")
    age(tmp_path, 100 * DAY)
    age(tmp_path, 60 * DAY, "u-2/*")

    assert tidied(tmp_path, BOUNDLESS, [WEB, OTHER], [], 101 * DAY) == 3
    assert len(names(tmp_path)) == 6
    assert [path.name for path in tmp_path.iterdir() if path.is_symlink()] == ["web"]
    assert not (home(tmp_path).parent / "u-2").exists()


def test_undefined_guests_go_first_then_the_oldest(tmp_path: Path) -> None:
    written(tmp_path, WEB, "web")
    written(tmp_path, OTHER, "shop")
    age(tmp_path, 100 * DAY)
    whole = held(tmp_path)

    assert tidied(tmp_path, BOUNDLESS._replace(total=whole // 2 - 100), [WEB], [], 101 * DAY) == 4
    assert names(tmp_path) == ["serial0.idx", "serial0.idx.0", "serial0.log", "serial0.log.0"]


def test_a_segment_that_grows_is_dropped_by_who_writes_it(tmp_path: Path) -> None:
    files = written(tmp_path, WEB, "web")

    assert tidied(tmp_path, BOUNDLESS._replace(total=0), [WEB], [files], 7) == 3
    assert names(tmp_path) == ["serial0.idx", "serial0.log"]
    assert (home(tmp_path) / "serial0.log").stat().st_size == 0
    assert tidied(tmp_path, BOUNDLESS._replace(total=0), [WEB], [files], 7) == 0

    files.write([batch(1500, 1600)], [], 8)
    assert console(tmp_path).open(H1, 1600, 1, 9) == (1600, 1)


def test_what_was_put_aside_for_a_migration_is_held_within_the_limits_too(tmp_path: Path) -> None:
    older = written(tmp_path, WEB._replace(hypervisor="lxc"), "web", H2)
    files = written(tmp_path, WEB, "web")
    files.move("lxc", 2)
    age(tmp_path, 100 * DAY)
    age(tmp_path, 60 * DAY, "*~*")

    assert tidied(tmp_path, BOUNDLESS, [older.key], [], 101 * DAY) == 3
    assert not list((tmp_path / "by-id").rglob("*~*"))


def test_what_is_not_the_journals_is_left_alone(tmp_path: Path) -> None:
    written(tmp_path, WEB, "web")
    foreign = home(tmp_path) / "notes.txt"
    foreign.write_text("mine")

    tidied(tmp_path, BOUNDLESS._replace(total=0), [], [], 7)

    assert names(tmp_path) == ["notes.txt"]


def test_what_cannot_be_removed_is_told_and_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path, WEB, "web")
    whole = held(tmp_path)
    with failing(monkeypatch, "unlink", errno.EROFS):
        assert tidied(tmp_path, BOUNDLESS._replace(total=0), [], [], 7) == 0

    assert held(tmp_path) == whole
    assert len(caplog.records) == 3
