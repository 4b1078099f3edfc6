"""A log as JSON Lines."""

import base64
import json
from typing import Any

from hypothesis import given

from tests.harness.scripted_daemon import AT, reason
from tests.harness.terminal_output import split
from virtmux.reasons import Cause
from virtmux.records import Ended, Note
from virtmux_cli.log.jsonlines import JsonLog
from virtmux_cli.log.records import Chunk, Gap, History, Marked, Record

NOON = 1740830400 * 10**9


def told(*records: Record) -> list[dict[str, Any]]:
    log = JsonLog()
    lines = b"".join(map(log.render, records)) + log.close()
    return [json.loads(line) for line in lines.splitlines()]


def test_each_record_is_a_line_that_says_first_what_it_is() -> None:
    lines = told(
        History("a" * 32),
        Chunk(0, b"ok\r\n", NOON),
        Marked(4, 1, Note(AT, "paused")),
        Gap(4, 2, 9, 3, "the disk was full"),
        Chunk(9, b"\xff", None),
    )
    paused = {"kind": "note", "at": AT, "note": "paused", "detail": None}
    assert lines == [
        {"type": "history", "history": "a" * 32},
        {"type": "output", "offset": 0, "at": AT, "text": "ok\r\n"},
        {"type": "mark", "offset": 4, "mark": 1, "record": paused},
        {"type": "gap", "offset": 4, "mark": 2, "to_offset": 9, "to_mark": 3, "why": "the disk was full"},
        {"type": "output", "offset": 9, "at": None, "base64": "/w=="},
    ]
    assert all(next(iter(line)) == "type" for line in lines)


def test_an_end_has_its_reason() -> None:
    (line,) = told(Marked(4, 1, Ended(AT, 1, reason(Cause.GUEST_CRASHED))))
    assert line["record"]["reason"]["cause"] == "guest-crashed"


def test_a_character_that_two_pieces_share_stays_text() -> None:
    lines = told(Chunk(0, b"a\xe5\xae", NOON), Chunk(3, b"\xa2b", NOON + 1))
    assert [(line["offset"], line["text"]) for line in lines] == [(0, "a"), (1, "客b")]


def test_a_character_that_a_mark_cuts_is_not_moved_behind_it() -> None:
    lines = told(Chunk(0, b"\xe5", NOON), Marked(1, 1, Note(AT, "paused")), Chunk(1, b"a", NOON))
    assert [line["type"] for line in lines] == ["output", "mark", "output"]


@given(split())
def test_every_byte_is_told_at_its_offset(parts: tuple[bytes, list[bytes]]) -> None:
    data, pieces = parts
    offset, chunks = 0, []
    for piece in pieces:
        chunks.append(Chunk(offset, piece, NOON))
        offset += len(piece)
    end = 0
    for line in told(*chunks):
        output = line["text"].encode() if "text" in line else base64.b64decode(line["base64"])
        assert (line["offset"], output) == (end, data[end : end + len(output)])
        end += len(output)
    assert end == len(data)
