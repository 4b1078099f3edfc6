"""A console's stored records in memory, for tests of `virtmux log`; as a module also the command on top of them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from itertools import pairwise

from tests.harness.scripted_daemon import reason
from virtmux.addresses import Address
from virtmux.errors import ConnectionLost, Refused
from virtmux.reasons import Cause
from virtmux.records import Attached, Ended, Position, rfc3339
from virtmux_cli.log.command import log_command
from virtmux_cli.log.records import (
    Chunk,
    Gap,
    History,
    HistoryInfo,
    Incarnation,
    LastLines,
    Marked,
    Record,
    Since,
    Start,
    time_of,
)
from virtmux_cli.log.source import LogSource

SECOND = 1_000_000_000
NOON = 1740830400 * SECOND
OLD, NEW = "a" * 32, "b" * 32


def at(seconds: int) -> str:
    return rfc3339(NOON + seconds * SECOND)


class FakeSource:
    """Holds `stored`, and has `coming` for those who follow; then the connection is lost, or nothing more comes."""

    def __init__(
        self, infos: Sequence[HistoryInfo], stored: dict[str, list[Record]], coming: Sequence[Record] = ()
    ) -> None:
        self._infos = infos
        self._stored = stored
        self._coming = coming
        self.asked: list[tuple[str, Start, bool]] = []
        self.read: list[Record] = []
        self.lost = True

    async def histories(self) -> Sequence[HistoryInfo]:
        return self._infos

    async def records(self, history: str, start: Start, *, follow: bool) -> AsyncGenerator[Record, None]:
        self.asked.append((history, start, follow))
        for record in [*_from(self._stored[history], start), *(self._coming if follow else ())]:
            self.read.append(record)
            yield record
        if follow and self.lost:
            raise ConnectionLost(reason(Cause.SERVER_LOST))
        if follow:
            await asyncio.Event().wait()


def _from(records: list[Record], start: Start) -> list[Record]:
    match start:
        case LastLines(number):
            return _last_lines(records, number)
        case Since(since):
            return [record for record in records if (time_of(record) or since) >= since]
        case Position():
            return [rest for record in records if (rest := _behind(record, start)) is not None]


def _last_lines(records: list[Record], number: int) -> list[Record]:
    """By their definition: at the offset of the first byte of the first of them."""
    bytes_at = [
        (record.offset + at, byte)
        for record in records
        if isinstance(record, Chunk)
        for at, byte in enumerate(record.data)
    ]
    starts = [after for (_, byte), (after, _) in pairwise(bytes_at) if byte == 10]
    return records if number > len(starts) else _from(records, Position("", starts[-number], 0))


def _behind(record: Record, start: Position) -> Record | None:
    match record:
        case Chunk(offset, data, when):
            skipped = max(start.offset - offset, 0)
            return Chunk(offset + skipped, data[skipped:], when) if skipped < len(data) else None
        case Marked(offset, number):
            return record if number >= start.mark and offset >= start.offset else None
        case Gap():
            return record if record.to_offset > start.offset else None
        case History():
            return record


#: Two incarnations in an older history, one in the newest; each line takes a second.
STORED: dict[str, list[Record]] = {
    OLD: [
        Marked(0, 1, Attached(at(0), 1, 1)),
        Chunk(0, b"old one\nold ", NOON + 1 * SECOND),
        Chunk(12, b"two\n", NOON + 2 * SECOND),
        Marked(16, 2, Ended(at(3), 1, reason(Cause.GUEST_SHUTDOWN))),
        Marked(16, 3, Attached(at(4), 2, 2)),
        Chunk(16, b"second\n", NOON + 5 * SECOND),
    ],
    NEW: [
        Marked(0, 1, Attached(at(10), 1, 1)),
        Chunk(0, b"new \x1b[1mone\x1b[0m\n", NOON + 11 * SECOND),
        Gap(16, 2, 20, 2, "the disk was full"),
        Chunk(20, b"new two\n", NOON + 12 * SECOND),
    ],
}
INFOS = [
    HistoryInfo(
        Position(OLD, 0, 1),
        Position(OLD, 23, 4),
        NOON,
        NOON + 5 * SECOND,
        (
            Incarnation(1, NOON, Position(OLD, 0, 1), reason(Cause.GUEST_SHUTDOWN)),
            Incarnation(2, NOON + 4 * SECOND, Position(OLD, 16, 3), None),
        ),
    ),
    HistoryInfo(
        Position(NEW, 0, 1),
        Position(NEW, 28, 2),
        NOON + 10 * SECOND,
        None,
        (Incarnation(1, NOON + 10 * SECOND, Position(NEW, 0, 1), None),),
    ),
]
COMING: list[Record] = [Chunk(28, b"live\n", NOON + 20 * SECOND)]


def fake() -> FakeSource:
    return FakeSource(INFOS, STORED, COMING)


@contextlib.asynccontextmanager
async def opened(address: Address | None, console: str, uri: str | None) -> AsyncIterator[LogSource]:
    """There is a console `web1`, of which the daemon is lost when all is read, and `quiet`, where it is not."""
    if console not in {"web1", "quiet"}:
        raise Refused(reason(Cause.CONSOLE_MISSING))
    source = fake()
    source.lost = console == "web1"
    yield source


command = log_command(opened)
