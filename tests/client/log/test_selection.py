"""Reading what was asked for out of a source."""

import contextlib

import pytest

from tests.harness.log_source import COMING, INFOS, NEW, NOON, OLD, SECOND, STORED, FakeSource, fake
from virtmux.errors import ConnectionLost
from virtmux.records import Position
from virtmux_cli.log.choice import Choice
from virtmux_cli.log.records import Chunk, History, LastLines, Record
from virtmux_cli.log.selection import selected


async def read(choice: Choice, source: FakeSource | None = None) -> list[Record]:
    """All that comes; who follows loses the connection at the end."""
    records: list[Record] = []
    with contextlib.suppress(ConnectionLost):
        async for record in selected(source or fake(), choice):
            records.append(record)  # noqa: PERF401 - kept where an error ends it
    return records


def output(records: list[Record]) -> bytes:
    return b"".join(record.data for record in records if isinstance(record, Chunk))


async def test_all_histories_come_the_oldest_first() -> None:
    assert await read(Choice()) == [History(OLD), *STORED[OLD], History(NEW), *STORED[NEW]]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(boot=0), b"new \x1b[1mone\x1b[0m\nnew two\n"),
        (Choice(boot=-1), b"second\n"),
        (Choice(boot=1), b"old one\nold two\n"),
        (Choice(boot=1, lines=1), b"old two\n"),
        (Choice(boot=1, until=NOON + SECOND), b"old one\nold "),
        (Choice(boot=1, since=NOON + 2 * SECOND), b"two\n"),
        (Choice(since=NOON + 5 * SECOND, until=NOON + 11 * SECOND), b"second\nnew \x1b[1mone\x1b[0m\n"),
        (Choice(until=NOON + 5 * SECOND, lines=2), b"old two\nsecond\n"),
        (Choice(start=20), b"new two\n"),
        (Choice(start=Position(OLD, 16, 3), lines=9), b"second\nnew \x1b[1mone\x1b[0m\nnew two\n"),
        (Choice(lines=0), b""),
        (Choice(lines=1), b"new two\n"),
        (Choice(lines=3), b"second\nnew \x1b[1mone\x1b[0m\nnew two\n"),
        (Choice(lines=99), b"old one\nold two\nsecond\nnew \x1b[1mone\x1b[0m\nnew two\n"),
    ],
)
async def test_what_was_asked_for_comes(choice: Choice, expected: bytes) -> None:
    assert output(await read(choice)) == expected


async def test_older_histories_are_read_only_where_lines_are_lacking() -> None:
    source = fake()
    await read(Choice(lines=2), source)
    assert source.asked == [(NEW, LastLines(2), False)]
    await read(Choice(lines=3), source)
    assert source.asked[1:] == [(NEW, LastLines(3), False), (OLD, LastLines(1), False)]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(follow=True, lines=1), b"new two\nlive\n"),
        (Choice(follow=True, lines=0), b"live\n"),
        (Choice(follow=True, start=24), b"two\nlive\n"),
        (Choice(follow=True, boot=0), b"new \x1b[1mone\x1b[0m\nnew two\nlive\n"),
        (Choice(follow=True, boot=-1), b"second\n"),
        (Choice(follow=True, since=NOON + 12 * SECOND), b"new two\nlive\n"),
        (Choice(follow=True), b"old one\nold two\nsecond\nnew \x1b[1mone\x1b[0m\nnew two\nlive\n"),
    ],
)
async def test_following_goes_on_where_the_newest_history_ends(choice: Choice, expected: bytes) -> None:
    assert output(await read(choice)) == expected


async def test_following_begins_behind_the_last_record_that_was_read() -> None:
    source = fake()
    assert (await read(Choice(follow=True, lines=2), source))[-1] == COMING[0]
    assert source.asked[-1] == (NEW, Position(NEW, 28, 2), True)


async def test_nothing_is_stored_of_a_console_that_has_no_history() -> None:
    assert await read(Choice(lines=3, follow=True), FakeSource([], {})) == []


async def test_a_boot_is_read_no_further_than_to_its_end() -> None:
    source = FakeSource(INFOS, STORED)
    await read(Choice(boot=1), source)
    assert source.read == STORED[OLD][:5]
