"""When the bytes of a console were received, as far as readers may want to know. Pure.

A time is kept for each 10 ms in which something came. Where that grows too many, older ones are thinned out.
"""

from array import array
from bisect import bisect_right

_RESOLUTION = 10_000_000
_MOST = 4096
_MILLISECOND = 1_000_000


class Times:
    """Offsets with the time (ns) from which on output came there; a byte's time is that of the last one before it."""

    def __init__(self, offset: int, at: int) -> None:
        """Bytes before `offset` came at `at` or before: that is all that is known of them."""
        self._offsets = array("q", [offset])
        self._ats = array("q", [at])

    @property
    def known_from(self) -> int:
        """The first offset whose time is known."""
        return self._offsets[0]

    @property
    def latest(self) -> int:
        """When output came last."""
        return self._ats[-1]

    def note(self, offset: int, at: int) -> None:
        """Output came at `offset`."""
        if at - self._ats[-1] >= _RESOLUTION or at < self._ats[-1]:
            self._offsets.append(offset)
            self._ats.append(at)
            if len(self._offsets) > _MOST:
                del self._offsets[1 : _MOST // 2 : 2]
                del self._ats[1 : _MOST // 2 : 2]

    def at(self, offset: int) -> int:
        """When the byte at `offset` came."""
        return self._ats[self._index(offset)]

    def until(self, offset: int) -> int | None:
        """The first offset behind `offset` whose byte came at another time; None where there is none yet."""
        index = self._index(offset) + 1
        return self._offsets[index] if index < len(self._offsets) else None

    def since(self, at: int) -> int | None:
        """The first offset whose byte came at a time or later; None where none did."""
        return next((offset for offset, time in zip(self._offsets, self._ats, strict=True) if time >= at), None)

    def beats(self, offset: int, end: int) -> tuple[int, tuple[tuple[int, int], ...]]:
        """When the byte at `offset` came, and of all up to `end` how many came so many ms after that."""
        first = self.at(offset)
        beats = []
        while offset < end:
            until = self.until(offset)
            stop = end if until is None else min(until, end)
            beats.append((stop - offset, max(0, self.at(offset) - first) // _MILLISECOND))
            offset = stop
        return first, tuple(beats)

    def _index(self, offset: int) -> int:
        return max(0, bisect_right(self._offsets, offset) - 1)
