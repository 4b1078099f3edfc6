"""A shell on a terminal that is emulated, as a person has it before them: what is typed, what is to be seen."""

import asyncio
import os
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pexpect

from tests.harness.command import COMMAND, environment
from tests.harness.emulator import COLUMNS, LINES, Emulator, Facts
from tests.harness.terminal import ESCAPE

PROMPT = b"shell$ "
MODES = b"".join(
    b"\x1b[?%dh" % mode for mode in (1, 5, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 12, 45, 2026)
)
#: All that a guest can switch on, one behind the other.
EVERYTHING = (
    b"\x1b]2;the guest's\x07\x1b[1;4;31;44;38;5;200m\x1b]10;red\x07\x1b]8;;http://example.org/\x07"
    b"\x1b[>1u\x1b[?1049h\x1b[>5u\x1b[>9u"
    + MODES
    + b"\x1b=\x1b[?25l\x1b[5 q\x1b[3;20r\x1b[?6h\x1b[?7l\x1b[4h\x1b(0\x1b)0\x0e"
    b"\x1b[>4;2m\x1b[22;0t\x1b]0;another\x1b\\\x1b[5;5Hfull of it"
)
#: The same, but for the alternate screen.
ON_MAIN = EVERYTHING.replace(b"\x1b[?1049h", b"")


class Shell:
    """A shell on a terminal, and the person before it. All waiting is done in threads."""

    def __init__(self, socket: Path) -> None:
        self.screen = Emulator()
        self.bytes = bytearray()
        self.child = pexpect.spawn(
            "/bin/sh", ["-i"], env={**environment(socket), "PS1": PROMPT.decode(), "ENV": "", "TERM": "xterm"},
            dimensions=(LINES, COLUMNS), timeout=20, encoding=None, echo=True,
        )  # fmt: skip
        self.child.delaybeforesend = None
        self.child.logfile_read = self
        self.command = " ".join(f"'{word}'" for word in COMMAND)

    def write(self, data: bytes) -> None:
        """pexpect's log."""
        self.bytes += data
        self.screen.write(data)

    def flush(self) -> None:
        """The same."""

    async def until(self, text: bytes) -> bytes:
        """Wait for this on the terminal, and give what came before."""
        await asyncio.to_thread(self.child.expect_exact, text)
        before = self.child.before
        assert isinstance(before, bytes)
        return before

    async def attach(self, *options: str, name: str = "web1") -> None:
        """Type the command, and wait until it is attached."""
        self.child.send(f"{self.command} attach {' '.join(options)} {name}\r".encode())
        await self.until(b"Ctrl + ])\r\n")

    async def detach(self) -> None:
        """Press the escape key, and wait until that is done."""
        self.child.send(ESCAPE)
        await self.until(b"virtmux: detached\r\n")

    async def prompt(self) -> None:
        """Wait for the shell."""
        await self.until(PROMPT)

    @property
    def foreground(self) -> int:
        """The process that has the terminal."""
        return os.tcgetpgrp(self.child.child_fd)

    @property
    def mode(self) -> list[Any]:
        """The terminal driver's."""
        return termios.tcgetattr(self.child.child_fd)


@asynccontextmanager
async def shell(socket: Path) -> AsyncIterator[Shell]:
    """One that has said its prompt, until the context is left."""
    one = Shell(socket)
    try:
        await one.prompt()
        yield one
    finally:
        await asyncio.to_thread(one.child.close, force=True)


def differences(before: Facts, now: Facts) -> dict[str, tuple[object, object]]:
    """What of a terminal is not as it was: by name, what it was and is."""
    pairs = zip(Facts._fields, before, now, strict=True)
    return {name: (was, is_) for name, was, is_ in pairs if was != is_}
