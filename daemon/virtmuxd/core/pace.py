"""How much of a console's output its readers are given live, where that is limited. Pure.

The limit is one for all readers, so that they are woken, and served the same frames, as without it. Up to the rate all
is let out at once. Beyond it output is held back for a moment; then the newest of it is let out, as much as the rate
allows, and who was there when the rest came goes on behind a gap. Marks are let out with the output around them.
"""

from virtmuxd.core.bucket import Bucket

#: What readers are told of such a gap.
WHY = "it came faster than limits.delivery_rate allows"
#: What is held back is let out in pieces of so many seconds' worth: so many gaps there are in a second, at most.
_PIECE = 1 / 4


class Pace:
    """See the module. Readers stop at `shown`; those that lag behind `fresh` go on there."""

    __slots__ = ("_bucket", "fresh", "rate", "shown")

    def __init__(self, rate: int, end: int) -> None:
        """`rate` in bytes a second, and as many at once after a pause; it may be changed. `end`: of the output now."""
        self.rate = rate
        self.shown = end
        self.fresh = 0
        self._bucket = Bucket()

    def advance(self, end: int, at: float) -> float | None:
        """Let out what may be, of output that ends there now, `at` (seconds): all, or the newest part, or nothing; then
        gives after how many seconds to try again."""
        waiting, level = end - self.shown, self._bucket.level(self.rate, self.rate, at)
        piece = max(1, int(self.rate * _PIECE))
        if level < min(waiting, piece):
            return (min(waiting, piece) - level) / self.rate
        if waiting > level:
            self.fresh = end - level
        self._bucket.take(min(waiting, level))
        self.shown = end
        return None
