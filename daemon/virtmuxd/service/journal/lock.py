"""One daemon a journal: a second one that was given the same directory ends with an error."""

import fcntl
import os

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
    path = by_id / ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        share(path, settings.group)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
