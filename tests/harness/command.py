"""The `virtmux` command as a process of its own, for tests that look at its streams, signals and exit status."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.harness.processes import python_path

DEADLINE_S = 30.0
#: Runs the command from the sources, installed or not.
COMMAND = (sys.executable, "-c", "from virtmux_cli.main import main; main()")


def environment(socket: Path) -> dict[str, str]:
    """What the command needs, and nothing of the person's who runs the tests."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": python_path(),
        # What is left open shows on stderr. Not all of PYTHONDEVMODE: asyncio then tells there how slow the machine is.
        "PYTHONWARNINGS": "default",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "VIRTMUX_SOCKET": str(socket),
    }


class Running:
    """The command while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def read(self, size: int) -> bytes:
        """Exactly `size` bytes of its stdout."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.stdout.readexactly(size)

    async def line(self) -> str:
        """The next line of its stderr."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            return (await self.process.stderr.readline()).decode()

    def type(self, data: bytes) -> None:
        """Give it input."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    async def finish(self) -> tuple[int, bytes, str]:
        """Close its stdin and wait for its end: exit status, and what is left of stdout and stderr."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        async with asyncio.timeout(DEADLINE_S):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out or b"", (err or b"").decode()

    async def end(self) -> tuple[int, str]:
        """Wait for its end with its stdin left open: exit status, and what is left of stderr."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            err = await self.process.stderr.read()
            return await self.process.wait(), err.decode()


@contextlib.asynccontextmanager
async def running(
    socket: Path,
    *arguments: str | bytes,
    shell: str = "",
    variables: Mapping[str, str] = MappingProxyType({}),
    **streams: Any,
) -> AsyncIterator[Running]:
    """`virtmux ARGUMENTS` with pipes for its streams, unless `streams` names others; killed if it outlives the test.

    `shell` holds redirections as a shell understands them, for example `>&-`; `variables` are more of its environment.
    """
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    through = ("sh", "-c", f'exec "$@" {shell}', "sh") if shell else ()
    process = await asyncio.create_subprocess_exec(
        *through,
        *COMMAND,
        *arguments,
        env={**environment(socket), **variables},
        process_group=0,
        **{**pipes, **streams},
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        # asyncio keeps the transport of a pipe that nobody closed.
        process._transport.close()  # type: ignore[attr-defined]


async def finished(socket: Path, *arguments: str | bytes, **streams: Any) -> tuple[int, bytes, str]:
    """`virtmux ARGUMENTS`, which ends by itself: exit status, stdout and stderr. `streams`: as `running`."""
    async with running(socket, *arguments, **streams) as command:
        return await command.finish()
