"""The files of a journal in a directory, also while they are renamed."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from virtmux.journal import files
from virtmux.journal.files import IndexFile, indexes, log_beside, logs, open_file, settled

ASIDE = "0123456789abcdef" * 2


def touch(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).write_text(name)


def test_indexes_come_with_what_their_names_say_the_oldest_first(tmp_path: Path) -> None:
    touch(tmp_path, "a.idx", "a.idx.0", "a.idx.10", "a.idx.9", f"a~{ASIDE}.idx.0", f"a~{ASIDE}.idx", "a.idx.idx.0")
    touch(tmp_path, "a.log", "a.idx.gz", "a.idx.0.gz", f"a~{ASIDE}.log", "a~b.idx", ".idx", "a.idx.-1")
    (tmp_path / "link.idx").symlink_to("a.idx")
    (tmp_path / "directory.idx").mkdir()

    found = indexes(tmp_path)

    assert [(file.device, file.aside, file.number) for file in found] == [
        ("a", ASIDE, 0),
        ("a", ASIDE, None),
        ("a", "", 10),
        ("a", "", 9),
        ("a", "", 0),
        ("a", "", None),
        ("a.idx", "", 0),
    ]
    assert all(file.path.stat().st_ino == file.inode for file in found)


def test_where_there_is_no_directory_there_are_no_indexes(tmp_path: Path) -> None:
    touch(tmp_path, "file")

    assert indexes(tmp_path / "gone") == indexes(tmp_path / "file") == []


def test_a_file_that_is_gone_before_it_is_looked_at_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.idx", "b.idx")
    scandir = os.scandir

    @contextmanager
    def removing(directory: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        with scandir(directory) as entries:
            listed = list(entries)
        (tmp_path / "a.idx").unlink()
        yield iter(listed)

    monkeypatch.setattr(os, "scandir", removing)
    assert [file.device for file in indexes(tmp_path)] == ["b"]


def test_nothing_but_a_regular_file_is_opened(tmp_path: Path) -> None:
    touch(tmp_path, "file")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    for name, code, why in (
        ("gone", errno.ENOENT, "No such file or directory"),
        ("link", errno.ELOOP, "Too many levels of symbolic links"),
        ("fifo", errno.ENOENT, "not a regular file"),
        ("file/below", errno.ENOTDIR, "Not a directory"),
    ):
        with pytest.raises(FileNotFoundError) as caught:
            open_file(tmp_path / name)
        assert str(caught.value) == f"[Errno {code}] {why}: '{tmp_path / name}'"
    with pytest.raises((FileNotFoundError, IsADirectoryError)):
        open_file(tmp_path)
    with open_file(tmp_path / "file") as file:
        assert (file.read(), files.size(file), files.inode(file)) == (b"file", 4, (tmp_path / "file").stat().st_ino)


def test_an_error_of_opening_passes_through_with_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, flags: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", denied)

    with pytest.raises(PermissionError, match="secret"):
        open_file(tmp_path / "secret")


@pytest.mark.parametrize(
    ("index", "log"),
    [("a.idx", "a.log"), ("a.idx.2", "a.log.2"), ("a.idx.idx.0", "a.idx.log.0"), ("a~b.idx", "a~b.log")],
)
def test_a_log_lies_beside_its_index(tmp_path: Path, index: str, log: str) -> None:
    assert log_beside(tmp_path / index) == tmp_path / log


def test_the_log_with_the_inode_comes_before_the_one_of_the_number(tmp_path: Path) -> None:
    touch(tmp_path, "a.log", "a.log.1", "b.log", "a.idx.log.0")
    wanted = (tmp_path / "a.log.1").stat().st_ino
    foreign = (tmp_path / "b.log").stat().st_ino
    odd = (tmp_path / "a.idx.log.0").stat().st_ino

    assert list(logs(tmp_path / "a.idx", wanted)) == [tmp_path / "a.log.1", tmp_path / "a.log"]
    assert list(logs(tmp_path / "a.idx.7", foreign)) == [tmp_path / "a.log.7"]
    assert list(logs(tmp_path / "a.idx.idx", odd)) == [tmp_path / "a.idx.log.0", tmp_path / "a.idx.log"]


def test_indexes_that_are_renamed_while_they_are_loaded_are_loaded_again(tmp_path: Path) -> None:
    touch(tmp_path, "a.idx", "a.idx.0")
    loaded: list[str] = []

    def load(file: IndexFile) -> str | None:
        if not loaded:
            (tmp_path / "a.idx.0").rename(tmp_path / "a.idx.1")
            (tmp_path / "a.idx").rename(tmp_path / "a.idx.0")
        loaded.append(file.path.name)
        return file.path.read_text() if file.path.exists() else None

    assert [text for _, text in settled(tmp_path, load)] == ["a.idx.0", "a.idx"]


def test_what_never_settles_is_given_up(tmp_path: Path) -> None:
    touch(tmp_path, "a.idx")
    times: list[IndexFile] = []

    def load(file: IndexFile) -> IndexFile:
        times.append(file)
        file.path.rename(file.path.with_suffix(f".idx.{len(times)}"))
        return file

    assert len(settled(tmp_path, load)) == 1
    assert len(times) == 4
