"""Output of the past as the screen that it makes, for `attach --replay screen`: repainted once, then live."""

import os

from virtmux_cli.attach.replayed import PastFilter, Shown
from virtmux_cli.screen.drawing import repaint
from virtmux_cli.screen.emulator import Emulator


class Repaint:
    """Takes the place of a `virtmux_cli.attach.replayed.PastFilter`."""

    def __init__(self, columns: int, lines: int) -> None:
        self._emulator: Emulator | None = Emulator(columns, lines)
        self._begun = PastFilter()
        """Given what of the past is still open, it judges that once it ends."""

    @classmethod
    def for_terminal(cls, fd: int) -> "Repaint":
        """For the terminal behind a file descriptor; where there is none, or one that knows no size, 80x24."""
        try:
            columns, lines = os.get_terminal_size(fd)
        except OSError:
            columns, lines = 0, 0
        return cls(columns, lines) if columns > 1 and lines else cls(80, 24)

    def show(self, shown: Shown) -> bytes:
        """What of the next piece is to be shown: nothing of the past, and what comes now behind the repaint."""
        if shown.replayed and self._emulator is not None:
            self._emulator.feed(shown.data)
            return b""
        return self.caught_up() + self._begun.show(shown)

    def caught_up(self) -> bytes:
        """The repaint, where all of the past has come and it was not shown yet."""
        emulator, self._emulator = self._emulator, None
        if emulator is None:
            return b""
        return repaint(emulator) + self._begun.show(Shown(emulator.close(), replayed=True))
