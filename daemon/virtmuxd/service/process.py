"""The daemon's own process: who may look into it, and what the kernel counts of it."""

import ctypes
import os
import resource
import time
from pathlib import Path

from virtmux.messages import ProcessInfo

#: prctl(2)
_PR_SET_DUMPABLE = 4
_libc = ctypes.CDLL(None, use_errno=True)


def leave_no_core() -> None:
    """Have the kernel write no core of this process, and let nobody but root into its memory and environment: what
    consoles said is there.

    RLIMIT_CORE is not enough: it does not count where core_pattern names a program (core(5)), which may also log the
    environment, and who starts the daemon by hand has not set it.

    Raises:
        OSError: the kernel does not do it.
    """
    if _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "prctl")


def process_info() -> ProcessInfo:
    """As it is now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return ProcessInfo(
        open_files=len(os.listdir("/proc/self/fd")) - 1,  # noqa: PTH208 - one of them is this listing's own
        max_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        memory=pages * os.sysconf("SC_PAGE_SIZE"),
        cpu_seconds=time.process_time(),
    )
