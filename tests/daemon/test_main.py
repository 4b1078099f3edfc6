"""The command `virtmuxd`: how it starts, what it refuses, and what it exits with. No libvirtd is needed."""

import fcntl
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness.journal_writer import JournalWriter
from tests.harness.privilege import wait_for_exit
from tests.harness.processes import python_path
from tests.harness.readiness import ReadinessSocket

DEADLINE_S = 30


def environment(**more: str) -> dict[str, str]:
    """This one, so that virtmuxd is found also where nothing is installed."""
    return {**os.environ, "PYTHONPATH": python_path(), **more}


def virtmuxd_command(*arguments: str, python: tuple[str, ...] = ()) -> list[str]:
    return [sys.executable, *python, "-m", "virtmuxd", *arguments]


def run(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        virtmuxd_command(*arguments, python=python),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose name leaves room for a socket's."""
    with TemporaryDirectory(prefix="vmx") as name:
        yield Path(name)


def places(socket: Path) -> list[str]:
    """Where a daemon of these tests has what is its own: its journal not in the system's place."""
    return ["--socket", str(socket), "--journal-directory", str(socket.with_name("journal"))]


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The only line that it said, which names the command."""
    (line,) = result.stderr.splitlines()
    assert line.startswith("virtmuxd: ")
    assert result.stdout == ""
    return line


def test_python_without_assertions_is_refused() -> None:
    result = run("--uri", "test:///default", python=("-O",))

    assert result.returncode == 2
    assert "-O" in one_line(result)


@pytest.mark.parametrize(
    ("text", "said"),
    [("colour = 1", "colour"), ('log_level = "loud"', "log_level"), ("linger = x", "line 1")],
)
def test_a_configuration_that_cannot_be_used_is_a_line_and_status_2(directory: Path, text: str, said: str) -> None:
    file = directory / "virtmuxd.toml"
    file.write_text(text)

    result = run("--config", str(file))

    assert result.returncode == 2
    assert said in one_line(result)
    assert str(file) in result.stderr


def test_a_configuration_that_is_not_there_is_a_line_and_status_2(directory: Path) -> None:
    result = run("--config", str(directory / "nowhere.toml"))

    assert result.returncode == 2
    assert "No such file" in one_line(result)


@pytest.mark.parametrize("arguments", [("--attach", "sometimes"), ("--colour",), ("--log-level", "loud"), ("x",)])
def test_an_option_that_is_not_known_is_status_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)

    assert result.returncode == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--print-config",), ("--check-config",), ("--help",), ("--config", "/nowhere"), ("--socket", "/proc/v.sock")],
)
def test_nothing_of_its_environment_is_printed(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTMUX_TEST_TOKEN", "hunter2")
    result = run(*arguments)

    assert result.stdout + result.stderr
    assert "VIRTMUX_TEST_TOKEN" not in result.stdout + result.stderr
    assert "hunter2" not in result.stdout + result.stderr


def test_a_second_daemon_in_one_directory_is_refused(directory: Path) -> None:
    with (directory / "virtmuxd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        result = run("--uri", "test:///default", *places(directory / "v.sock"))

    assert result.returncode == 1
    assert str(directory) in one_line(result)
    assert "another virtmuxd" in result.stderr


def test_a_directory_that_cannot_be_made_is_a_line_and_status_1(directory: Path) -> None:
    (directory / "file").touch()

    result = run("--uri", "test:///default", *places(directory / "file" / "v.sock"))

    assert result.returncode == 1
    assert str(directory / "file") in one_line(result)


def test_a_socket_with_too_long_a_path_is_a_line_and_status_1(directory: Path) -> None:
    path = directory / ("x" * 120) / "v.sock"

    result = run("--uri", "test:///default", *places(path))

    assert result.returncode == 1
    assert "too long" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_a_start_that_fails_uses_up_no_clean_stop(directory: Path) -> None:
    """A history goes on after a clean stop, once: the daemon that goes on with it takes the stop back."""
    journal = JournalWriter(directory / "journal")
    journal.begin()
    journal.stopped(0, 1)
    before = journal.index().read_bytes()

    result = run("--socket", str(directory / ("x" * 120) / "v.sock"), "--journal-directory", str(journal.directory))

    assert result.returncode == 1, result.stderr
    assert journal.index().read_bytes() == before


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_two_private_sockets_until_it_is_told_to_stop(directory: Path, signal_: signal.Signals) -> None:
    with (
        ReadinessSocket(directory / "ready") as ready,
        subprocess.Popen(
            virtmuxd_command("--uri", "test:///default", *places(directory / "v.sock")),
            env=environment(NOTIFY_SOCKET=str(ready.path)),
            stderr=subprocess.PIPE,
            text=True,
        ) as daemon,
    ):
        try:
            ready.wait(daemon.pid, seconds=DEADLINE_S)
            for name in ("v.sock", "v-ro.sock"):
                path = directory / name
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
            daemon.send_signal(signal_)
            _, said = daemon.communicate(timeout=DEADLINE_S)
        finally:
            daemon.kill()
    assert daemon.returncode == 0, said
    assert "Traceback" not in said


@contextmanager
def log_unread(directory: Path, read: int, write: int) -> Iterator[subprocess.Popen[bytes]]:
    """A virtmuxd that is ready, and logs into this pipe, which nobody reads; killed when the context is left."""
    with (
        ReadinessSocket(directory / "ready") as ready,
        subprocess.Popen(
            virtmuxd_command("--uri", "test:///default", *places(directory / "v.sock")),
            env=environment(NOTIFY_SOCKET=str(ready.path)),
            stderr=write,
        ) as daemon,
    ):
        os.close(write)
        try:
            ready.wait(daemon.pid, seconds=DEADLINE_S)
            yield daemon
        finally:
            daemon.kill()
            os.close(read)


def test_a_log_that_nobody_reads_holds_neither_clients_nor_the_end_up(directory: Path) -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    with log_unread(directory, read, write) as daemon:
        for _ in range(50):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(DEADLINE_S)
                client.connect(str(directory / "v.sock"))
                assert b'"type":"hello"' in client.recv(65536)
        (unread,) = struct.unpack("i", fcntl.ioctl(read, termios.FIONREAD, bytes(4)))
        assert unread > 3000, "the pipe is as good as full"
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(DEADLINE_S)
    assert daemon.returncode == 0


#: virtmuxd that gets a signal right behind each reading of its configuration: SIGHUP, then SIGTERM.
SIGNALLED = """
import os, signal
from virtmuxd.__main__ import main
from virtmuxd.config.source import Source

signals, read = [signal.SIGHUP, signal.SIGTERM], Source.read

def signalled(source):
    loaded = read(source)
    os.kill(os.getpid(), signals.pop(0))
    return loaded

Source.read = signalled
main()
"""


def test_a_hangup_during_the_start_has_the_configuration_read_again(directory: Path) -> None:
    command = [sys.executable, "-c", SIGNALLED, "--uri", "test:///default", *places(directory / "v.sock")]

    result = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr


def test_a_hangup_during_the_stop_does_nothing(directory: Path) -> None:
    """Nor behind the end of the loop, when the log has its last time to be written, which nobody reads."""
    read, write = os.pipe()
    os.write(write, bytes(fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)))
    with log_unread(directory, read, write) as daemon:
        daemon.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + DEADLINE_S
        while daemon.poll() is None:
            assert time.monotonic() < deadline
            daemon.send_signal(signal.SIGHUP)
            time.sleep(0.001)
    assert daemon.returncode == 0


@pytest.mark.parametrize("fatal", [signal.SIGSEGV, signal.SIGABRT], ids=lambda fatal: fatal.name)
def test_it_leaves_no_core_however_it_was_started(directory: Path, fatal: signal.Signals) -> None:
    with (
        ReadinessSocket(directory / "ready") as ready,
        subprocess.Popen(
            virtmuxd_command("--uri", "test:///default", *places(directory / "v.sock")),
            env=environment(NOTIFY_SOCKET=str(ready.path)),
            cwd=directory,
            stderr=subprocess.PIPE,
        ) as daemon,
    ):
        try:
            ready.wait(daemon.pid, seconds=DEADLINE_S)
            _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_CORE)
            resource.prlimit(daemon.pid, resource.RLIMIT_CORE, (hard, hard))
            daemon.send_signal(fatal)
            assert wait_for_exit(daemon.pid, DEADLINE_S)
            _, status = os.waitpid(daemon.pid, 0)
        finally:
            daemon.kill()
    assert os.WTERMSIG(status) == fatal
    assert not os.WCOREDUMP(status)
