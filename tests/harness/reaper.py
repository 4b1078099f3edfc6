"""Runs a command and is a parent to all it leaves behind, as an init system is: `reaper.py COMMAND...`

libvirt waits for a guest's QEMU, which has detached itself, until somebody has collected its exit status. Where no
init system runs, as in a container, nobody would: libvirt would wait for many seconds, and take a guest that was
killed for one that lives. Ends after its last descendant. A plain script: it imports nothing of the harness.
"""

import ctypes
import os
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    if os.fork() == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    # Ctrl-C is for the tests, which then end in order what runs here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
