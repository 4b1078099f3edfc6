"""Runs a command and is a parent to all it leaves behind, as an init system is: `reaper.py COMMAND...`

libvirt waits for a guest's QEMU, which has detached itself, until somebody has collected its exit status. Where no
init system runs, as in a container, nobody would: libvirt would wait for many seconds, and take a guest that was
killed for one that lives.

Ends after its last descendant. Once its stdin is at its end, because whoever started it says so or has died, it kills
them all: none but its own, because a child's pid is not used again before its parent has collected it. A plain script:
it imports nothing of the harness.
"""

import ctypes
import os
import select
import signal
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
STDIN = 0


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    if os.fork() == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), STDIN)
        os.execvp(sys.argv[1], sys.argv[1:])
    # What ends a whole process group is for the tests, which then end in order what runs here.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    died, tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    ending = False
    while collect():
        if ending:
            for pid in children():
                os.kill(pid, signal.SIGKILL)
        readable, _, _ = select.select([died] if ending else [died, STDIN], [], [])
        if died in readable:
            os.read(died, 4096)
        ending = ending or (STDIN in readable and not os.read(STDIN, 4096))


def collect() -> bool:
    """Collects the children that have died; whether others live. A child's own children are ours by then."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def children() -> list[int]:
    """The pids of the children, dead ones that are not collected yet among them."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


if __name__ == "__main__":
    main()
