"""A log as an asciicast."""

import json
from typing import Any

from hypothesis import given

from tests.harness.scripted_daemon import AT
from tests.harness.terminal_output import split
from virtmux.records import Attached, Break, Note
from virtmux_cli.log.asciicast import Asciicast
from virtmux_cli.log.records import Chunk, Gap, History, Marked, Record

SECOND = 10**9
NOON = 1740830400 * SECOND


def cast(*records: Record) -> list[Any]:
    log = Asciicast("web1")
    lines = b"".join(map(log.render, records)) + log.close()
    return [json.loads(line) for line in lines.splitlines()]


def test_it_begins_with_a_header_and_has_the_real_timing() -> None:
    assert cast(History("a" * 32), Chunk(0, b"a\r\n", NOON), Chunk(3, b"\x1b[1mb", NOON + 90 * SECOND + 1600)) == [
        {"version": 2, "width": 80, "height": 24, "title": "web1", "timestamp": 1740830400},
        [0.0, "o", "a\r\n"],
        [90.000002, "o", "\x1b[1mb"],
    ]


def test_marks_gaps_and_histories_are_markers() -> None:
    _, *events = cast(
        History("a" * 32),
        Marked(0, 1, Attached(AT, 1, 1)),
        Chunk(0, b"a", NOON + SECOND),
        Gap(1, 2, 5, 2, None),
        Marked(5, 2, Break(AT, AT, AT)),
        History("b" * 32),
    )
    assert [(at, code) for at, code, _ in events] == [(0, "m"), (1, "o"), (1, "m"), (1, "m"), (1, "m")]
    assert [text.split()[0] for _, code, text in events[2:]] == ["4", "nobody", "another"]


def test_time_never_goes_back_and_what_has_none_comes_with_what_is_before_it() -> None:
    times = [NOON + SECOND, NOON, None, NOON + 3 * SECOND]
    _, *events = cast(*(Chunk(0, b"a", at) for at in times))
    assert [at for at, _, _ in events] == [0, 0, 0, 2]


def test_without_records_there_is_a_header() -> None:
    assert cast() == [{"version": 2, "width": 80, "height": 24, "title": "web1"}]


def test_a_character_that_a_gap_cuts_is_replaced() -> None:
    _, *events = cast(Chunk(0, b"\xe5", NOON), Gap(1, 1, 2, 1, None), Chunk(2, b"\xae\xa2", NOON))
    assert [text for _, code, text in events if code == "o"] == ["\ufffd", "\ufffd\ufffd"]


def test_what_is_not_printable_is_escaped() -> None:
    log = Asciicast("web1")
    lines = log.render(Chunk(0, "\x1b\x7f\x9b\u202e\U000e0001客".encode(), NOON))
    assert lines.splitlines()[1] == '[0.0,"o","\\u001b\\u007f\\u009b\\u202e\\udb40\\udc01客"]'.encode()


@given(split())
def test_the_texts_together_are_what_the_guest_said(parts: tuple[bytes, list[bytes]]) -> None:
    data, pieces = parts
    _, *events = cast(*(Chunk(0, piece, NOON) for piece in pieces), Marked(0, 1, Note(AT, "paused")))
    assert "".join(text for _, code, text in events if code == "o") == data.decode(errors="replace")
