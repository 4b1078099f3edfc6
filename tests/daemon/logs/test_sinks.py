"""Where records go: journald's native protocol, and lines."""

import logging
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness.logged import record
from virtmuxd.logs.sinks import Journald, Lines, sink

_DEADLINE = 10.0


@pytest.fixture
def directory() -> Iterator[Path]:
    with TemporaryDirectory(prefix="vmx") as name:
        yield Path(name)


@contextmanager
def closed(journald: Journald) -> Iterator[Journald]:
    """One that the daemon would have to its end."""
    with journald._socket:
        yield journald


def parsed(datagram: bytes) -> dict[str, str]:
    """The fields of an entry, as https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ says to read them."""
    fields: dict[str, str] = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, is_short, value = line.partition(b"=")
        if not is_short:
            (size,) = struct.unpack("<Q", datagram[:8])
            value, datagram = datagram[8 : 8 + size], datagram[8 + size :]
            assert datagram[:1] == b"\n"
            datagram = datagram[1:]
        fields[name.decode()] = value.decode()
    return fields


def test_a_line_has_level_message_and_facts() -> None:
    made = record("client left", client=7)
    assert Lines(2, to_journal=False).render(made) == b"info client left client=7\n"


@pytest.mark.parametrize(
    ("level", "priority"),
    [("DEBUG", 7), ("INFO", 6), ("WARNING", 4), ("ERROR", 3), ("CRITICAL", 2)],
)
def test_to_a_journal_each_line_has_its_priority(level: str, priority: int) -> None:
    try:
        raise ValueError("x\n<0>forged")
    except ValueError as error:
        made = record("a bug", error)
    made.levelno, made.levelname = logging.getLevelNamesMapping()[level], level
    lines = Lines(2, to_journal=True).render(made).splitlines()
    assert lines[0] == f"<{priority}>{level.lower()} a bug".encode()
    assert len(lines) > 3
    assert all(line.startswith(f"<{priority}>".encode()) for line in lines)


def test_an_entry_of_the_journal_has_a_field_for_each_fact(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(directory / "socket"))
        journal.settimeout(_DEADLINE)
        made = record("client left", client=7, domain="web\n=1", error=None, read_only=True, unit="\udc80")
        made.levelno, made.funcName, made.lineno, made.pathname = logging.WARNING, "leave", 12, "/x/y.py"
        with closed(Journald(directory / "socket")) as journald:
            journald.write(journald.render(made))
        assert parsed(journal.recv(65536)) == {
            "MESSAGE": "client left client=7 domain='web\\n=1' read_only=True unit='\\udc80'",
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "virtmuxd",
            "CODE_FILE": "/x/y.py",
            "CODE_LINE": "12",
            "CODE_FUNC": "leave",
            "VIRTMUX_MESSAGE": "client left",
            "VIRTMUX_CLIENT": "7",
            "VIRTMUX_DOMAIN": "web\n=1",
            "VIRTMUX_READ_ONLY": "true",
            "VIRTMUX_UNIT": "\\udc80",
        }


def test_a_journald_that_is_gone_is_an_error_of_the_system(directory: Path) -> None:
    with closed(Journald(directory / "socket")) as journald, pytest.raises(FileNotFoundError):
        journald.write(b"x")


@pytest.mark.parametrize("blocking", [True, False])
def test_lines_are_written_whole_also_into_a_pipe_that_is_full_for_a_while(*, blocking: bool) -> None:
    read, write = os.pipe()
    os.set_blocking(write, blocking)
    line = b"x" * 1_000_000 + b"\n"
    writing = threading.Thread(target=Lines(write, to_journal=False).write, args=(line,))
    writing.start()
    with os.fdopen(read, "rb") as reader:
        assert reader.readline() == line
    writing.join(_DEADLINE)
    os.close(write)


def test_journald_gets_records_natively_where_it_has_our_stderr(directory: Path) -> None:
    journald = directory / "socket"
    with (directory / "stream").open("wb") as stream, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        status = os.fstat(stream.fileno())
        ours = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert sink(ours, stream.fileno(), journald).render(record()).startswith(b"<6>info a message")
        journal.bind(str(journald))
        chosen = sink(ours, stream.fileno(), journald)
        assert isinstance(chosen, Journald)
        with closed(chosen):
            pass


@pytest.mark.parametrize("stream", [None, "", "8:1", "x", "8:1:2"])
def test_a_stderr_that_is_no_journals_gets_lines_without_priorities(directory: Path, stream: str | None) -> None:
    environment = {} if stream is None else {"JOURNAL_STREAM": stream}
    with (directory / "stderr").open("wb") as stderr:
        made = sink(environment, stderr.fileno(), directory).render(record())
    assert made.startswith(b"info a message")


def test_a_stderr_that_is_closed_is_no_journals() -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    assert isinstance(sink({"JOURNAL_STREAM": "8:1"}, write), Lines)
