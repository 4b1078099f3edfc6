"""An ssh that runs: its streams are the connection, what it says is why there is none, and it does not stay behind."""

import os
import shlex
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from msgspec.structs import replace

from virtmux import ssh
from virtmux.addresses import SshHost
from virtmux.reasons import Cause, Phase, Reason
from virtmux.ssh import SshProcess

LIMIT_S = 10
#: Goes on until its streams are closed, and hears of signals meanwhile.
GOES_ON = "exec 3<&0; cat <&3 >/dev/null 2>&1 & echo ready; wait"

Runs = Callable[[str], tuple[SshProcess, socket.socket]]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    """Runs a script of the shell as `ssh alpha`. It comes with our end of its streams."""
    monkeypatch.setattr(ssh, "_LISTENING_S", LIMIT_S)
    monkeypatch.setattr(ssh, "_TERMINATING_S", LIMIT_S)
    with ExitStack() as opened:

        def run(script: str) -> tuple[SshProcess, socket.socket]:
            monkeypatch.setenv("VIRTMUX_SSH", shlex.join(["sh", "-c", script]))
            ours, streams = socket.socketpair()
            opened.enter_context(ours).settimeout(LIMIT_S)
            with streams:
                process = SshProcess(SshHost("alpha"), streams, again=False)
            opened.callback(process.end, 0)
            opened.callback(ours.close)
            return process, ours

        yield run


def is_gone(process: SshProcess) -> bool:
    """Whether it has ended and was reaped."""
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_its_stdin_and_stdout_are_the_connection_and_it_ends_with_it(runs: Runs) -> None:
    process, ours = runs("exec cat")
    ours.sendall(b"hello")
    assert ours.recv(5, socket.MSG_WAITALL) == b"hello"
    ours.close()
    process.end(LIMIT_S)
    assert is_gone(process)


WHY = {
    "echo 'sh: 1: virtmux: not found' >&2; exit 127": (
        Cause.SERVER_LOST,
        "no virtmux at alpha: sh: 1: virtmux: not found; install it there, where ssh finds it",
    ),
    "echo 'ssh: connect to host alpha port 22: No route to host' >&2; exit 255": (
        Cause.SERVER_LOST,
        "no connection to alpha: ssh: connect to host alpha port 22: No route to host; try `ssh alpha`",
    ),
    "echo 'alice@alpha: Permission denied (publickey).' >&2; exit 255": (
        Cause.ACCESS_DENIED,
        "no connection to alpha: alice@alpha: Permission denied (publickey).; try `ssh alpha`",
    ),
    "exit 255": (Cause.SERVER_LOST, "no connection to alpha: ssh failed; try `ssh alpha`"),
    # That ssh was let in: what is denied is something there.
    "echo 'virtmux: /run/virtmux: Permission denied' >&2; exit 1": (
        Cause.SERVER_LOST,
        "alpha: /run/virtmux: Permission denied",
    ),
    "exit 0": (Cause.SERVER_LOST, "the connection to virtmuxd was lost: alpha"),
    # Of all that it says the last line, and nothing that acts on the terminal.
    r"printf 'Warning: new key\n\n  \033[1mno\377 way \r\n\n' >&2; exit 255": (
        Cause.SERVER_LOST,
        "no connection to alpha: \\x1b[1mno\N{REPLACEMENT CHARACTER} way; try `ssh alpha`",
    ),
    # However much that is: it does not wait for us, and a line that is too long for a reason is cut.
    "head -c 200000 /dev/zero | tr '\\0' x >&2; exit 1": (Cause.SERVER_LOST, f"alpha: {'x' * 300}"),
}


@pytest.mark.parametrize(("script", "cause", "text"), [(script, *why) for script, why in WHY.items()])
def test_why_there_is_no_connection_is_in_its_own_words(runs: Runs, script: str, cause: Cause, text: str) -> None:
    process, _ = runs(script)
    process.end(LIMIT_S)
    assert replace(process.why(), at="") == Reason(cause=cause, text=text, phase=Phase.CLIENT, console=None, at="")


def test_one_that_does_not_end_with_its_streams_is_asked_to(runs: Runs) -> None:
    process, ours = runs(f"trap 'echo terminated >&2; exit 1' TERM; {GOES_ON}")
    assert ours.recv(6, socket.MSG_WAITALL) == b"ready\n"
    process.end(0)
    assert is_gone(process)
    assert process.why().text == "alpha: terminated"


def test_one_that_does_not_listen_to_that_is_killed(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "_TERMINATING_S", 0)
    process, ours = runs(f"trap '' TERM; {GOES_ON}")
    assert ours.recv(6, socket.MSG_WAITALL) == b"ready\n"
    process.end(0)
    assert is_gone(process)


def test_its_end_does_not_wait_for_another_ssh_that_it_left_behind(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "_LISTENING_S", 0)
    process, ours = runs("exec 3<&0; cat <&3 & exit 255")
    process.end(LIMIT_S)
    ours.sendall(b"x")
    assert ours.recv(1) == b"x"  # the one left behind is there, and has stderr too


def test_the_thread_that_listens_says_whose_it_is_and_does_not_hold_up_the_programs_end(runs: Runs) -> None:
    before = set(threading.enumerate())
    runs("exec cat")
    added = {thread.name: thread.daemon for thread in threading.enumerate() if thread not in before}
    assert added == {"virtmux-ssh-stderr": True}


def test_it_is_not_interrupted_from_the_terminal(runs: Runs) -> None:
    process, ours = runs("exec cat")
    os.kill(process.pid, signal.SIGINT)
    ours.sendall(b"last words")
    assert ours.recv(10, socket.MSG_WAITALL) == b"last words"
