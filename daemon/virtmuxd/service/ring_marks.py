"""The marks of a ring: a line of JSON for each mark and each completion of one, in a file beside the output.

The first line names the history. A line that was cut short by a death has no newline and is dropped. Once a file is
full it becomes the older of two, in the place of the one that was, and a new one begins: nothing is ever rewritten, and
the two together hold at least as many marks as readers may ask for.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

from msgspec import DecodeError
from msgspec.json import Decoder, Encoder

from virtmuxd.core.store import MAX_MARKS, StoredMark

#: A mark takes two lines where it was reserved first.
_FULL = 2 * MAX_MARKS
_encoder = Encoder()
_decoder: Decoder[StoredMark] = Decoder(StoredMark)


class MarksError(Exception):
    """Marks that are there cannot be trusted; the text says why."""


class RingMarks:
    """The marks of the ring at `path` (without its suffix)."""

    def __init__(self, path: Path, history: str, lines: int) -> None:
        """Use `begin` or `find`. `lines` are those of the newer file."""
        self._path = path
        self._history = history
        self._lines = lines

    @classmethod
    def begin(cls, path: Path, history: str) -> "RingMarks":
        """No marks yet, and none of another history.

        Raises:
            OSError: the file cannot be made.
        """
        older_file(path).unlink(missing_ok=True)
        _make(marks_file(path), history)
        return cls(path, history, 0)

    @classmethod
    def find(cls, path: Path, history: str) -> tuple["RingMarks", list[StoredMark]]:
        """The marks of a history that are there: completions put in their place, at most those that are held, and
        without holes: what stands before one that could not be stored is given up.

        Raises:
            MarksError: a file is gone or belongs to another history, or a line in it is damaged.
        """
        older = _read(older_file(path), history) if older_file(path).exists() else []
        if older and not marks_file(path).exists():  # it died between the two steps of `_turn`
            _make(marks_file(path), history)
        newer = _read(marks_file(path), history)
        found = {mark.number: mark for mark in older + newer}
        held: list[StoredMark] = []
        for number in sorted(found):
            if held and held[-1].number != number - 1:
                held.clear()
            held.append(found[number])
        return cls(path, history, len(newer)), held[-MAX_MARKS:]

    def put(self, mark: StoredMark) -> None:
        """Store a mark, or its completion.

        Raises:
            OSError: it is not stored.
        """
        if self._lines >= _FULL:
            self._turn()
        _write(marks_file(self._path), _encoder.encode(mark) + b"\n")
        self._lines += 1

    def forget(self) -> None:
        """Hold none of those that are there.

        Raises:
            OSError: they are still there.
        """
        self.begin(self._path, self._history)
        self._lines = 0

    def moved(self, path: Path) -> None:
        """The files have another name now."""
        self._path = path

    def _turn(self) -> None:
        with suppress(FileNotFoundError):  # the turn before this failed in its midst
            marks_file(self._path).replace(older_file(self._path))
        _make(marks_file(self._path), self._history)
        self._lines = 0


def marks_file(path: Path) -> Path:
    """The file of the newer marks of the ring at `path`."""
    return path.with_suffix(".marks")


def older_file(path: Path) -> Path:
    """The file of the older ones, where there are so many."""
    return path.with_suffix(".older-marks")


def history_of(path: Path) -> str:
    """The history whose marks lie at `path`, as the file says."""
    return marks_file(path).read_bytes()[:32].decode(errors="replace")


def _make(file: Path, history: str) -> None:
    """A new file, there with its first line or not at all; where a link was, the other file stays as it is."""
    new = file.with_suffix(".new-marks")
    new.unlink(missing_ok=True)
    _write(new, history.encode() + b"\n")
    new.replace(file)


def _read(file: Path, history: str) -> list[StoredMark]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise MarksError(f"its marks cannot be read: {error.strerror}") from error
    whole = data[: data.rfind(b"\n") + 1]
    head, _, lines = whole.partition(b"\n")
    if head != history.encode():
        raise MarksError("its marks belong to another history")
    try:
        marks = [_decoder.decode(line) for line in lines.splitlines()]
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MarksError(f"its marks are damaged: {error}") from error
    if len(whole) < len(data):
        os.truncate(file, len(whole))
    return marks


def _write(path: Path, data: bytes) -> None:
    """Append all of `data` with one system call, or nothing and raise OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, data) != len(data):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)
