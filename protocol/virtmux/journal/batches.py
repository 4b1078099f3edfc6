"""The batches of one index, as arrays: there may be 100,000 of them. Pure.

Batches are counted from 0 in the order of the index. They lie in the log one behind the other; their offsets grow, with
gaps where bytes were lost.
"""

from array import array
from bisect import bisect_left, bisect_right

from virtmux.journal.entries import Batch, DamagedError

_MOST = 2**63 - 1
_MILLISECOND = 1_000_000


class Batches:
    """What an index says of the bytes in its log. A batch *starts* where its first byte lies in the log."""

    def __init__(self) -> None:
        self._offsets = array("q")
        self._starts = array("q", [0])  # of each, and of the end of the last
        self._crcs = array("I")
        self._ats = array("q")
        self._beats = array("q", [0])  # where those of each begin in the two below, and where those of the last end
        self._beat_sizes = array("q")
        self._beat_times = array("q")  # ns

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def total(self) -> int:
        """How many bytes all of them have."""
        return self._starts[-1]

    def add(self, batch: Batch) -> None:
        """Take the next one.

        Raises:
            DamagedError: it cannot stand here; nothing behind it can be trusted then.
        """
        sizes = sum(size for size, _ in batch.beats)
        times = [batch.at + ms * _MILLISECOND for _, ms in batch.beats]
        behind = not self or batch.offset >= self.end(len(self) - 1)
        if not (behind and 0 < batch.size == sizes and max([batch.end, *times]) <= _MOST):
            raise DamagedError(f"a batch that does not fit the ones before: {batch}")
        self._offsets.append(batch.offset)
        self._starts.append(self._starts[-1] + batch.size)
        self._crcs.append(batch.crc)
        self._ats.append(batch.at)
        self._beat_sizes.extend(size for size, _ in batch.beats)
        self._beat_times.extend(times)
        self._beats.append(len(self._beat_sizes))

    def offset(self, number: int) -> int:
        """The offset of its first byte."""
        return self._offsets[number]

    def size(self, number: int) -> int:
        """How many bytes it has."""
        return self._starts[number + 1] - self._starts[number]

    def end(self, number: int) -> int:
        """The offset behind its last byte."""
        return self._offsets[number] + self.size(number)

    def start(self, number: int) -> int:
        """Where it starts; the number behind the last, where the log ends."""
        return self._starts[number]

    def crc(self, number: int) -> int:
        """The CRC32C of its bytes."""
        return self._crcs[number]

    def reach(self, number: int, log_size: int) -> int:
        """The offset behind the last byte of it that a log of this size has."""
        return self._offsets[number] + max(0, min(self.size(number), log_size - self._starts[number]))

    def holding(self, offset: int) -> int | None:
        """The one that has this byte."""
        number = bisect_right(self._offsets, offset) - 1
        return number if number >= 0 and offset < self.end(number) else None

    def ending_behind(self, offset: int) -> int:
        """The first one with bytes from this offset on; their count where there is none."""
        number = bisect_right(self._offsets, offset) - 1
        return number if number >= 0 and offset < self.end(number) else number + 1

    def beginning_before(self, offset: int, log_size: int) -> int:
        """The last one with bytes before this offset in a log of this size; -1 where there is none."""
        return min(bisect_left(self._offsets, offset), bisect_left(self._starts, log_size)) - 1

    def run(self, first: int, end: int) -> int:
        """The number behind the last that follows `first` without a gap and has bytes before the offset `end`."""
        number = first + 1
        while number < len(self) and self._offsets[number] == self.end(number - 1) and self._offsets[number] < end:
            number += 1
        return number

    def times(self, offset: int, end: int) -> tuple[tuple[int, int], ...]:
        """When the bytes from `offset` to `end` came, which lie in one run: the first `size` bytes at `at` (ns), ..."""
        runs: list[tuple[int, int]] = []
        number = bisect_right(self._offsets, offset) - 1
        begin = self._offsets[number]
        for beat in range(self._beats[number], len(self._beat_sizes)):
            if begin >= end:
                break
            begin, start = begin + self._beat_sizes[beat], max(begin, offset)
            size, at = min(begin, end) - start, self._beat_times[beat]
            if size <= 0:
                continue
            if runs and runs[-1][1] == at:
                runs[-1] = (runs[-1][0] + size, at)
            else:
                runs.append((size, at))
        return tuple(runs)

    def offset_at(self, at: int, log_size: int) -> int | None:
        """The offset of the first byte that came at this time (ns) or later and is in a log of this size."""
        for number in range(self.beginning_before(_MOST, log_size) + 1):
            offset = self._offsets[number]
            for beat in range(self._beats[number], self._beats[number + 1]):
                if self._beat_times[beat] >= at:
                    return offset if offset < self.reach(number, log_size) else None
                offset += self._beat_sizes[beat]
        return None
