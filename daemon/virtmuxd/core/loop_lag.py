"""How late the event loop is, from something that it is to do once a second anyway. Pure."""

from bisect import bisect_left
from collections import deque
from itertools import accumulate

#: What is counted together, up to so many seconds.
BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
#: Beats, one a second, for which the worst is known.
_MINUTE = 60


class LoopLag:
    """See the module. It samples: what keeps the loop busy between two beats, for less than a second, may be missed."""

    def __init__(self) -> None:
        self.sum = 0.0
        self._counts = [0] * (len(BOUNDS) + 1)
        self._recent: deque[float] = deque(maxlen=_MINUTE)

    def beat(self, late: float) -> None:
        """What was due came so many seconds late."""
        late = max(0.0, late)
        self.sum += late
        self._counts[bisect_left(BOUNDS, late)] += 1
        self._recent.append(late)

    @property
    def worst(self) -> float:
        """The most in the last minute."""
        return max(self._recent, default=0.0)

    @property
    def counts(self) -> list[int]:
        """How many beats were at most as late as each of `BOUNDS`, and how many there were."""
        return list(accumulate(self._counts))
