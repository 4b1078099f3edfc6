"""The journal's files of one console, or of several in a store, as its writer is told to write them; and disks that do
not take it."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.journal_files import Story, lines
from virtmux.journal.entries import Marked, Stopped
from virtmux.records import Note
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.retention import Bounds
from virtmuxd.service.journal.batches import Batch
from virtmuxd.service.journal.files import ConsoleFiles
from virtmuxd.service.journal.links import Links
from virtmuxd.service.journal.settings import Settings
from virtmuxd.service.journal.store import JournalStore

AT = "2026-01-31T12:00:00.000000Z"
H1, H2 = "1" * 32, "2" * 32
BOOT, NEXT_BOOT = "b" * 32, "c" * 32
#: More than anything here comes to.
BOUNDS = Bounds(total=1 << 30, age=1 << 62, free=0)
WEB = ConsoleKey("qemu/system/h", "u-1", "serial0")


def console(
    directory: Path,
    *,
    size: int = 8 << 20,
    keep: int = 3,
    sync: str = "never",
    boot: str = BOOT,
    key: ConsoleKey = WEB,
    domain: str = "web",
) -> ConsoleFiles:
    """A console's files below `directory`."""
    chosen = Settings(directory=directory, size=size, keep=keep, sync=sync)  # type: ignore[arg-type]
    return ConsoleFiles(chosen, Links(directory), key, domain, boot)


def text(begin: int, end: int, history: str = H1) -> bytes:
    """What a guest says from one offset to another."""
    seed = int(history[0], 16)
    return bytes((at * 7 + at // 251 * seed + seed) % 256 for at in range(begin, end))


def batch(begin: int, end: int, history: str = H1) -> Batch:
    """That, as it is written down."""
    return Batch(begin, text(begin, end, history), 1000 + begin, ((end - begin, 0),))


def mark(number: int, offset: int = 0) -> Marked:
    """A mark with that number."""
    return Marked(number, offset, Note(AT, "rebooted"))


def stopped(offset: int, number: int, at: int = 99) -> Stopped:
    """A clean stop there."""
    return Stopped(
        at=at,
        offset=offset,
        mark=number,
        incarnation=1,
        boot_offset=0,
        boot_mark=1,
        held_until=5,
        released_until=None,
    )


def store(directory: Path, bounds: Bounds = BOUNDS, boot: str = BOOT) -> JournalStore:
    """The journal in a directory, as a daemon has it."""
    return JournalStore(Settings(directory=directory), bounds, boot)


def written(journal: JournalStore, uuid: str, device: str = "serial0", hypervisor: str = "h") -> ConsoleFiles:
    """The files of a console of the domain `web` in it, with something in them."""
    files = journal.console(ConsoleKey(hypervisor, uuid, device), "web")
    files.open(H1, 1, 1, 0)
    files.write([Batch(0, b"x", 0, ())], [], 0)
    return files


def home(directory: Path) -> Path:
    """Where the files of the console `WEB` lie."""
    return directory / "by-id" / "qemu%2Fsystem%2Fh" / "u-1"


def names(directory: Path) -> list[str]:
    """How they are called."""
    return sorted(path.name for path in home(directory).iterdir())


def kinds(index: Path) -> list[str]:
    """What kinds of entries an index has, in their order."""
    return [line["entry"] for line in lines(index)]


def holds(story: Story, begin: int, end: int, history: str = H1) -> None:
    """It holds these bytes, each once, and no others."""
    assert story.held() == dict(enumerate(text(begin, end, history), begin))


@contextmanager
def failing(
    monkeypatch: pytest.MonkeyPatch, call: str, code: int = errno.ENOSPC, after: int = 0, part: int = 0
) -> Iterator[None]:
    """A system call that fails, from the n-th one on; of the last write before that only a part is taken."""
    real: Callable[..., object] = getattr(os, call)
    left = after

    def fails(*args: object) -> object:
        nonlocal left
        left -= 1
        if left >= 0:
            return real(*args)
        if left == -1 and part and call == "write":
            return real(args[0], bytes(args[1])[:part])  # type: ignore[call-overload]
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fails)
        yield


def snapshot(directory: Path) -> dict[str, bytes]:
    """All files below a directory."""
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
