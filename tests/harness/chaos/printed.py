"""What a guest printed, as it wrote it to a file (guests/ticker.asm), and where output stands in it that was received
elsewhere. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: The numbers of a boot and of a line in it: no two lines of a guest have the same.
LINE = re.compile(rb"(?<=\n)[0-9a-f]{8} \d{8}(?=[ \r])")
#: The first line of a boot.
BOOT = re.compile(rb"[0-9a-f]{8} 00000001\r")
#: A line with the byte that came in.
ECHO = re.compile(rb"(?<=\n)[0-9a-f]{8} \d{8} (.)\r")

#: No part of a line is longer.
_LONGEST = len("00000000 00000000 x\r\n")


@dataclass(frozen=True, slots=True)
class Stretch:
    """So many bytes of what was received, from `received` on, are those that were printed from `printed` on."""

    received: int
    printed: int
    length: int


class NeverPrintedError(Exception):
    """What was received at an offset was not printed, or not there."""

    def __init__(self, offset: int, data: bytes) -> None:
        super().__init__(f"at {offset}: {data!r}")


class Printed:
    """All that a guest printed; a run is what came between its start and its end, and begins at one of `runs`."""

    def __init__(self, data: bytes, runs: Sequence[int]) -> None:
        self.data = data
        self.runs = runs
        self._lines = {match[0]: match.start() for match in LINE.finditer(data)}

    def begins_boot(self, place: int) -> bool:
        """Whether a boot begins with the byte at `place`."""
        return BOOT.match(self.data, place) is not None

    def on_to_boot(self, since: int, until: int) -> int:
        """How many bytes further on those from `since` to `until` may be missing just as well, so that a boot begins
        behind them: what is left is the same. 0 where they may not."""
        further = 0
        while not self.begins_boot(until + further):
            if self.data[since + further : since + further + 1] != self.data[until + further : until + further + 1]:
                return 0
            further += 1
        return further

    def run_of(self, place: int) -> int:
        """In which run the byte at `place` was printed, from 0."""
        return max(index for index, start in enumerate(self.runs) if start <= place)

    def end_of_run(self, place: int) -> int:
        """Where the run ends in which the byte at `place` was printed."""
        return min((start for start in self.runs if start > place), default=len(self.data))

    def is_restored(self, run: int) -> bool:
        """Whether a run goes on where the one before it was saved."""
        return not self.begins_boot(self.runs[run])

    def find(self, piece: bytes, start: int) -> list[Stretch]:
        """Where the bytes of `piece` stand, in order, from `start` on: one stretch, unless bytes are missing before or
        in it. Where it cannot be told which bytes are missing, since lines begin alike, it is the earliest ones.

        Raises:
            NeverPrintedError: they do not stand there.
        """
        found: list[Stretch] = []
        at = 0
        while at < len(piece):
            if not _in_common(piece, at, self.data, start):
                start = self._go_on(piece, at, start)
                while found:
                    last = found.pop()
                    more = _in_common_before(piece, at, self.data, start, last.length)
                    at, start = at - more, start - more
                    if more < last.length:
                        found.append(Stretch(last.received, last.printed, last.length - more))
                        break
            length = _in_common(piece, at, self.data, start)
            found.append(Stretch(at, start, length))
            at, start = at + length, start + length
        return found

    def _go_on(self, piece: bytes, at: int, start: int) -> int:
        """Where the bytes at `at` stand, which do not stand at `start` but behind it: just before the next whole line
        of the piece, or, where bytes are missing between too, wherever most of them are found before that."""
        until, end = len(piece), len(self.data)
        for line in LINE.finditer(piece, at):
            place = self._lines.get(line[0], -1)
            if place >= start:
                length = _in_common_before(piece, line.start(), self.data, place, line.start() - at)
                until, end = line.start() - length, place - length
                break
        if until == at and end > start:
            return end
        for length in range(min(until - at, _LONGEST), 0, -1):
            place = self.data.find(piece[at : at + length], start, end)
            if place >= 0:
                return place
        raise NeverPrintedError(at, piece[at : at + 80])

    def came_in(self) -> list[bytes]:
        """What the guest was sent in each run."""
        ends = [*self.runs[1:], len(self.data)]
        return [came_in(self.data[start:end]) for start, end in zip(self.runs, ends, strict=True)]


def came_in(output: bytes) -> bytes:
    """What a guest was sent, as its output says."""
    return b"".join(ECHO.findall(output))


def _in_common(one: bytes, at: int, other: bytes, there: int) -> int:
    """How many bytes are the same from these places on."""
    length, step = 0, min(len(one) - at, len(other) - there)
    while step:
        if one[at + length : at + length + step] == other[there + length : there + length + step]:
            length += step
            step = min(step, len(one) - at - length, len(other) - there - length)
        else:
            step //= 2
    return length


def _in_common_before(one: bytes, at: int, other: bytes, there: int, most: int) -> int:
    """How many bytes are the same before these places, of at most so many."""
    length = 0
    while length < most and one[at - length - 1] == other[there - length - 1]:
        length += 1
    return length
