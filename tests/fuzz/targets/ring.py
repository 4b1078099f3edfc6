"""A ring that is found: its header, its output and its marks may hold anything."""

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from msgspec import convert, inspect, json

from tests.fuzz.files import directory
from tests.fuzz.target import Cuts, Target
from tests.fuzz.targets.messages import examples
from tests.harness.consoles import RUNNING_ID, console_over
from tests.harness.reading import Reader
from virtmux.records import Mark, Position
from virtmuxd.core.events import Up
from virtmuxd.core.store import Boot, StoredMark
from virtmuxd.service.ring import Life, Past, Ring

_LIMIT, _BOOT, _LIFE = 1 << 16, 7, Life(3, 2, 1)
_WORDS = 19
_HISTORY = "00112233445566778899aabbccddeeff"
_NOW = 10**18


def run(data: bytes) -> None:
    """It is opened or given up, read to its end, and goes on; and the next daemon finds what this one had."""
    with directory() as here:
        _lay(here / "ring", Cuts(data))
        first = _use(here / "ring")
        second = _use(here / "ring")
        assert (first.history, first.offset < second.offset) == (second.history, True)


def _lay(path: Path, cuts: Cuts) -> None:
    """The files that an input stands for: its end says how the header differs from one that is right, and how much
    there is of the file; the rest are lines of marks."""
    ring = bytearray(_right())
    for _ in range(cuts.number(4)):
        at = 8 * cuts.number(_WORDS - 1)
        struct.pack_into("<4H", ring, at, *(cuts.number(0xFFFF) for _ in range(4)))
    size = len(ring) - cuts.number(1) * cuts.number(len(ring))
    path.with_suffix(".ring").write_bytes(ring[:size])
    newer, _, older = cuts.rest.partition(b"\n\n")
    path.with_suffix(".marks").write_bytes(newer)
    if older:
        path.with_suffix(".older-marks").write_bytes(older)


@cache
def _right() -> bytes:
    """A ring with 700 bytes of output, of which nothing is wrong."""
    past = Past(_HISTORY, 0, 1, clean=True, incarnation=(1, -1), boot=Boot(), held_until=None, released_until=None)
    with directory() as here:
        ring = Ring.open(here / "ring", _LIMIT, _BOOT, _LIFE, past)
        ring.append(b"output\n" * 100, 1)
        ring.close(1)
        return (here / "ring.ring").read_bytes()


def _use(path: Path) -> Position:
    """What a daemon does with a ring; gives where it stands then."""
    console = console_over(Ring.open(path, _LIMIT, _BOOT, _LIFE))
    console.handle_event(Up(_NOW, RUNNING_ID))
    console.info()
    for data in (b"more\n", bytes(_LIMIT)):
        Reader(console.sequence, console.sequence.nearest, timed=True).all()
        console.receive([data], _NOW)
    return console.sequence.position


def seeds() -> Iterator[bytes]:
    """Marks of all kinds, in their order; reserved ones; and none."""
    right = b"\0\0\0\0"  # the header as it is, and all of the file
    records = (convert(each, Mark) for each in examples(inspect.type_info(Mark)))
    lines = [json.encode(StoredMark(number, 700, record)) + b"\n" for number, record in enumerate(records, 1)]
    head = _HISTORY.encode() + b"\n"
    yield right
    yield head + right
    yield head + b"".join(lines) + right
    yield head + b"".join(lines[3:]) + b"\n" + head + b"".join(lines[:3]) + right
    yield head + lines[0].replace(b"false", b"true") + right
    for word in range(_WORDS):
        yield head + b"".join(lines) + bytes([0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, word, 0, 1, 0])


TARGETS = (Target("ring", run, seeds),)
