"""What a process takes of memory, in KiB, as the kernel counts it."""

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.harness.processes import ended, python_path

#: Runs the command, which tells as it ends, in a file, what it has taken.
_TELLING = """\
import atexit, pathlib, sys
told = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: told.write_bytes(pathlib.Path("/proc/self/status").read_bytes()))
from virtmux_cli.main import main
main()
"""


def kib(status: Path, name: str) -> int:
    """What a file like /proc/PID/status has under a name: `VmRSS`, `VmHWM` (the most that this was), or `RssAnon` (what
    is not shared with files)."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


class Ran(NamedTuple):
    """How a command ended, what it wrote, and the most memory that it had."""

    status: int
    output: bytes
    talk: str
    peak_kib: int


async def run_measured(socket: Path, journal: Path, *arguments: str, seconds: float = 60.0) -> Ran:
    """Run `virtmux ARGUMENTS` for a daemon, its output into a file, with nothing in stdin."""
    with tempfile.NamedTemporaryFile() as told, tempfile.TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _TELLING, told.name, "--socket", str(socket), *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": python_path(), "VIRTMUX_JOURNAL": str(journal)},
        )  # fmt: skip
        _, talk = await ended(process, seconds=seconds)
        assert process.returncode is not None
        output.seek(0)
        return Ran(process.returncode, output.read(), talk.decode(), kib(Path(told.name), "VmHWM"))
