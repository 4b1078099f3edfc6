"""Rings as a daemon opens them, one after the other, in a directory of a test; and a file system that is full."""

import errno
import os
from pathlib import Path

from virtmuxd.service.ring import Life, Ring

PAGE = 4096
LIMIT = 1 << 20
BOOT, NEXT_BOOT = 7 << 64 | 1, 8 << 64 | 2


def opened(path: Path, *, limit: int = LIMIT, boot: int = BOOT, last_alive: int = 0) -> Ring:
    """The ring at `path`."""
    return Ring.open(path, limit, boot, Life(1, 1, last_alive))


def full(*_: object) -> None:
    """In place of `os.posix_fallocate`."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
