"""Where log records go: to journald, natively, or as lines to stderr. To write may take as long as the reader likes.

systemd-python is of no use here: its `sendv` keeps the interpreter's lock while journald does not read, which stops the
whole daemon. What it would do is a datagram: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
"""

import logging
import os
import select
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from virtmuxd.logs import records

_STDERR = 2
_JOURNALD = Path("/run/systemd/journal/socket")
_IDENTIFIER = "virtmuxd"
_SIZE = struct.Struct("<Q")
#: syslog(3)'s.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class Sink(Protocol):
    """Takes records: it renders them where they come up, and writes in a thread of its own."""

    def render(self, record: logging.LogRecord) -> bytes:
        """What `write` takes."""

    def write(self, rendered: bytes) -> None:
        """Write it, however long that takes.

        Raises:
            OSError: it cannot be written.
        """


class Lines:
    """Lines `level message key=value ...`; to a journal each begins with its priority (sd-daemon(3))."""

    def __init__(self, fd: int, *, to_journal: bool) -> None:
        self._fd = fd
        self._to_journal = to_journal

    def render(self, record: logging.LogRecord) -> bytes:
        """As `Sink.render`."""
        lines = f"{record.levelname.lower()} {records.text(record)}".split("\n")
        priority = f"<{_priority(record)}>" if self._to_journal else ""
        return "".join(f"{priority}{line}\n" for line in lines).encode(errors="backslashreplace")

    def write(self, rendered: bytes) -> None:
        """As `Sink.write`."""
        while rendered:
            try:
                rendered = rendered[os.write(self._fd, rendered) :]
            except BlockingIOError:  # somebody who shares it has made it so
                _wait_for_room(self._fd)


class Journald:
    """Records as journald has them: a field `VIRTMUX_...` for each fact, and `VIRTMUX_MESSAGE` for what is constant."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def render(self, record: logging.LogRecord) -> bytes:
        """As `Sink.render`."""
        fields = {
            "MESSAGE": records.text(record),
            "PRIORITY": str(_priority(record)),
            "SYSLOG_IDENTIFIER": _IDENTIFIER,
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
            "VIRTMUX_MESSAGE": record.getMessage(),
        }
        fields |= {f"VIRTMUX_{key.upper()}": records.plain(value) for key, value in records.facts(record).items()}
        return b"".join(_fields(fields))

    def write(self, rendered: bytes) -> None:
        """As `Sink.write`."""
        self._socket.sendto(rendered, self._path)


def sink(environment: Mapping[str, str], fd: int = _STDERR, journald: Path = _JOURNALD) -> Sink:
    """To journald where it is what takes our stderr; else to stderr."""
    if not _is_journal(environment.get("JOURNAL_STREAM", ""), fd):
        return Lines(fd, to_journal=False)
    # Where it cannot be reached, as in another root, its stream still is.
    return Journald(journald) if journald.is_socket() else Lines(fd, to_journal=True)


def _is_journal(stream: str, fd: int) -> bool:
    """Whether `stream`, JOURNAL_STREAM of systemd.exec(5), names this descriptor: it is inherited by those too whose
    stderr is another."""
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


def _priority(record: logging.LogRecord) -> int:
    return _PRIORITIES.get(record.levelno, _PRIORITIES[logging.INFO])


def _fields(fields: Mapping[str, str]) -> Iterator[bytes]:
    for name, value in fields.items():
        data = value.encode(errors="backslashreplace")
        if b"\n" in data:
            yield b"%s\n%s%s\n" % (name.encode(), _SIZE.pack(len(data)), data)
        else:
            yield b"%s=%s\n" % (name.encode(), data)


def _wait_for_room(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll()
