"""Splitting terminal output into text, sequences and what is neither."""

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.terminal_output import ANYTHING, SEQUENCES, split
from virtmux.escapes import LINES, MAX_SEQUENCE, STRICT, Kind, Scanner, Unit

MIB = 1048576
GRAMMARS = pytest.mark.parametrize("grammar", [STRICT, LINES], ids=["strict", "lines"])


def units(*pieces: bytes, grammar: bytes = STRICT) -> list[Unit]:
    """The units, neighbouring text put together; what is open at the end is left out."""
    scanner = Scanner(grammar)
    joined: list[Unit] = []
    for kind, data in [unit for piece in pieces for unit in scanner.feed(piece)]:
        before = joined.pop().data if joined and joined[-1].kind is kind is Kind.TEXT else b""
        joined.append(Unit(kind, before + data))
    return joined


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (b"plain \x07\x18\n", [Kind.TEXT]),
        ("Grüße, 客人 😀".encode(), [Kind.TEXT]),
        (b"\x1b[1;31m\x1b]0;title\x07\x1bPq\x1b\\\x1b7", [Kind.SEQUENCE] * 4),
        (b"\xc2\x9b1m\x9b1m\x9d0;t\x9c", [Kind.SEQUENCE] * 3),
        ("\x1b]0;✜\x07".encode(), [Kind.SEQUENCE]),
        (b"\x1b[1\n;3\x07m", [Kind.SEQUENCE]),
        (b"\x1b[3Xa", [Kind.SEQUENCE, Kind.TEXT]),
        (b"\x1b]0;\xe5a\xff\x07", [Kind.SEQUENCE]),
        (b"\x1b[12\x18a", [Kind.SEQUENCE, Kind.TEXT]),
        (b"\x1b[12\x1b[m", [Kind.SEQUENCE] * 2),
        (b"\x1b]0;t\x1b[m", [Kind.SEQUENCE] * 2),
        (b"\x1b]0;t\xc2\x9bm", [Kind.SEQUENCE] * 2),
        (b"\x1b\x1b7", [Kind.SEQUENCE] * 2),
        (b"\x1b\xc3\xa9", [Kind.SEQUENCE, Kind.TEXT]),
        (b"\x85\xc2\x85\x9c", [Kind.C1] * 3),
        (b"\xff\xc0\xa0", [Kind.INVALID] * 3),
        (b"\xe5\xaea", [Kind.INVALID, Kind.INVALID, Kind.TEXT]),
        (b"\xed\xa0\xa0", [Kind.INVALID] * 3),
    ],
)
def test_output_is_split_by_kind(data: bytes, kinds: Sequence[Kind]) -> None:
    split_up = units(data)
    assert [kind for kind, _ in split_up] == kinds
    assert b"".join(unit for _, unit in split_up) == data


@pytest.mark.parametrize(
    "data", [b"\x1b", b"\x1b[3", b"\x1b(", b"\x1b]0;t", b"\x1b]0;t\x1b", b"\x1b]\xe5", b"\xe5\xae"]
)
@GRAMMARS
def test_what_may_go_on_is_held(data: bytes, grammar: bytes) -> None:
    scanner = Scanner(grammar)
    assert list(scanner.feed(b"a" + data)) == [Unit(Kind.TEXT, b"a")]
    assert scanner.held == len(data)
    assert scanner.close() == data
    assert scanner.held == 0


@given(split(), st.sampled_from([STRICT, LINES]))
def test_it_does_not_matter_how_the_stream_is_cut(parts: tuple[bytes, list[bytes]], grammar: bytes) -> None:
    data, pieces = parts
    assert units(*pieces, grammar=grammar) == units(data, grammar=grammar)


@given(ANYTHING, st.sampled_from([STRICT, LINES]))
def test_every_byte_is_in_one_unit_or_held(data: bytes, grammar: bytes) -> None:
    scanner = Scanner(grammar)
    told = b"".join(unit for _, unit in scanner.feed(data))
    assert told + scanner.close() == data


@given(SEQUENCES)
def test_a_sequence_is_one_unit(data: bytes) -> None:
    assert units(b"a" + data + b"z") == [Unit(Kind.TEXT, b"a"), Unit(Kind.SEQUENCE, data), Unit(Kind.TEXT, b"z")]


@pytest.mark.parametrize("introducer", [b"\x1b[", b"\x1b]", b"\x9d", b"\xc2\x90"])
@GRAMMARS
def test_what_does_not_end_is_no_sequence(introducer: bytes, grammar: bytes) -> None:
    scanner = Scanner(grammar)
    assert not list(scanner.feed(introducer + b"1" * MAX_SEQUENCE))
    told = list(scanner.feed(b"1"))
    assert [told[0].data, told[1].data] == [introducer, b"1" * (MAX_SEQUENCE + 1)]
    assert scanner.held == 0


@pytest.mark.parametrize("introducer", [b"\x1b[", b"\x1b]", b"\x9d"])
def test_in_lines_a_newline_shows_that_it_was_none(introducer: bytes) -> None:
    assert units(introducer + b"1\nx", grammar=LINES)[-1] == (Kind.TEXT, b"1\nx")


@pytest.mark.parametrize(
    "data",
    [
        b"a plain line of text\r\n",
        "客人は来ました".encode(),
        b"\x1b[1;32m[  OK  ]\x1b[0m Started a service.\r\n",
        b"\x1b" + b"\x00" * MAX_SEQUENCE,
        b"\x1b[" + b"1" * MAX_SEQUENCE,
        b"\x1b]" + "é".encode() * MAX_SEQUENCE,
        b"\x1b]\x1b\x00",
        b"\x9d\xc3",
        bytes(range(256)),
    ],
    ids=["text", "wide", "colours", "esc", "csi", "osc", "osc-esc", "c1", "bytes"],
)
@GRAMMARS
def test_a_mebibyte_takes_no_time_whatever_it_is(data: bytes, grammar: bytes) -> None:
    scanner = Scanner(grammar)
    flood = data * (MIB // len(data))
    began = time.process_time()
    for begin in range(0, MIB, 65536):
        for _ in scanner.feed(flood[begin : begin + 65536]):
            pass
    assert time.process_time() - began < 5
