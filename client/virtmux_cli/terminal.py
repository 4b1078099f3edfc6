"""The terminal's raw mode: taken as virsh takes it, and given back whatever happens."""

import contextlib
import os
import termios

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6


class Terminal:
    """The terminal behind a file descriptor, or none where it is something else."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved: list[int | list[bytes | int]] | None = None
        self.present = os.isatty(fd)

    @property
    def raw(self) -> bool:
        """Whether every byte typed goes to the guest, and a newline needs its carriage return."""
        return self._saved is not None

    def make_raw(self) -> None:
        """Enter raw mode, as cfmakeraw(3); what was typed before is dropped, as by virsh."""
        if not self.present or self.raw:
            return
        self._saved = termios.tcgetattr(self._fd)
        mode = termios.tcgetattr(self._fd)
        mode[_IFLAG] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        mode[_OFLAG] &= ~termios.OPOST
        mode[_CFLAG] = mode[_CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[_LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[_CC][termios.VMIN], mode[_CC][termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSAFLUSH, mode)

    def restore(self) -> None:
        """Give the terminal back as it was; at once, so that a stuck one does not hold the command up."""
        saved, self._saved = self._saved, None
        if saved is not None:
            with contextlib.suppress(termios.error):  # it may have gone
                termios.tcsetattr(self._fd, termios.TCSANOW, saved)
