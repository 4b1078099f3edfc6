"""A token bucket: how many bytes may pass now, at a rate that may change at any time. Pure."""


class Bucket:
    """Fills by `rate` bytes in a second, up to `burst`; it is full at first. Times are in seconds, of any clock."""

    __slots__ = ("_at", "_level")

    def __init__(self) -> None:
        self._level: float | None = None
        self._at = 0.0

    def level(self, rate: int, burst: int, at: float) -> int:
        """How many bytes may pass."""
        if self._level is None:
            self._level = burst
        else:
            # A clock that was set back gives nothing, and takes nothing away.
            self._level = min(burst, self._level + rate * max(0.0, at - self._at))
        self._at = at
        return int(self._level)

    def take(self, size: int) -> None:
        """So many bytes pass, at most the `level` that was told last."""
        self._level = (self._level or 0) - size
