"""A token bucket: how many bytes may pass now, at a rate that may change at any time. Pure."""

import math


class Bucket:
    """Fills by `rate` bytes in a second, up to `burst`; it is full at first. Times are in seconds, of any clock."""

    __slots__ = ("_at", "_level")

    def __init__(self) -> None:
        self._level = math.inf
        self._at = 0.0

    def level(self, rate: int, burst: int, at: float) -> int:
        """How many bytes may pass."""
        # A clock that was set back gives nothing, and takes nothing away.
        self._level = min(burst, self._level + rate * max(0.0, at - self._at))
        self._at = at
        return int(self._level)

    def take(self, size: int) -> None:
        """So many bytes pass, at most the `level` that was told last."""
        self._level -= size
