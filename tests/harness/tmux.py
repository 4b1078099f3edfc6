"""A tmux of the tests' own: its socket, configuration and working directory are in a directory of its own."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import termios
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import pytest

from tests.harness.follower import PATIENCE
from tests.harness.privilege import send_signal, wait_for_exit

SESSION = "virtmux"
#: What tmux takes for where it is, and nothing of the person's who runs the tests.
_NOT_INHERITED = ("TMUX", "TMUX_PANE", "XDG_CONFIG_HOME", "VIRTMUX_SOCKET")
#: Between two names. Control characters come as octal numbers from newer ones.
_BETWEEN = "|console|"
_WINDOW = f"#{{window_id}} #{{pane_dead}} #{{window_active}} #{{window_name}}{_BETWEEN}#{{@virtmux-console}}"

_T = TypeVar("_T")


class Window(NamedTuple):
    """A window as tmux lists it."""

    id: str
    dead: bool
    active: bool
    name: str
    console: str


class Tmux:
    """A context manager that makes this process's environment lead to a tmux server of its own, which ends with it.

    The server itself is started by whoever first makes a session.
    """

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="vmxt-"))
        self._environment = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        for name in _NOT_INHERITED:
            self._environment.delenv(name, raising=False)
        settings = {"TMUX_TMPDIR": self.directory, "HOME": self.directory, "LANG": "C.UTF-8", "TERM": "xterm-256color"}
        for name, value in settings.items():
            self._environment.setenv(name, str(value))
        self._environment.chdir(self.directory)
        return self

    def set_environment(self, variables: Mapping[str, str]) -> None:
        """More variables for what is started from now on."""
        for name, value in variables.items():
            self._environment.setenv(name, value)

    def __exit__(self, *_: object) -> None:
        try:
            for name in ("default", "other"):
                self._end(name)
        finally:
            self._environment.undo()
            shutil.rmtree(self.directory)

    def _end(self, name: str) -> None:
        """Ends a server and returns once it is gone."""
        asked = self._ask("-L", name, "display-message", "-p", "#{pid}")
        if asked.returncode == 0:
            pid = int(asked.stdout)
            self._ask("-L", name, "kill-server")
            if not wait_for_exit(pid, PATIENCE):
                send_signal(pid, signal.SIGKILL)
                raise AssertionError("tmux does not end: something that it runs does not")

    def run(self, *arguments: str) -> list[str]:
        """Runs `tmux ARGUMENTS` and gives the lines that it prints; raises CalledProcessError."""
        done = self._ask(*arguments)
        try:
            done.check_returncode()
        except subprocess.CalledProcessError as error:
            error.add_note(done.stderr)
            raise
        return done.stdout.splitlines()

    @staticmethod
    def _ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["tmux", *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE)

    def sessions(self) -> list[str]:
        """The names of the sessions; none where no server runs."""
        return self._ask("list-sessions", "-F", "#{session_name}").stdout.splitlines()

    def windows(self, session: str = SESSION) -> list[Window]:
        """The session's windows in their order."""
        rows = [line.split(_BETWEEN) for line in self.run("list-windows", "-t", f"={session}", "-F", _WINDOW)]
        cells = [(*facts.split(" ", 3), console) for facts, console in rows]
        return [
            Window(window, dead == "1", active == "1", name, console) for window, dead, active, name, console in cells
        ]

    def names(self, session: str = SESSION) -> list[str]:
        """The names of the windows of consoles."""
        return [window.name for window in self.windows(session) if window.console]

    def window(self, console: str) -> Window:
        """The one window of a console, by the console's own name."""
        (window,) = (window for window in self.windows() if window.console == console)
        return window

    def screen(self, target: str) -> str:
        """What a pane shows, and what it has shown, without the line breaks that its width makes."""
        return "\n".join(self.run("capture-pane", "-p", "-J", "-S", "-", "-t", target))

    def type(self, target: str, data: bytes) -> None:
        """Types bytes, whatever they are."""
        self.run("send-keys", "-t", target, "-H", *(f"{byte:02x}" for byte in data))

    async def until(self, look: Callable[[], _T]) -> _T:
        """Waits until a look gives something true, and gives it.

        It looks again and again, up to a deadline: what a screen shows is no event. Raises TimeoutError.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while not (seen := look()):
                    await asyncio.sleep(0.05)
                return seen
        except TimeoutError as error:
            for window in self.windows():
                error.add_note(f"{window}\n{self.screen(window.id)}")
            raise

    async def until_raw(self, target: str) -> None:
        """Waits until what is typed in a pane goes to a guest: before, its terminal echoes it, and it is dropped."""
        (path,) = self.run("display-message", "-p", "-t", target, "#{pane_tty}")
        terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            await self.until(lambda: not termios.tcgetattr(terminal)[3] & termios.ICANON)
        finally:
            os.close(terminal)

    async def until_named(self, *names: str) -> None:
        """Waits until the windows of consoles are called so, in any order."""
        await self.until(lambda: sorted(self.names()) == sorted(names))

    async def until_shown(self, target: str, text: str) -> None:
        """Waits until a pane shows a text."""
        await self.until(lambda: text in self.screen(target))
