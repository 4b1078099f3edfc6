"""The terminal's raw mode: taken as virsh takes it, and given back whatever happens."""

import contextlib
import fcntl
import os
import struct
import termios
from typing import Any

#: As tcgetattr(3) gives it: four words of flags, two speeds, the control characters.
_Mode = list[Any]


class Terminal:
    """The terminal behind a file descriptor, or none where it is something else."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved: _Mode | None = None
        self._suspended = False
        self.present = os.isatty(fd)

    @property
    def raw(self) -> bool:
        """Whether every byte typed goes to the guest, and a newline needs its carriage return."""
        return self._saved is not None

    def make_raw(self) -> int:
        """Enter raw mode, as cfmakeraw(3); what was typed before is dropped, as by virsh. Gives how many bytes."""
        if not self.present or self.raw:
            return 0
        self._saved = termios.tcgetattr(self._fd)
        termios.tcsetattr(self._fd, termios.TCSADRAIN, _raw(self._saved))
        (typed,) = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)))
        termios.tcflush(self._fd, termios.TCIFLUSH)
        return int(typed)

    def restore(self) -> None:
        """Give the terminal back as it was; at once, so that a stuck one does not hold the command up."""
        self._suspended = False
        saved, self._saved = self._saved, None
        if saved is not None:
            with contextlib.suppress(termios.error):  # it may have gone
                termios.tcsetattr(self._fd, termios.TCSANOW, saved)

    def suspend(self) -> None:
        """Give it back until `resume`."""
        was_raw = self.raw
        self.restore()
        self._suspended = was_raw

    def resume(self) -> None:
        """After a stop: raw again where it was raw, whatever the shell has made of it meanwhile."""
        if not self.raw and not self._suspended:
            return
        self._suspended = False
        with contextlib.suppress(termios.error):
            self._saved = self._saved or termios.tcgetattr(self._fd)
            termios.tcsetattr(self._fd, termios.TCSANOW, _raw(self._saved))


def _raw(mode: _Mode) -> _Mode:
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = mode
    iflag &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    oflag &= ~termios.OPOST
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    characters = characters.copy()
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, characters]
