"""stdout with the guest's output, and what is said beside it on stderr. Where both are one terminal, in one order.

There a line is said between the guest's lines, with the unfinished one written again behind it. While the guest has the
whole screen, lines wait until it gives that back. An end gives the terminal back first, as it was, and then says its
line: at once where the guest is gone or the command ends; after `GRACE_S` where the console is expected back, so that
what passes in a moment, as a restart of virtmuxd, leaves the guest's screen in its place. Once the console is back, so
is what the guest had switched on; what was on a screen of its own is gone until the guest draws it anew.
"""

import asyncio
import contextlib
import os
from functools import partial

from virtmux_cli.attach.guest_terminal import GuestTerminal
from virtmux_cli.attach.talk import on_stderr
from virtmux_cli.streams import Outlet
from virtmux_cli.terminal import Terminal

#: Seconds that a guest's screen stays although the guest cannot be reached.
GRACE_S = 3.0
#: Seconds for a terminal to take what gives it back.
_LAST_OUTPUT_S = 1.0
_LAST_WORDS_S = 5.0
#: Lines that come within so many seconds have the guest's unfinished line behind them once.
_TOGETHER_S = 0.05
#: Lines that may wait; of more, the last.
_MOST_WAITING = 50
_STDOUT, _STDERR = 1, 2


class Display:
    """See the module. `terminal` is stdin's: it tells whether a newline needs its carriage return."""

    def __init__(self, terminal: Terminal, outlet: Outlet, *, clipboard: bool = True) -> None:
        """`clipboard`: whether that of stdout's terminal is the guest's too."""
        self._terminal = terminal
        self._outlet = outlet
        self._loop = asyncio.get_running_loop()
        self._new_guest = partial(GuestTerminal, clipboard=clipboard)
        #: Where stdout is no terminal, nothing of it is looked at.
        self._guest = self._new_guest() if os.isatty(_STDOUT) else None
        self.talks_to_terminal = os.isatty(_STDERR)
        self._is_shared = self._guest is not None and self.talks_to_terminal and _same_device(_STDOUT, _STDERR)
        self._unseen: GuestTerminal | None = None
        self._given_back = False
        self._leaving = False
        self._mid_line = False
        self._waiting: list[str] = []
        self._left_out = 0
        self._saying: asyncio.TimerHandle | None = None
        self._grace: asyncio.TimerHandle | None = None

    async def write(self, data: bytes) -> None:
        """Show the guest's output; waits while too much waits."""
        self._mid_line = not data.endswith(b"\n")
        if self._guest is not None:
            self.take_again()
            self._say_now()
            data = self._guest.feed(data)
            if data and self._unseen is not None:
                self._guest.goes_on_as(self._unseen)
                self._unseen = None
            if self._waiting:
                self._say_soon()
        await self._outlet.write(data)

    def pass_over(self, data: bytes) -> None:
        """Output that is not shown as it came: the next that is written comes to the same."""
        if self._guest is not None:
            self._unseen = self._unseen or self._new_guest()
            self._unseen.feed(data)

    async def flush(self) -> None:
        """Wait until the guest's output is shown, where a line said now would not come behind it by itself."""
        if not self._is_shared:
            await self._outlet.flush()

    def say(self, line: str) -> None:
        """Say a line, once there is a place for it."""
        if not self._is_shared:
            before = self._newline if self._mid_line and self.talks_to_terminal else ""
            self._mid_line = False
            on_stderr(line, before=before, newline=self._newline)
            return
        self._waiting.append(line)
        if len(self._waiting) > _MOST_WAITING:
            del self._waiting[0]
            self._left_out += 1
        self._say_soon()

    def away(self) -> None:
        """The console is away and expected back, and what there is to say about that was said."""
        if self._guest is not None and self._guest.full_screen and self._grace is None:
            self._grace = self._loop.call_later(GRACE_S, self._grace_over)

    def begin_anew(self) -> None:
        """What the guest switched on is over and does not come back; what there is to say about that was said."""
        self.give_back()
        self._say_now()
        self._guest = self._new_guest() if self._guest is not None else None

    def back(self) -> None:
        """The console is back."""
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self.take_again()

    def leave(self) -> None:
        """The command ends: what is said from now on comes once the terminal is given back."""
        self._leaving = True

    def give_back(self) -> None:
        """Give the terminal back as it was. It is the guest's again with its next output, or `take_again`."""
        if self._guest is not None and not self._given_back:
            self._given_back = True
            self._mid_line = self._guest.line_open
            self._outlet.put(self._guest.undo())

    def take_again(self) -> None:
        """Make the terminal the guest's again, where it was given back."""
        if self._guest is not None and self._given_back:
            self._say_now()
            self._given_back = False
            self._outlet.put(self._guest.redo())

    def suspend(self) -> None:
        """The process is to stop: give the terminal back, and have that done."""
        self.give_back()
        self._outlet.settle(_LAST_OUTPUT_S)

    async def finish(self) -> None:
        """Wait until all output is shown, or for a moment where that gets stuck; then give the terminal back."""
        await self._flush(_LAST_OUTPUT_S)
        self.give_back()
        await self._flush(_LAST_OUTPUT_S)

    async def finish_talking(self) -> None:
        """Wait until the last lines are shown, likewise."""
        if self._is_shared:
            self._say_now()
            await self._flush(_LAST_WORDS_S)

    def close(self) -> None:
        """Let go of stdout. Where it has come to this without `finish`, the terminal is given back all the same."""
        for timer in (self._saying, self._grace):
            if timer is not None:
                timer.cancel()
        if self._guest is not None and not self._given_back:
            self.suspend()
        self._outlet.close()

    async def _flush(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._outlet.flush()

    @property
    def _newline(self) -> str:
        return "\r\n" if self._terminal.raw and self.talks_to_terminal else "\n"

    def _grace_over(self) -> None:
        self._grace = None
        if self._waiting:
            self.give_back()
            self._say_now()

    def _say_soon(self) -> None:
        """What is said in one go stands together. The guest's output does not wait for that."""
        if self._saying is None:
            self._saying = self._loop.call_later(_TOGETHER_S, self._say_now)

    def _say_now(self) -> None:
        if self._saying is not None:
            self._saying.cancel()
            self._saying = None
        guest = self._guest
        if guest is None or not self._waiting:
            return
        if not self._given_back and (guest.full_screen or self._leaving):
            return
        if self._left_out:
            self._waiting.insert(0, f"virtmux: {self._left_out} lines that came before these are left out")
        lines = "".join(f"{line}{self._newline}" for line in self._waiting)
        self._waiting, self._left_out = [], 0
        is_open = self._mid_line if self._given_back else guest.line_open
        text = _encode((self._newline if is_open else "") + lines)
        self._mid_line = False
        self._outlet.put(text if self._given_back else guest.interrupt() + text + guest.go_on())


def _encode(text: str) -> bytes:
    return text.encode(errors="replace")


def _same_device(first: int, second: int) -> bool:
    return os.fstat(first).st_rdev == os.fstat(second).st_rdev
