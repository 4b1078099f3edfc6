"""The system calls of one thread, as strace sees them: those that block, or how many there are of each."""

import asyncio
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.harness.privilege import AS_ROOT, send_signal

# What waits for others, or for a disk. `futex` is not among them: Python's threads take turns by it. Nor are reads and
# writes, which block or not by their file: those that Python makes are told by `loop_watch.py`.
_CALLS = "poll,ppoll,select,pselect6,fsync,fdatasync,msync,sync,syncfs,nanosleep,clock_nanosleep,wait4,waitid,flock"
#: Not blocking: `poll(..., 0)` asks and does not wait. And libvirt's keepalive timer, on the loop's thread, polls for
#: room for its ping without a limit (docs/libvirt.md, "Blocking calls"); it has it where POLLOUT comes back. An RPC
#: would poll for its answer next.
_HARMLESS = re.compile(r"^p?poll\(.*(, 0|, \{tv_sec=0, tv_nsec=0\}, NULL, \d+)\) += |= .*revents=POLLOUT")


class Trace:
    """What a thread called. Complete once the context of `traced` is left."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def blocking(self) -> list[str]:
        """The calls that wait, as strace writes them."""
        lines = self._path.read_text(errors="replace").splitlines()
        calls = [line for line in lines if not line.startswith(("strace:", "---", "+++"))]
        return [call for call in calls if not _HARMLESS.search(call)]


class Counts:
    """How often a thread called what. Complete once the context of `counted` is left."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def calls(self) -> Counter[str]:
        """By the names of the calls."""
        rows = (line.split() for line in self._path.read_text().splitlines()[2:-2])  # between two rules, and a total
        return Counter({name: int(number) for name, number in rows})


@asynccontextmanager
async def traced(thread: int, path: Path) -> AsyncIterator[Trace]:
    """Trace one thread until the context is left; `path` is for strace's output.

    Raises:
        RuntimeError: strace is not there, or may not trace.
    """
    async with _strace(thread, "-e", f"trace={_CALLS}", "-e", "signal=none", "-o", str(path)):
        yield Trace(path)


@asynccontextmanager
async def counted(thread: int, path: Path) -> AsyncIterator[Counts]:
    """Count the system calls of one thread until the context is left; else as `traced`."""
    async with _strace(thread, "-c", "-U", "name,calls", "-o", str(path)):
        yield Counts(path)


@asynccontextmanager
async def _strace(thread: int, *options: str) -> AsyncIterator[None]:
    if shutil.which("strace") is None:
        raise RuntimeError("strace is not installed: run 'make setup'")
    strace = await asyncio.create_subprocess_exec(
        *AS_ROOT, "strace", *options, "-p", str(thread),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert strace.stderr is not None
    try:
        said = await strace.stderr.readline()
        if b"attached" not in said:
            raise RuntimeError(f"strace cannot trace: {said.decode()}")
        yield
    finally:
        if strace.returncode is None:
            send_signal(strace.pid, signal.SIGINT)  # it lets go of the thread, and ends
        await strace.communicate()
