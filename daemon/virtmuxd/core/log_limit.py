"""How much may be logged of one kind: so many records in a window of time, and then how many more there were. Pure."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

_K = TypeVar("_K", bound=Hashable)


class LeftOut(NamedTuple, Generic[_K]):
    """So many records of a kind were not logged."""

    kind: _K
    number: int


@dataclass(slots=True)
class _Window:
    ends: float
    left: int
    left_out: int = 0


class LogLimit(Generic[_K]):
    """A window begins with a record of its kind, and lasts `seconds`; times are those of a monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: In the order in which they end.
        self._windows: dict[_K, _Window] = {}
        self._over: list[LeftOut[_K]] = []

    def admits(self, kind: _K, most: int, now: float) -> bool:
        """Whether a record of this kind may be logged, of which a window has `most`."""
        self._close(now)
        window = self._windows.get(kind)
        if window is None:
            window = self._windows[kind] = _Window(now + self._seconds, most)
        if window.left > 0:
            window.left -= 1
            return True
        window.left_out += 1
        return False

    def over(self, now: float) -> list[LeftOut[_K]]:
        """What was left out in windows that have ended, each told once."""
        self._close(now)
        over, self._over = self._over, []
        return over

    def next_end(self) -> float | None:
        """When the next window ends; None where none is open."""
        return next((window.ends for window in self._windows.values()), None)

    def _close(self, now: float) -> None:
        while self._windows:
            kind, window = next(iter(self._windows.items()))
            if window.ends > now:
                return
            del self._windows[kind]
            if window.left_out:
                self._over.append(LeftOut(kind, window.left_out))
