"""Writes a console's journal as the daemon does: each line of the index first, then the bytes that it tells of."""

from collections.abc import Sequence
from pathlib import Path

from crc32c import crc32c

from virtmux.journal.entries import Batch, Closed, Entry, Head, Lost, Marked, Opened, Renamed, Stopped, encode
from virtmux.journal.names import component, home
from virtmux.records import Attached, Mark, rfc3339

#: A time (ns) from which tests count.
EPOCH = 1_769_860_800_000_000_000
SECOND = 1_000_000_000


class JournalWriter:
    """The journal of one console, in one directory. `at` is the time of what is written next (ns)."""

    def __init__(
        self, directory: Path, hypervisor: str = "qemu/system/h", uuid: str = "5f0f", device: str = "serial0"
    ) -> None:
        self.directory = directory
        self.hypervisor = hypervisor
        self.uuid = uuid
        self.device = device
        self.home = home(directory, hypervisor, uuid)
        self.at = EPOCH
        self.home.mkdir(parents=True, exist_ok=True)

    def log(self, number: int | None = None) -> Path:
        return self.home / (component(self.device) + ".log" + ("" if number is None else f".{number}"))

    def index(self, number: int | None = None) -> Path:
        return self.home / (component(self.device) + ".idx" + ("" if number is None else f".{number}"))

    def begin(self, history: str = "a" * 32, offset: int = 0, mark: int = 1, domain: str = "web1") -> None:
        """Begin a segment; the one before was rotated."""
        self.log().touch(exist_ok=False)
        self.index().touch(exist_ok=False)
        self.write(
            Head(
                history=history,
                offset=offset,
                mark=mark,
                hypervisor=self.hypervisor,
                uuid=self.uuid,
                device=self.device,
                domain=domain,
                boot="b" * 32,
                at=self.at,
                inode=self.log().stat().st_ino,
            )
        )

    def write(self, entry: Entry) -> None:
        with self.index().open("ab") as index:
            index.write(encode(entry))

    def batch(
        self, offset: int, data: bytes, beats: Sequence[tuple[int, int]] | None = None, there: int | None = None
    ) -> None:
        """`there`: how many of the bytes come as far as the log; None is all."""
        self.write(Batch(offset, len(data), crc32c(data), self.at, tuple(beats or [(len(data), 0)])))
        with self.log().open("ab") as log:
            log.write(data[:there])

    def mark(self, number: int, offset: int, record: Mark | None = None) -> None:
        self.write(Marked(number, offset, record or Attached(rfc3339(self.at), number, number)))

    def marks(self, most: int, record: Mark) -> None:
        """The same mark so often, at offset 0."""
        with self.index().open("ab") as index:
            index.writelines(encode(Marked(number, 0, record)) for number in range(1, most + 1))

    def lost(self, offset: int, to_offset: int, why: str) -> None:
        self.write(Lost(offset, to_offset, why, self.at))

    def renamed(self, domain: str) -> None:
        self.write(Renamed(domain, self.at))

    def stopped(self, offset: int, mark: int) -> None:
        self.write(
            Stopped(
                at=self.at,
                offset=offset,
                mark=mark,
                incarnation=1,
                boot_offset=0,
                boot_mark=1,
                held_until=None,
                released_until=None,
            )
        )

    def opened(self, boot: str = "c" * 32) -> None:
        self.write(Opened(boot, self.at))

    def rotate(self, why: str = "rotated", keep: int = 3) -> None:
        """Close the segment and give it the number 0, those before it the next one; `begin` comes next."""
        self.write(Closed(self.at, why))
        self.shift(keep)

    def shift(self, keep: int = 3) -> None:
        """Rename the files alone."""
        for path in (self.log, self.index):
            path(keep - 1).unlink(missing_ok=True)
            for number in range(keep - 2, -1, -1):
                if path(number).exists():
                    path(number).rename(path(number + 1))
            if path().exists():
                path().rename(path(0))

    def put_aside(self, history: str) -> None:
        """Give all files the name of their history, as where a migrated guest's need theirs."""
        stem = component(self.device)
        for file in self.home.iterdir():
            if file.name.startswith((f"{stem}.log", f"{stem}.idx")):
                file.rename(file.with_name(f"{stem}~{history}{file.name.removeprefix(stem)}"))
