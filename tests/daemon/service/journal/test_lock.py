"""One daemon a journal."""

import os
import stat
from pathlib import Path

import pytest

from virtmuxd.service.journal.lock import lock
from virtmuxd.service.journal.settings import Settings


def test_the_directory_is_made_and_a_second_daemon_is_kept_out_until_the_first_ends(tmp_path: Path) -> None:
    settings = Settings(directory=tmp_path / "state" / "virtmux")

    first = lock(settings)

    by_id = settings.directory / "by-id"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (settings.directory, by_id, by_id / ".lock")] == [
        0o700,
        0o700,
        0o600,
    ]
    with pytest.raises(BlockingIOError):
        lock(settings)
    os.close(first)
    os.close(lock(settings))


def test_where_the_directory_cannot_be_made_that_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(OSError, match="Not a directory"):
        lock(Settings(directory=tmp_path / "file" / "virtmux"))
