"""The journal's files as they lie in a directory, where a rotation may rename them at any time.

What is found is told from what was meant by its inode. Nothing but regular files is read, and no link is followed.
"""

import errno
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import NamedTuple, TypeVar

from virtmux.journal.names import INDEX, LOG

_INDEX = re.compile(rf"([^~]+)(?:~([0-9a-f]{{32}}))?{re.escape(INDEX)}(?:\.([0-9]{{1,9}}))?")
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # what is there may be a pipe
#: How it fails to open a link, a socket, a device without a driver, or what lies where there is no directory any more.
_NOT_REGULAR = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENOTDIR})
#: How often something is looked for again that may have been renamed meanwhile.
_ATTEMPTS = 4

T = TypeVar("T")


class IndexFile(NamedTuple):
    """An index as a directory shows it. `device` is as in its name, `number` None for the segment that grows;
    `aside` is the history of one that was put aside when its guest was migrated, else empty."""

    path: Path
    device: str
    aside: str
    number: int | None
    inode: int


def open_file(path: Path) -> FileIO:
    """Open a regular file for reading, unbuffered.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, _OPEN)
    except OSError as error:
        if error.errno in _NOT_REGULAR:
            raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
        raise
    file = FileIO(descriptor)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise FileNotFoundError(errno.ENOENT, "not a regular file", str(path))
    return file


def inode(file: FileIO) -> int:
    """The inode of an open file."""
    return os.fstat(file.fileno()).st_ino


def size(file: FileIO) -> int:
    """The size of an open file."""
    return os.fstat(file.fileno()).st_size


def indexes(home: Path) -> list[IndexFile]:
    """The indexes in a directory, those put aside first, then the oldest first; none where there is no directory."""
    found = []
    for name, number_of_file in _regular(home):
        match = _INDEX.fullmatch(name)
        if match:
            device, aside, number = match.groups("")
            found.append(IndexFile(home / name, device, aside, int(number) if number else None, number_of_file))
    return sorted(found, key=lambda file: (file.device, not file.aside, file.aside, _turn(file)))


def settled(home: Path, load: Callable[[IndexFile], T | None]) -> list[tuple[IndexFile, T]]:
    """What `load` makes of each index of a directory, in the order of `indexes`; where it makes None it is left out.

    Done again where they were renamed meanwhile, so that none is missed and none is there twice.
    """
    loaded: list[tuple[IndexFile, T]] = []
    before = indexes(home)
    for _ in range(_ATTEMPTS):
        loaded = [(file, made) for file in before if (made := load(file)) is not None]
        after = indexes(home)
        if after == before:
            break
        before = after
    return loaded


def log_beside(index: Path) -> Path:
    """The log that has the same number as this index."""
    stem, _, number = index.name.rpartition(INDEX)
    return index.with_name(f"{stem}{LOG}{number}")


def logs(index: Path, wanted: int) -> Iterator[Path]:
    """Where the log with the inode `wanted` of this index may lie; last the one of its number."""
    stem = index.name.rpartition(INDEX)[0] + LOG
    tried: set[Path] = set()
    for _ in range(_ATTEMPTS):  # it may be renamed after a listing, or be missing in one that is made meanwhile
        found = {index.with_name(name) for name, seen in _regular(index.parent) if seen == wanted}
        for path in found - tried:
            if path.name.startswith(stem):
                yield path
        tried = found
    yield log_beside(index)


def _turn(file: IndexFile) -> float:
    return math.inf if file.number is None else -file.number


def _regular(directory: Path) -> list[tuple[str, int]]:
    """The regular files of a directory with their inodes."""
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    found.append((entry.name, status.st_ino))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return found
