"""One daemon a journal: a second one that was given the same directory ends with an error."""

import fcntl
import os
from pathlib import Path

from virtmux.journal.names import BY_ID
from virtmuxd.service.journal.disk import make_directories, share
from virtmuxd.service.journal.settings import Settings


def lock(settings: Settings) -> int:
    """Make the journal's directory where there is none, and lock it as long as the descriptor that this gives is open.

    Raises:
        BlockingIOError: another daemon has it.
        OSError: the disk does not take it.
    """
    by_id = settings.directory / BY_ID
    make_directories(settings.directory, by_id, settings.group)
    path = _path(settings)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        share(path, settings.group)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def holds(settings: Settings, descriptor: int) -> bool:
    """Whether that locks the directory still: somebody may have removed it, and then another daemon may come.

    Raises:
        OSError: the disk does not tell.
    """
    mine = os.fstat(descriptor)
    try:
        return os.path.samestat(mine, _path(settings).lstat())
    except FileNotFoundError:
        return False


def _path(settings: Settings) -> Path:
    return settings.directory / BY_ID / ".lock"
