"""`virtmux log` as a process, on records in memory."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness.command import DEADLINE_S, environment
from tests.harness.log_source import NEW, OLD

#: The command, with `log` on the fake source.
SCRIPT = (
    "from virtmux_cli import main; main.COMMANDS['log'] = 'tests.harness.log_source'; "
    "import tests.harness.log_source; main.main()"
)
STARTED = b"-- 2025-03-01 12:00:10 attached --\n"
GAP = b"-- 4 bytes of output are missing here (16 to 20): the disk was full --\n"


def log(*arguments: str, stdout: int = subprocess.PIPE) -> tuple[int, bytes, str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "log", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment(Path("/nowhere")),
        timeout=DEADLINE_S,
        check=False,
    )
    return done.returncode, done.stdout or b"", done.stderr.decode()


def test_piped_text_keeps_the_guests_bytes() -> None:
    assert log("web1", "-b") == (0, STARTED + b"new \x1b[1mone\x1b[0m\n" + GAP + b"new two\n", "")


def test_a_terminal_gets_nothing_that_acts_on_it() -> None:
    leader, follower = pty.openpty()
    try:
        assert log("web1", "-b", stdout=follower) == (0, b"", "")
        shown = os.read(leader, 65536).replace(b"\r\n", b"\n")
    finally:
        os.close(leader)
        os.close(follower)
    assert shown == STARTED + b"new one\n" + GAP + b"new two\n"


def test_raw_is_the_bytes_and_says_on_stderr_what_is_missing() -> None:
    status, out, err = log("web1", "-b", "-o", "raw")
    assert (status, out) == (0, b"new \x1b[1mone\x1b[0m\nnew two\n")
    assert err == "virtmux: 4 bytes of output are missing here (16 to 20): the disk was full\n"


def test_json_is_a_line_for_each_record() -> None:
    status, out, err = log("web1", "-o", "json")
    types = [json.loads(line)["type"] for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert types[:3] == ["history", "mark", "output"]
    assert types.count("history") == 2


def test_an_asciicast_is_named_after_the_console() -> None:
    status, out, _ = log("web1", "-b", "0", "-o", "asciicast")
    header, *events = map(json.loads, out.splitlines())
    assert (status, header["version"], header["title"]) == (0, 2, "web1")
    assert [event[0] for event in events] == [0.0, 1.0, 1.0, 2.0]


def test_timestamps_stand_before_the_lines() -> None:
    assert log("web1", "-n1", "--timestamps")[1] == b"2025-03-01 12:00:12.000 new two\n"


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        (["-b", "-1", "web1"], b"second\n"),
        (["-b-1", "web1"], b"second\n"),
        (["--boot=-1", "web1"], b"second\n"),
        (["web1", "--boot", "2"], b"second\n"),
        (["-b", "web1"], b"new two\n"),
        (["web1", "-n", "1", "-b"], b"new two\n"),
        (["-b", "-n", "all", "--", "web1"], b"new two\n"),
        (["-U", "2025-03-01 12:00:05", "web1"], b"second\n"),
        (["-S", "2025-03-01T12:00:12Z", "web1"], b"new two\n"),
        (["--from", f"{NEW}:24:2", "web1"], b"two\n"),
        (["--from", "24", "web1"], b"two\n"),
    ],
)
def test_options_are_those_of_journalctl(arguments: Sequence[str], last: bytes) -> None:
    status, out, err = log(*arguments)
    assert (status, err) == (0, "")
    assert out.splitlines(keepends=True)[-1] == last


@pytest.mark.parametrize("arguments", [["-f", "web1"], ["-fb", "web1"], ["-f", "-n", "0", "web1"]])
def test_who_follows_learns_why_it_ends(arguments: Sequence[str]) -> None:
    status, out, err = log(*arguments)
    assert (status, out.splitlines()[-1]) == (5, b"live")
    assert err == "virtmux: the connection to virtmuxd was lost (server-lost)\n"


@pytest.mark.parametrize("arguments", [["web1", "-U", "2025-02-01"], ["web1", "-U", "2025-02-01", "-o", "json"]])
def test_that_nothing_is_there_is_said_and_no_failure(arguments: Sequence[str]) -> None:
    status, out, err = log(*arguments)
    assert (status, err) == (0, "virtmux: nothing that was asked for is stored of web1\n")
    assert [json.loads(line)["type"] for line in out.splitlines()] in ([], ["history"])


def test_boots_are_listed() -> None:
    status, out, err = log("web1", "--list-boots")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.decode().splitlines()] == ["BOOT", "-2", "-1", "0"]
    assert f"{OLD}:0:1" in out.decode()


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["other"], 3, "virtmux: there is no such console (console-missing)\n"),
        (["web1", "-b", "9"], 1, "virtmux: there is no boot 9: 3 are stored (--list-boots shows them)\n"),
        (["web1", "-b9x"], 2, "virtmux: invalid value for '--boot' / '-b': not the number of a boot: '9x'"),
        (["web1", "-n", "x"], 2, "virtmux: invalid value for '--lines' / '-n': not a number of lines: 'x'"),
        (["web1", "-S", "soon"], 2, "virtmux: invalid value for '--since' / '-S': not a time: 'soon'"),
        (["web1", "--from", "x"], 2, "virtmux: invalid value for '--from': not a position: 'x'"),
        (["web1", "-b", "--from", "0"], 2, "virtmux: --boot and --from exclude each other"),
        (["web1", "-f", "-U", "now"], 2, "virtmux: --follow and --until exclude each other"),
        (["web1", "--timestamps", "-o", "raw"], 2, "virtmux: --timestamps is for text"),
    ],
)
def test_an_error_is_one_line(arguments: Sequence[str], status: int, complaint: str) -> None:
    ended, out, err = log(*arguments)
    assert (ended, out) == (status, b"")
    assert err.startswith(complaint)
    assert err.count("\n") == 1


def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        assert log("web1", stdout=full.fileno()) == (1, b"", "virtmux: stdout: No space left on device\n")


def following() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "log", "-f", "-n0", "quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(Path("/nowhere")),
        process_group=0,
    )


def test_nobody_reading_ends_it_quietly_also_while_nothing_comes() -> None:
    with following() as command:
        assert command.stdout is not None
        assert command.stderr is not None
        assert command.stdout.readline() == b"live\n"
        command.stdout.close()
        assert (command.wait(DEADLINE_S), command.stderr.read()) == (0, b"")


def test_an_interrupt_ends_it_quietly() -> None:
    with following() as command:
        assert command.stdout is not None
        assert command.stderr is not None
        assert command.stdout.readline() == b"live\n"
        command.send_signal(signal.SIGINT)
        assert (command.wait(DEADLINE_S), command.stderr.read()) == (130, b"")
