"""A log as text."""

from datetime import UTC

import pytest
from hypothesis import given

from tests.harness.scripted_daemon import AT, reason
from tests.harness.terminal_output import split
from virtmux.reasons import Cause
from virtmux.records import Attached, Break, Ended, Mark, Note
from virtmux.sanitize import Sanitizer
from virtmux_cli.log.records import Chunk, Gap, History, Marked, Record
from virtmux_cli.log.text import TextLog
from virtmux_cli.text import local_time

SECOND = 1_000_000_000
NOON = 1740830400 * SECOND
WHEN = local_time(AT)


def shown(*records: Record, sanitizer: Sanitizer | None = None, timestamps: bool = False) -> bytes:
    log = TextLog(sanitizer, timestamps=timestamps, zone=UTC)
    return b"".join(map(log.render, records)) + log.close()


@pytest.mark.parametrize(
    ("mark", "line"),
    [
        (Attached(AT, 1, 1), f"-- {WHEN} attached --"),
        (
            Ended(AT, 1, reason(Cause.GUEST_DESTROYED)),
            f"-- {WHEN} guest web1 was destroyed (guest-destroyed) --",
        ),
        (
            Break(AT, AT, AT),
            f"-- nobody held the console from {WHEN} to {WHEN}; output may be missing here --",
        ),
        (Note(AT, "renamed", "web2\x1b"), f"-- {WHEN} guest renamed: web2\\x1b --"),
    ],
)
def test_a_mark_has_a_line_of_its_own(mark: Mark, line: str) -> None:
    text = shown(Chunk(0, b"log", NOON), Marked(3, 1, mark), Chunk(3, b"in: \n", NOON), Marked(8, 2, mark))
    assert text.decode() == f"log\n{line}\nin: \n{line}\n"


def test_a_gap_says_what_is_missing_and_why() -> None:
    assert shown(Chunk(0, b"a\n", None), Gap(2, 1, 4098, 1, "the disk\nwas full"), Chunk(4098, b"b", None)) == (
        b"a\n-- 4096 bytes of output are missing here (2 to 4098): the disk\\nwas full --\nb"
    )
    assert shown(Gap(2, 1, 2, 3, None)) == b"-- 2 marks are missing here --\n"


def test_another_history_is_said_and_the_first_is_not() -> None:
    first, second = History("a" * 32), History("b" * 32)
    assert shown(first, Chunk(0, b"a", None), first, second, Chunk(0, b"b", None)) == (
        f"a\n-- another history begins here ({'b' * 32}); output before it may be missing --\nb".encode()
    )


def test_each_line_has_the_time_of_its_first_byte() -> None:
    records = (
        Chunk(0, b"one\nt", NOON),
        Chunk(5, b"wo\n\n", NOON + SECOND),
        Chunk(9, b"three", NOON + 1_999_999),
        Marked(14, 1, Note(AT, "paused")),
        Chunk(14, b"!\n", None),
    )
    assert shown(*records, timestamps=True).decode().splitlines() == [
        "2025-03-01 12:00:00.000 one",
        "2025-03-01 12:00:00.000 two",
        "2025-03-01 12:00:01.000 ",
        "2025-03-01 12:00:00.001 three",
        f"-- {WHEN} guest paused --",
        "-                       !",
    ]


def test_for_a_terminal_it_is_sanitized_across_pieces() -> None:
    records = (Chunk(0, b"a\x1b]0;ti", NOON), Chunk(6, b"tle\x07b\xe5", NOON), Gap(12, 1, 20, 1, None))
    text = shown(*records, Chunk(20, b"\xae\xa2", NOON), sanitizer=Sanitizer()).decode()
    assert text == "ab\\xe5\n-- 8 bytes of output are missing here (12 to 20) --\n\\xae\\xa2"


@given(split())
def test_otherwise_the_bytes_are_the_guests(parts: tuple[bytes, list[bytes]]) -> None:
    data, pieces = parts
    assert shown(*(Chunk(0, piece, NOON) for piece in pieces)) == data


@given(split())
def test_stamps_stand_before_lines_and_nowhere_else(parts: tuple[bytes, list[bytes]]) -> None:
    data, pieces = parts
    lines = shown(*(Chunk(0, piece, NOON) for piece in pieces), timestamps=True).split(b"\n")
    stamp = b"2025-03-01 12:00:00.000 "
    assert all(line.startswith(stamp) for line in lines[:-1])
    assert b"\n".join(line.removeprefix(stamp) for line in lines) == data
