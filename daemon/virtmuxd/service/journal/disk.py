"""Files and directories as the journal has them: their modes, and writing that tells when the disk did not take it.

Modes do not depend on the umask. That a group cannot be given the files is told once; they are their
owner's alone then.
"""

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from virtmuxd.service.journal.settings import Settings

_log = logging.getLogger(__name__)

_FILE, _FILE_FOR_GROUP = 0o600, 0o640
_DIRECTORY, _DIRECTORY_FOR_GROUP = 0o700, 0o750
#: What the name of a file ends in that is not finished.
NEW = ".new"
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # what is there may be a pipe


class Known(NamedTuple):
    """What tells a file from another one, and whether it changed."""

    device: int
    inode: int
    size: int
    regular: bool

    def is_file(self, other: "Known | None") -> bool:
        """Whether both are the same file, whatever its size."""
        return other is not None and (self[:2], self.regular) == (other[:2], other.regular)


def known(path: Path) -> Known:
    """What lies there, a link not followed.

    Raises:
        OSError: nothing does, or the disk does not tell.
    """
    found = path.lstat()
    return Known(found.st_dev, found.st_ino, found.st_size, stat.S_ISREG(found.st_mode))


def look(path: Path) -> Known | None:
    """As `known`; None where there is nothing."""
    try:
        return known(path)
    except FileNotFoundError:
        return None


def make_directories(directory: Path, below: Path, group: int | None) -> None:
    """Make `directory` and what leads from it down to `below`.

    Those below are the journal's own and get its modes; `directory` itself gets them only where it is made.
    """
    if not directory.is_dir():
        directory.mkdir(mode=_DIRECTORY, parents=True)
        _share(directory, group, _DIRECTORY, _DIRECTORY_FOR_GROUP)
    for path in reversed([below, *below.parents]):
        if directory in path.parents:
            path.mkdir(mode=_DIRECTORY, exist_ok=True)
            _share(path, group, _DIRECTORY, _DIRECTORY_FOR_GROUP)


def make_file(path: Path, group: int | None) -> Known:
    """Make an empty file, or take over one that is there, which must be empty; gives what it is.

    Raises:
        OSError: the disk does not take it, or something else lies there.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | _OPEN, _FILE)
    try:
        _share(descriptor, group, _FILE, _FILE_FOR_GROUP)
        found = os.fstat(descriptor)
        if found.st_size or not stat.S_ISREG(found.st_mode):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        return Known(found.st_dev, found.st_ino, found.st_size, regular=True)
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes, settings: Settings) -> Known:
    """Make the file hold `data`, at once: whenever this process dies it holds all of that, or what it held before."""
    new = path.with_name(path.name + NEW)
    new.unlink(missing_ok=True)
    try:
        made = make_file(new, settings.group)
        with appending(new) as descriptor:
            write(descriptor, data)
            if settings.sync != "never":
                os.fsync(descriptor)  # a rename that reached the disk before the data would leave an empty file
        new.rename(path)
    except OSError:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise
    return made._replace(size=len(data))


class Addition(NamedTuple):
    """What is to be appended to a file that has this size."""

    path: Path
    size: int
    data: bytes


def append(*additions: Addition, sync: bool) -> None:
    """Append to files, to one after the other; or to none, and raise.

    They are flushed (`sync`) and, where the disk does not take something, set back in the reverse order: so that the
    first, an index, never says on the disk that something is whole which is not there yet, and so that a death in
    between leaves it saying more than there is, as a death while it writes does.

    Raises:
        OSError: the disk does not take it.
    """
    with ExitStack() as stack:
        opened = [(stack.enter_context(appending(each.path)), each) for each in additions]
        try:
            for descriptor, each in opened:
                write(descriptor, each.data)
            for descriptor, _ in reversed(opened) if sync else ():
                os.fsync(descriptor)
        except OSError:
            for descriptor, each in reversed(opened):
                with suppress(OSError):
                    os.ftruncate(descriptor, each.size)
            raise


@contextmanager
def appending(path: Path) -> Iterator[int]:
    """A descriptor that appends to the file, which is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | _OPEN)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write(descriptor: int, data: bytes) -> None:
    """Write all of it.

    Raises:
        OSError: the disk does not take it; some of it may be there.
    """
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def sync_directory(path: Path) -> None:
    """Flush which names lie in the directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def share(path: Path, group: int | None) -> None:
    """Give a file that was there before the journal's modes."""
    _share(path, group, _FILE, _FILE_FOR_GROUP)


def _share(file: Path | int, group: int | None, alone: int, shared: int) -> None:
    found = os.stat(file)  # noqa: PTH116 - or a descriptor
    mode = shared if group is not None and (found.st_gid == group or _given(file, group)) else alone
    if stat.S_IMODE(found.st_mode) != mode:
        os.chmod(file, mode)  # noqa: PTH101 - or a descriptor


def _given(file: Path | int, group: int) -> bool:
    try:
        os.chown(file, -1, group)
    except PermissionError as error:
        _tell_denied(group, error.strerror)
        return False
    return True


@cache
def _tell_denied(group: int, why: str) -> None:
    _log.warning("the journal's group is not given its files", extra={"group": group, "error": why})
