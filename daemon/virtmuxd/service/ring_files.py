"""The files of a ring: made whole or not at all, verified where they are found, put aside for another, and removed.

`path` is everywhere that of the ring without a suffix; `.ring` is its header and output, the others are its marks.
"""

import mmap
import os
from pathlib import Path

from virtmuxd.service.ring_header import FIRST_CAPACITY, PAGE, RingError, set_up, verify
from virtmuxd.service.ring_marks import RingMarks, history_of, marks_file, older_file


def ring_file(path: Path) -> Path:
    """The file of the header and the output."""
    return path.with_suffix(".ring")


def create(path: Path, boot_id: int, history: int) -> tuple[mmap.mmap, RingMarks]:
    """A new ring: the marks first, the ring last and whole, so that a crash in between leaves neither.

    Raises:
        OSError: it cannot be made.
    """
    marks = RingMarks.begin(path, f"{history:032x}")
    new = path.with_suffix(".ring.new")
    new.unlink(missing_ok=True)
    map_ = map_file(new, PAGE + FIRST_CAPACITY)
    with memoryview(map_) as bytes_, bytes_.cast("Q") as words:
        set_up(words, history, boot_id, FIRST_CAPACITY)
    new.rename(ring_file(path))
    return map_, marks


def map_file(file: Path, size: int) -> mmap.mmap:
    """Map `size` bytes of a file, made and allocated as needed: a full tmpfs must not become a SIGBUS.

    Raises:
        OSError: there is no room.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def find(path: Path, boot_id: int) -> mmap.mmap:
    """Map the ring that is there.

    Raises:
        FileNotFoundError: there is none.
        RingError: it cannot be trusted.
    """
    file = ring_file(path)
    size = file.stat().st_size
    if size < PAGE + FIRST_CAPACITY or size % PAGE:
        raise RingError(f"its file has {size} bytes")
    map_ = map_file(file, size)
    try:
        with memoryview(map_) as bytes_, bytes_.cast("Q") as words:
            verify(words, size - PAGE, boot_id)
    except RingError:
        map_.close()
        raise
    return map_


def put_aside(path: Path) -> None:
    """Keep a ring whose name is needed for another, under its history's name."""
    if marks_file(path).exists():
        aside = path.with_name(f"{path.name}_{history_of(path)}")
        for file in (ring_file, marks_file, older_file):
            if file(path).exists():
                file(path).rename(file(aside))


def remove_ring(path: Path) -> None:
    """Delete the files of a ring that nobody has open."""
    for file in (ring_file, marks_file, older_file):
        file(path).unlink(missing_ok=True)


def remove_aside(path: Path) -> None:
    """Delete what was put aside of a ring."""
    for file in path.parent.glob(f"{path.name}_{'[0-9a-f]' * 32}.*"):
        file.unlink(missing_ok=True)
