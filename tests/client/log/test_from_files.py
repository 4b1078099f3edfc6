"""`virtmux log` on the journal's files, without a daemon."""

from pathlib import Path

import pytest

from tests.harness.journal_writer import EPOCH, SECOND, JournalWriter
from tests.harness.scripted_daemon import reason
from virtmux.errors import ConnectionLost
from virtmux.journal.directory import Journal
from virtmux.reasons import Cause
from virtmux.records import Attached, Position, rfc3339
from virtmux_cli.log.from_files import FileSource
from virtmux_cli.log.records import Chunk, Gap, LastLines, Marked, Record, Since, Start

ID = "a" * 32
NO_DAEMON = reason(Cause.SERVER_LOST)


@pytest.fixture
def writer(tmp_path: Path) -> JournalWriter:
    writer = JournalWriter(tmp_path)
    writer.begin(ID)
    writer.mark(1, 0)
    writer.batch(0, b"one\ntwo\n", [(4, 0), (4, 1000)])
    writer.lost(8, 12, "the disk was full")
    writer.at += 5 * SECOND
    writer.batch(12, b"three\n")
    writer.mark(2, 18)
    return writer


def source(writer: JournalWriter) -> FileSource:
    journal = Journal(writer.directory)
    return FileSource(journal, journal.consoles()[0], NO_DAEMON)


async def read(writer: JournalWriter, start: Start) -> list[Record]:
    return [record async for record in source(writer).records(ID, start, follow=False)]


FIRST, SECOND_MARK = (
    Marked(0, 1, Attached(rfc3339(EPOCH), 1, 1)),
    Marked(18, 2, Attached(rfc3339(EPOCH + 5 * SECOND), 2, 2)),
)
ONE, TWO, THREE = (
    Chunk(0, b"one\n", EPOCH),
    Chunk(4, b"two\n", EPOCH + SECOND),
    Chunk(12, b"three\n", EPOCH + 5 * SECOND),
)
LOST = Gap(8, 2, 12, 2, "the disk was full")
ALL: list[Record] = [FIRST, ONE, TWO, LOST, THREE, SECOND_MARK]


@pytest.mark.parametrize(
    ("start", "records"),
    [
        (Position(ID, 0, 1), ALL),
        (Position(ID, 0, 0), ALL),
        (Position(ID, 4, 0), ALL[2:]),
        (Position(ID, 4, 9), ALL[2:]),
        (Position(ID, 18, 3), []),
        (LastLines(1), ALL[3:]),
        (LastLines(2), ALL[2:]),
        (LastLines(0), ALL[5:]),
        (Since(EPOCH + SECOND), ALL[2:]),
        (Since(EPOCH + 6 * SECOND), []),
    ],
)
async def test_records_begin_where_it_is_said(writer: JournalWriter, start: Start, records: list[Record]) -> None:
    assert await read(writer, start) == records


async def test_histories_are_those_of_the_console_the_oldest_first(writer: JournalWriter) -> None:
    writer.rotate()
    writer.begin("b" * 32)
    writer.mark(1, 0)

    older, newer = await source(writer).histories()

    assert (older.start, older.end) == (Position(ID, 0, 1), Position(ID, 18, 3))
    assert [each.number for each in older.incarnations] == [1, 2]
    assert (older.since, older.until) == (EPOCH, EPOCH + 5 * SECOND)
    assert newer.start.history == "b" * 32


async def test_what_would_come_next_nobody_tells(writer: JournalWriter) -> None:
    following = source(writer).records(ID, Position(ID, 12, 2), follow=True)
    assert [await anext(following), await anext(following)] == ALL[4:]

    with pytest.raises(ConnectionLost) as caught:
        await anext(following)
    assert caught.value.reason == NO_DAEMON
