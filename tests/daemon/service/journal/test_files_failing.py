"""The files of a console on disks that do not take them: what was taken is not lost."""

import errno
import os
import resource
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.console_files import (
    H1,
    batch,
    console,
    failing,
    holds,
    home,
    mark,
    names,
    snapshot,
)
from tests.harness.journal_files import read


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("part", [0, 1, 30, 99])
def test_of_a_write_that_fails_nothing_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, after: int, part: int
) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 100)], [mark(1)], 1)
    before = snapshot(tmp_path)

    for _ in range(3):
        with failing(monkeypatch, "write", code, after, part), pytest.raises(OSError, match=os.strerror(code)):
            files.write([batch(100, 200)], [mark(2)], 2)
        assert snapshot(tmp_path) == before
        assert files.position == (100, 2)

    files.write([batch(100, 200)], [mark(2)], 3)
    assert names(tmp_path) == ["serial0.idx", "serial0.log"]
    holds(read(home(tmp_path))[H1], 0, 200)


@pytest.mark.parametrize("after", range(8))
@pytest.mark.parametrize("part", [0, 30])
def test_a_disk_that_fails_while_a_segment_is_rotated_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, part: int
) -> None:
    files = console(tmp_path, size=1000, keep=100)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 500)], [mark(1)], 1)

    with failing(monkeypatch, "write", errno.ENOSPC, after, part), pytest.raises(OSError, match="No space"):
        files.write([batch(500, 600), batch(600, 1300), batch(1300, 2000)], [mark(2)], 2)
    files.write([batch(500, 600), batch(600, 1300), batch(1300, 2000)], [mark(2)], 2)

    holds(read(home(tmp_path))[H1], 0, 2000)
    assert read(home(tmp_path))[H1].lost == []
    assert read(home(tmp_path))[H1].marks == {1: 0, 2: 0}


@pytest.mark.parametrize("call", ["rename", "open", "fsync", "mkdir", "lstat", "chmod"])
@pytest.mark.parametrize("after", range(12))
def test_whatever_call_fails_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, after: int
) -> None:
    files = console(tmp_path, size=1000, sync="batch")
    files.open(H1, 0, 1, 1)

    for begin in range(0, 3000, 300):
        with failing(monkeypatch, call, errno.EIO, after), suppress(OSError):
            files.write([batch(begin, begin + 300)], [mark(begin // 300 + 1, begin)], begin)
        files.write([batch(begin, begin + 300)], [mark(begin // 300 + 1, begin)], begin)

    story = read(home(tmp_path))[H1]
    assert story.lost == []
    holds(story, min(story.held()), 3000)
    assert len(names(tmp_path)) == 8


@pytest.mark.parametrize("part", [0, 10, 99])
def test_a_write_that_fails_and_cannot_be_undone_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 100)], [mark(1)], 1)

    with (
        failing(monkeypatch, "ftruncate"),
        failing(monkeypatch, "write", errno.EIO, 1, part),
        pytest.raises(OSError, match="Input/output"),
    ):
        files.write([batch(100, 200)], [mark(2)], 2)
    files.write([batch(100, 200), batch(200, 220)], [mark(2), mark(3)], 3)

    assert "serial0.idx.0" in names(tmp_path)
    story = read(home(tmp_path))[H1]
    holds(story, 0, 220)
    assert story.marks == {1: 0, 2: 0, 3: 0}
    # A part cannot be verified: it is written again.
    assert [(begin, end) for begin, end, _ in story.lost] == [(100, 100)]


def test_a_file_that_may_not_grow_any_more_is_like_a_full_disk(tmp_path: Path) -> None:
    files = console(tmp_path)
    files.open(H1, 0, 1, 1)
    files.write([batch(0, 5000)], [], 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (7000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            files.write([batch(5000, 9000)], [], 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (home(tmp_path) / "serial0.log").stat().st_size == 5000

    files.write([batch(5000, 9000)], [], 1)

    holds(read(home(tmp_path))[H1], 0, 9000)
