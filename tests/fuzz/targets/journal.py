"""The journal's files as they are found: by who reads them, and by the daemon that starts."""

from collections.abc import Iterator

from crc32c import crc32c
from msgspec import inspect, json

from tests.fuzz.files import directory
from tests.fuzz.target import Target
from tests.fuzz.targets.messages import examples
from virtmux.journal.directory import Journal
from virtmux.journal.entries import Batch, Entry, Head, Lost, Marked, Stopped
from virtmux.journal.history import History
from virtmux.journal.names import INDEX, LOG, home
from virtmux.records import Note
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.service.journal.batches import Batch as Received
from virtmuxd.service.journal.files import ConsoleFiles, JournalConflictError
from virtmuxd.service.journal.links import Links
from virtmuxd.service.journal.recovery import recover
from virtmuxd.service.journal.settings import Settings

_WHO = ConsoleKey("qemu/system/h", "5f0f4a52", "serial0")
_BOOT, _NOW = "0" * 32, 10**18
_RAW = b"="
_BEHIND = b"\n\n"
#: In a seed, where the log's inode belongs.
_INODE = 4711
#: Records that are read; an index of an input's size has not as many.
_MOST = 100_000


def run(data: bytes) -> None:
    """Both read what is true and pass over the rest, and the daemon goes on, with this history or another."""
    index, _, log = data.partition(_BEHIND)
    with directory() as here:
        lies = home(here, _WHO.hypervisor, _WHO.uuid)
        lies.mkdir(parents=True)
        (lies / ("serial0" + LOG)).write_bytes(log)
        inode = (lies / ("serial0" + LOG)).stat().st_ino
        lines = (_line(line.replace(b":%d" % _INODE, b":%d" % inode)) for line in index.split(b"\n"))
        (lies / ("serial0" + INDEX)).write_bytes(b"".join(lines))
        before = _read(Journal(here))
        settings = Settings(directory=here)
        recover(settings)
        _go_on(ConsoleFiles(settings, Links(here), _WHO, "web1", _BOOT), next(iter(before), "1" * 32))
        assert _read(Journal(here))


def _line(text: bytes) -> bytes:
    """A line of an index with the checksum that it should have; or, behind `=`, as it is."""
    return text[1:] + b"\n" if text.startswith(_RAW) else b"%08x %b\n" % (crc32c(text), text)


def _read(journal: Journal) -> dict[str, History]:
    """All that can be asked of a journal."""
    found = {}
    for console in journal.consoles():
        for history in journal.histories(console):
            found[history.id] = history
            _read_all(history)
            history.lines_back(3)
            history.incarnations()
            history.marks_since(_NOW)
            history.position_at(_NOW)
            history.refresh()
    return found


def _read_all(history: History) -> None:
    here = history.oldest
    for _ in range(_MOST):
        records, behind = history.read(here, 65536)
        if not records:
            return
        assert here != behind
        here = behind
    raise AssertionError("it has no end")


def _go_on(files: ConsoleFiles, history: str) -> None:
    try:
        offset, mark = files.open(history, 1 << 40, 1 << 40, _NOW)
    except JournalConflictError:
        return
    files.write([Received(offset, b"more", _NOW, ((4, 0),))], [Marked(mark, offset + 4, _note())], _NOW)


def _note() -> Note:
    return Note("2026-01-31T12:00:00.000000Z", "rebooted")


def seeds() -> Iterator[bytes]:
    """Each kind of line behind a head; and a history with a log, whole, cut, and spoiled."""
    head = json.encode(
        Head(
            history="00112233445566778899aabbccddeeff",
            offset=0,
            mark=1,
            hypervisor=_WHO.hypervisor,
            uuid=_WHO.uuid,
            device=_WHO.device,
            domain="web1",
            boot=_BOOT,
            at=1,
            inode=_INODE,
        )
    )
    for each in examples(inspect.type_info(Entry)):
        yield head + b"\n" + json.encode(each)
    log = b"one\ntwo\nthree\n"
    stopped = Stopped(
        at=6, offset=14, mark=2, incarnation=1, boot_offset=0, boot_mark=1, held_until=5, released_until=None
    )
    entries: list[Entry] = [
        Batch(0, 8, crc32c(log[:8]), 2, ((4, 0), (4, 12))),
        Marked(1, 8, _note()),
        Lost(8, 9, "the disk was full", 3),
        Batch(9, 6, crc32c(log[8:]), 4, ((6, 0),)),
        stopped,
    ]
    index = b"\n".join([head, *map(json.encode, entries)])
    yield index + _BEHIND + log
    yield index + _BEHIND + log[:11]
    yield index + _BEHIND + log.upper()
    yield _RAW + index + _BEHIND + log


TARGETS = (Target("journal", run, seeds),)
