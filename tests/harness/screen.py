"""A bare terminal with the person before it: bytes that are shown, keys that are typed. `shell` has an emulated one."""

import asyncio
import os
import termios
from pathlib import Path
from typing import Any

from virtmux_cli.streams import read

#: Where tcgetattr(3) has the local modes.
_LFLAG = 3


class Screen:
    """A terminal with its person: what is shown, what is typed, and the mode it is in."""

    def __init__(self) -> None:
        self._person, self.terminal = os.openpty()
        self._shown = b""
        self.mode = termios.tcgetattr(self.terminal)

    async def until(self, text: bytes) -> bytes:
        """What was shown, up to and with this text."""
        async with asyncio.timeout(10):
            while text not in self._shown:
                self._shown += await read(self._person)
        before, _, self._shown = self._shown.partition(text)
        return before + text

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._person, keys)

    def type_all(self, keys: bytes) -> None:
        """Paste, as fast as it is taken."""
        while keys:
            keys = keys[os.write(self._person, keys) :]

    @property
    def raw(self) -> bool:
        """Whether keys go through one by one and unseen."""
        flags = termios.tcgetattr(self.terminal)[_LFLAG]
        return not flags & (termios.ICANON | termios.ECHO | termios.ISIG)

    @property
    def restored(self) -> bool:
        """Whether the terminal is as it was."""
        return termios.tcgetattr(self.terminal) == self.mode

    def close(self) -> None:
        """Put it away."""
        os.close(self._person)
        os.close(self.terminal)


def on(screen: Screen) -> dict[str, Any]:
    """All three streams of a command, for `running`."""
    return dict.fromkeys(("stdin", "stdout", "stderr"), screen.terminal)


def bytes_read(pid: int) -> int:
    """What a process has read so far: the terminal itself does not tell what is on its way from what was taken."""
    counts = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    return int(counts.split("rchar: ")[1].split()[0])
