"""One session of a tmux server, through libtmux: the only file that knows tmux's commands.

A window is made and set up by one invocation, which tmux carries out in one go: nothing of a guest comes before its
settings, and no window goes before it is to stay.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from virtmux.sanitize import printable
from virtmux_cli.tmux.naming import Key
from virtmux_cli.tmux.plan import Pane

if TYPE_CHECKING:
    from libtmux import Server

#: The tmux whose windows can stay where their commands fail (`remain-on-exit failed`), without the faults of 3.2.
_OLDEST = "3.2a"
#: What is written at a pane, a window and a session of ours.
_KEY, _NAME, _FOLLOWER, _PURPOSE = (f"@virtmux-{word}" for word in ("key", "console", "follower", "purpose"))
_FOLLOWER_NAME = "virtmux"
#: Where `new-window` puts its window with `-a`.
_LAST = "{end}"
#: A guest can set its pane's title; in tmux's own status line its `#[...]` would be tmux's.
_STATUS_RIGHT = " %H:%M %d-%b-%y"
#: Runs a console's command. Where libutempter waits for its own child just as that ends, as it may with Debian's
#: tmux, tmux does not learn of the end before that of another child: here it is given one. Ctrl-C, where a guest
#: is waited for, closes the window as the escape key does otherwise.
_RUN = 'trap : INT; "$@"; status=$?; tmux run-shell -b "sleep 0.3"; test $status = 130 || exit $status'
_PANES = f"#{{pane_id}} #{{window_id}} #{{pane_dead}} #{{?{_FOLLOWER},1,0}} #{{{_KEY}}}"


class Purpose(NamedTuple):
    """What a session is for: `daemon` are the options with which `virtmux` finds its daemons; without `patterns` all
    their consoles have windows."""

    daemon: str
    patterns: Sequence[str]


class Contents(NamedTuple):
    """The panes of a session that are ours. `follower` is the one that keeps it in step, None where it has left."""

    panes: list[Pane]
    follower: str | None
    dead_follower: str | None


def tmux_server(*, socket_name: str | None = None, socket_path: str | None = None) -> "Server":
    """The tmux server of this name or at this path, by default the one that `tmux` itself would use.

    Raises:
        click.ClickException: there is no tmux, or one that is too old.
    """
    from libtmux import Server
    from libtmux.common import get_version, has_gte_version

    if shutil.which("tmux") is None:
        raise click.ClickException("there is no tmux here; install it, for example with `apt install tmux`")
    if not has_gte_version(_OLDEST):
        text = f"tmux {get_version()} is too old, {_OLDEST} or newer is needed; upgrade it"
        raise click.ClickException(text)
    return Server(socket_name=socket_name, socket_path=socket_path)


def run(server: "Server", *arguments: str) -> list[str]:
    """Have tmux carry commands out, with `;` between them; gives what it says.

    Raises:
        click.ClickException: it did not.
    """
    done = server.cmd(*arguments)
    if done.returncode:
        said = " ".join(done.stderr) or f"status {done.returncode}"
        raise click.ClickException(f"tmux {arguments[0]}: {printable(said)}")
    return done.stdout


def escaped(words: Sequence[str]) -> list[str]:
    """Words in which tmux sees no end of a command."""
    return [f"{word[:-1]}\\;" if word.endswith(";") else word for word in words]


class Session:
    """A session, by its id. Methods raise click.ClickException where tmux does not do what it is asked."""

    def __init__(self, server: "Server", session_id: str) -> None:
        self.server = server
        self.id = session_id

    @classmethod
    def find(cls, server: "Server", name: str) -> "Session | None":
        """The session of this name, if there is one."""
        for line in server.cmd("list-sessions", "-F", "#{session_id} #{session_name}").stdout:
            session_id, _, found = line.partition(" ")
            if found == name:
                return cls(server, session_id)
        return None

    @classmethod
    def make(cls, server: "Server", name: str, follower: Sequence[str], purpose: Purpose) -> "Session | None":
        """A new session, whose first window runs `follower`; None where another was quicker."""
        words = ["new-session", "-d", "-P", "-F", "#{session_id}", "-s", name, "-n", _FOLLOWER_NAME, *escaped(follower)]
        target = f"={name}:"
        settings = {"status-right": _STATUS_RIGHT, "set-titles": "off", _PURPOSE: _written(purpose)}
        for option, value in settings.items():
            words += [";", "set-option", "-t", target, option, *escaped([value])]
        words += _follower_settings(target)
        try:
            return cls(server, run(server, *words)[0])
        except click.ClickException:
            if cls.find(server, name) is None:
                raise
            return None

    @classmethod
    def around(cls, server: "Server", pane: str) -> "Session":
        """The session in which a pane is."""
        return cls(server, run(server, "display-message", "-p", "-t", pane, "#{session_id}")[0])

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else of virtmux changes sessions of this server meanwhile. It ends with this process at the latest."""
        directory = Path(self.socket_path).parent
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
            yield
        finally:
            os.close(opened)

    @property
    def socket_path(self) -> str:
        """The server's socket."""
        return run(self.server, "display-message", "-p", "-t", f"{self.id}:", "#{socket_path}")[0]

    def contents(self) -> Contents:
        """What of this session is ours."""
        rows = [line.split(" ", 4) for line in run(self.server, "list-panes", "-s", "-t", f"{self.id}:", "-F", _PANES)]
        followers = {dead: pane for pane, _, dead, follows, _ in rows if follows == "1"}
        found = [(pane, window, key, dead == "1") for pane, window, dead, _, text in rows if (key := _key(text))]
        windows = [window for _, window, _, _ in found]
        panes = [Pane(pane, window, key, windows.count(window) == 1, dead) for pane, window, key, dead in found]
        return Contents(panes, followers.get("0"), followers.get("1"))

    @property
    def purpose(self) -> Purpose | None:
        """What the session is for; None where it is no session of virtmux yet."""
        said = run(self.server, "show-options", "-q", "-v", "-t", f"{self.id}:", _PURPOSE)
        if not said:
            return None
        daemon, patterns = json.loads(said[0])
        return Purpose(str(daemon), [str(pattern) for pattern in patterns])

    @purpose.setter
    def purpose(self, purpose: Purpose) -> None:
        run(self.server, "set-option", "-t", f"{self.id}:", _PURPOSE, *escaped([_written(purpose)]))

    def start_follower(self, command: Sequence[str], dead: str | None) -> None:
        """Have `command` keep the session in step, in the pane of one that has left, or in a window of its own."""
        if dead is not None:
            run(self.server, "respawn-pane", "-k", "-t", dead, *escaped(command))
            return
        run(self.server, *self._new_window(_FOLLOWER_NAME, command), *_follower_settings(f"{self.id}:{_LAST}"))

    def open(self, key: Key, name: str, real_name: str, command: Sequence[str]) -> None:
        """A window for a console, behind all others. It stays where `command` fails, and goes where it ends well."""
        window = f"{self.id}:{_LAST}"
        run(self.server, *self._new_window(name, _run(command)), *_console_settings(window, key, real_name))

    def restart(self, pane: str, key: Key, command: Sequence[str]) -> None:
        """Run `command` in a pane whose own has left, on an empty screen."""
        self.retag(pane, key)
        run(self.server, "respawn-pane", "-t", pane, *escaped(_run(command)))

    def retag(self, pane: str, key: Key) -> None:
        """A pane is for another console from now on."""
        run(self.server, "set-option", "-p", "-t", pane, _KEY, str(key))

    def rename(self, window: str, name: str, real_name: str) -> None:
        """Call a window something else."""
        words = ["rename-window", "-t", window, name, ";", "set-option", "-w", "-t", window, _NAME]
        run(self.server, *words, *escaped([real_name]))

    def select(self, window: str) -> None:
        """Show a window to those who are attached or will be."""
        run(self.server, "select-window", "-t", window)

    def attach_command(self) -> list[str]:
        """The command that shows the session in this terminal."""
        at = f"-L{self.server.socket_name}" if self.server.socket_name else f"-S{self.socket_path}"
        return ["tmux", at, "attach-session", "-t", f"{self.id}:"]

    def switch_client(self) -> None:
        """Have the client of tmux in which this process runs show the session."""
        run(self.server, "switch-client", "-t", f"{self.id}:")

    def _new_window(self, name: str, command: Sequence[str]) -> list[str]:
        place = ["new-window", "-d", "-a", "-t", f"{self.id}:{_LAST}"]
        return [*place, "-n", name, *escaped(command)]


def _key(text: str) -> Key | None:
    """What is written at a pane; anybody may have written there."""
    try:
        return Key.parse(text)
    except ValueError:
        return None


def _run(command: Sequence[str]) -> list[str]:
    return ["sh", "-c", _RUN, "sh", *command]


def _written(purpose: Purpose) -> str:
    return json.dumps(purpose)


def _follower_settings(window: str) -> list[str]:
    return [";", "set-option", "-p", "-t", window, _FOLLOWER, "1", *_settings(window)]


def _console_settings(window: str, key: Key, real_name: str) -> list[str]:
    return [
        *(";", "set-option", "-p", "-t", window, _KEY, str(key)),
        *(";", "set-option", "-w", "-t", window, _NAME, *escaped([real_name])),
        *_settings(window),
    ]


def _settings(window: str) -> list[str]:
    """A guest's escape sequences neither rename the window nor reach the terminal around tmux; `-q`: not every tmux
    knows all of them."""
    settings = {
        "remain-on-exit": "failed",
        "automatic-rename": "off",
        "allow-rename": "off",
        "allow-passthrough": "off",
        "allow-set-title": "off",
    }
    return [word for name, value in settings.items() for word in (";", "set-option", "-wq", "-t", window, name, value)]
