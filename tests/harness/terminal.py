"""A program on a terminal of its own, as a person would run it."""

import asyncio
import io
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pexpect

from tests.harness.daemon import PROGRAMS

#: Ctrl-], which leaves `virsh console` and `virtmux attach`.
ESCAPE = b"\x1d"


class Terminal:
    """One program whose stdin, stdout and stderr are a terminal. An async context manager that ends it.

    All waiting is done in worker threads: pexpect's own asyncio support leaves transports open.
    """

    def __init__(self, program: str | Path, arguments: Sequence[str], *, seconds: float = 20.0) -> None:
        """`seconds` bounds every wait."""
        self.child = pexpect.spawn(str(program), list(arguments), timeout=seconds)
        self.child.delaybeforesend = None
        self.child.logfile_read = self._shown = io.BytesIO()

    @property
    def shown(self) -> bytes:
        """All that it has shown, as far as that was waited for."""
        return self._shown.getvalue()

    def send(self, data: bytes) -> None:
        """Types `data`, as it is."""
        self.child.send(data)

    def send_all(self, data: bytes) -> None:
        """Types `data` as fast as it is taken, from a thread: what comes back is to be read meanwhile."""
        while data:
            data = data[os.write(self.child.child_fd, data) :]

    async def expect(self, text: bytes) -> bytes:
        """Waits for exactly `text` and returns what came before it. Raises pexpect.TIMEOUT and pexpect.EOF."""
        await asyncio.to_thread(self.child.expect_exact, text)
        before = self.child.before
        assert isinstance(before, bytes)
        return before

    async def until_connected(self) -> None:
        """Waits until a console's client says that it is connected, and has the terminal raw.

        `virsh` says it first: what is typed in between the terminal echoes itself, and virsh discards (TCSAFLUSH).
        """
        await self.expect(b"Escape character is")
        assert await asyncio.to_thread(self.child.waitnoecho), "the terminal is never raw"

    async def exit(self) -> tuple[int, bytes]:
        """Waits for the program's end: its exit status, negative for a signal as in subprocess, and its last words."""
        await asyncio.to_thread(self.child.expect, pexpect.EOF)
        last_words = self.child.before
        await asyncio.to_thread(self.child.close)
        assert isinstance(last_words, bytes)
        signal = self.child.signalstatus
        return (self.child.exitstatus if signal is None else -signal), last_words

    async def hang_up(self) -> None:
        """Closes the terminal, as one closes a window, and waits for the program's end."""
        self.child.ptyproc.fileobj.close()
        async with asyncio.timeout(self.child.timeout):
            await asyncio.to_thread(self.child.wait)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.child.close, force=True)


def at_terminal(socket: Path, *arguments: str, seconds: float = 20.0) -> Terminal:
    """`virtmux ARGUMENTS`, as installed, on a terminal of its own."""
    return Terminal(PROGRAMS / "virtmux", ["--socket", str(socket), *arguments], seconds=seconds)


async def shown(socket: Path, *arguments: str) -> bytes:
    """All that a terminal shows of `virtmux ARGUMENTS`, which ends by itself."""
    async with at_terminal(socket, *arguments) as terminal:
        await terminal.exit()
        return terminal.shown
