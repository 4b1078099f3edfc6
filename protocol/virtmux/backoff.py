"""Growing, jittered intervals between attempts. Pure: it neither waits nor asks for the time."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Intervals in seconds that double from `first` up to `longest`, each shortened by up to a quarter by chance.

    `chance` gives a number in [0, 1), for example `random.random`.
    """

    chance: Callable[[], float]
    first: float = 0.1
    longest: float = 30.0
    attempts: int = 0

    def next(self) -> float:
        """The interval before the next attempt."""
        interval: float = min(self.longest, self.first * 2.0 ** min(self.attempts, 32))
        self.attempts += 1
        return interval * (1 - self.chance() / 4)

    def take_back(self) -> None:
        """The last interval was cut short and does not count: the next one is no longer than it was."""
        self.attempts = max(0, self.attempts - 1)

    def reset(self) -> None:
        """Start over; call it after a success."""
        self.attempts = 0
