"""Modes do not depend on the umask, a group gets what it may read, and a file is replaced at once or not at all."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.console_files import H1, batch, console, failing, home
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.service.journal import disk
from virtmuxd.service.journal.disk import replace
from virtmuxd.service.journal.files import ConsoleFiles
from virtmuxd.service.journal.links import Links
from virtmuxd.service.journal.settings import Settings


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def _umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(directory: Path) -> tuple[set[int], set[int]]:
    """Those of the directories and those of the files."""
    paths = [path for path in [directory, *directory.rglob("*")] if not path.is_symlink()]
    found = {
        kind: {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir() == kind} for kind in (True, False)
    }
    return found[True], found[False]


def written(directory: Path, group: int | None) -> None:
    settings = Settings(directory=directory, size=700, group=group)
    files = ConsoleFiles(settings, Links(directory), ConsoleKey("h", "u", "serial0"), "web", "b")
    files.open(H1, 0, 1, 1)
    for begin in range(0, 1000, 200):
        files.write([batch(begin, begin + 200)], [], 1)


@pytest.mark.usefixtures("_umask")
def test_nobody_but_the_owner_may_read(tmp_path: Path) -> None:
    written(tmp_path / "journal", None)

    assert modes(tmp_path / "journal") == ({0o700}, {0o600})


@pytest.mark.usefixtures("_umask")
def test_a_group_may_read(tmp_path: Path) -> None:
    written(tmp_path / "journal", os.getgid())

    assert modes(tmp_path / "journal") == ({0o750}, {0o640})


def test_a_group_that_cannot_be_given_the_files_is_told_once_and_no_other_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk._tell_denied.cache_clear()
    with failing(monkeypatch, "chown", errno.EPERM):
        written(tmp_path / "journal", os.getgid() + 1)

    assert modes(tmp_path / "journal") == ({0o700}, {0o600})
    assert len(caplog.records) == 1


def test_the_modes_of_a_directory_that_was_there_are_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    written(tmp_path, None)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_group_that_was_set_later_may_read_what_goes_on(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 10)], [], 1)

    settings = Settings(directory=tmp_path, group=os.getgid())
    ConsoleFiles(settings, Links(tmp_path), files.key, "web", "b" * 32).open(H1, 10, 1, 2)

    assert modes(home(tmp_path)) == ({0o750}, {0o640})


@pytest.mark.parametrize("call", ["write", "rename", "fsync", "open"])
def test_a_file_that_cannot_be_replaced_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"former")
    with failing(monkeypatch, call), pytest.raises(OSError, match="No space"):
        replace(path, b"latter", Settings(directory=tmp_path))

    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", b"former")]
