"""A stream of random bytes from a seed, and a client that holds what it is given against it and keeps none of it."""

import mmap
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import virtmux
from tests.harness.follower import Listener, listening
from virtmux import Console, Gap, Mark, MarkMessage, Output, Record

#: A configuration for a flood of 20 MiB/s: checkers, which all are one process, may pause for half a second, where
#: the usual ring is full after a twentieth of one.
ROOMY = "ring = 16777216\n"
_PIECE = 1 << 20


def write_random(path: Path, size: int, seed: int) -> mmap.mmap:
    """Write `size` random bytes, at least 64 KiB, into a file; gives them as they lie there."""
    chance = random.Random(seed)
    with path.open("w+b") as file:
        for start in range(0, size, _PIECE):
            file.write(chance.randbytes(min(_PIECE, size - start)))
        file.flush()
        stream = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    assert set(stream[:65536]) == set(range(256)), "every byte value"
    return stream


class Expected:
    """What a console says from offset 0 on: `first`, then `stream` so many times. What comes then is not known."""

    def __init__(self, first: bytes, stream: mmap.mmap, times: int = 1) -> None:
        self._first = first
        self._stream = stream
        self.end = len(first) + times * len(stream)

    def check(self, offset: int, data: bytes) -> bytes:
        """Raises AssertionError where `data` is not what stands at `offset`. Gives what is behind all that is known."""
        while data and offset < self.end:
            due = self._due(offset, len(data))
            if not data.startswith(due):
                wrong = next(index for index, (one, other) in enumerate(zip(data, due, strict=False)) if one != other)
                got, wanted = data[wrong : wrong + 32], due[wrong : wrong + 32]
                raise AssertionError(f"at offset {offset + wrong}: {got!r}, expected {wanted!r}")
            data, offset = data[len(due) :], offset + len(due)
        return data

    def _due(self, offset: int, size: int) -> bytes:
        if offset < len(self._first):
            return self._first[offset : offset + size]
        start = (offset - len(self._first)) % len(self._stream)
        return self._stream[start : start + size]


class Checker(Listener):
    """Each record must stand where the one before left off, and every byte must be the expected one."""

    def __init__(self, console: Console, expected: Expected) -> None:
        super().__init__(console)
        self.offset = console.position.offset
        self.gaps: list[Gap] = []
        self.marks: list[Mark] = []
        #: What came behind all that was expected.
        self.rest = b""
        self._expected = expected
        self._mark = console.position.mark

    def take(self, record: Record) -> None:
        """Hold it against what is expected."""
        match record:
            case Output(offset=offset, data=data):
                assert offset == self.offset
                self.rest += self._expected.check(offset, data)
                self.offset += len(data)
            case Gap():
                assert (record.offset, record.mark) == (self.offset, self._mark)
                self.gaps.append(record)
                self.offset, self._mark = record.to_offset, record.to_mark
            case MarkMessage(offset=offset, mark=number, record=mark):
                assert (offset, number) == (self.offset, self._mark)
                self.marks.append(mark)
                self._mark += 1
            case _:
                raise AssertionError(record)

    async def until_at(self, offset: int, mark: int = 1) -> None:
        """Wait until these are reached, or passed. Raises TimeoutError where nothing more comes."""
        while self.offset < offset or self._mark < mark:
            await self._until_more()

    async def _until_more(self) -> None:
        before = self.offset, self._mark
        await self.until(lambda self: (self.offset, self._mark) != before)

    @property
    def so_far(self) -> str:
        """How far it has come."""
        return f"at {self.offset}:{self._mark}, with gaps {self.gaps}"


@asynccontextmanager
async def checking(socket: Path, domain: str, expected: Expected) -> AsyncIterator[Checker]:
    """A checker from the console's first byte on, on a connection of its own, until the context is left."""
    async with virtmux.connect(socket, reconnect_for=0) as mux, mux.attach(domain, position="0") as console:
        checker = Checker(console, expected)
        async with listening(checker):
            yield checker
