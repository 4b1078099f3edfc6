"""What needs root: the tests' libvirtd and its guests. Without root it goes through sudo, which must not ask."""

import os
import select
import signal
import subprocess
from pathlib import Path

IS_ROOT = os.geteuid() == 0
AS_ROOT: tuple[str, ...] = () if IS_ROOT else ("sudo", "-n", "--")
#: Within what runs as root: runs a program as who runs the tests.
AS_ONESELF: tuple[str, ...] = (
    () if IS_ROOT else ("setpriv", f"--reuid={os.getuid()}", f"--regid={os.getgid()}", "--init-groups")
)
#: Runs a program as one that file permissions bind; whoever is not root is bound already.
BOUND: tuple[str, ...] = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    if IS_ROOT
    else ()
)
NOBODY = 65534
#: Runs a program as a user who is not root, with root's right to read: a checkout of root's is often closed to others.
AS_NOBODY: tuple[str, ...] = (
    (
        *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
        *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
    )
    if IS_ROOT
    else ()
)


def run_as_root(*command: str | Path) -> str:
    """Runs `command` as root and returns its output; raises CalledProcessError, its stderr in a note."""
    try:
        return subprocess.run([*AS_ROOT, *command], check=True, capture_output=True, text=True).stdout
    except subprocess.CalledProcessError as error:
        error.add_note(str(error.stderr))
        raise


def send_signal(pid: int, number: signal.Signals) -> None:
    """Signals one process of ours; one that is gone already is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        try:
            run_as_root("kill", f"-{number.value}", str(pid))
        except subprocess.CalledProcessError:
            if Path(f"/proc/{pid}").exists():  # else it went while sudo started
                raise


def wait_for_exit(pid: int, seconds: float) -> bool:
    """Waits until a process, child or not, has ended; false if it still runs after `seconds`."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], seconds)[0])
    finally:
        os.close(process)
