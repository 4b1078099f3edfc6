"""Processes of the tests' own: what they find, and how they end."""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

#: Runs a command, and ends all that it has left behind once its own stdin is closed.
REAPER = Path(__file__).with_name("reaper.py")


def python_path() -> str:
    """PYTHONPATH for a process that is to import what this one can."""
    return os.pathsep.join(path for path in sys.path if path)


async def ended(
    process: asyncio.subprocess.Process, data: bytes | None = None, *, seconds: float
) -> tuple[bytes, bytes]:
    """Give a process `data`, and wait for its end: its stdout and stderr. One that takes longer is killed.

    Raises:
        TimeoutError: it took longer.
    """
    try:
        async with asyncio.timeout(seconds):
            return await process.communicate(data)
    except BaseException:
        with suppress(ProcessLookupError):  # it has just ended
            process.kill()
        await process.wait()
        raise
