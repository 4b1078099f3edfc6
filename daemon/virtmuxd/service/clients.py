"""Who is connected: the daemon's clients, by number."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import count
from typing import Protocol

from virtmux.people import ClientInfo, Person
from virtmux.reasons import Cause, ConsoleId, Reason


class Connected(Protocol):
    """A client, as others see it."""

    @property
    def who(self) -> Person:
        """Whose it is."""

    @property
    def active_at(self) -> float:
        """When something was sent to it or received last, in the loop's time."""

    def info(self, sees: Callable[[ConsoleId], bool]) -> ClientInfo:
        """What `who` shows of it to somebody who `sees` some consoles."""

    @property
    def consoles(self) -> list[ConsoleId]:
        """Where it has places."""

    def dismiss(self, reason: Reason) -> None:
        """End its connection for this reason."""

    def review(self) -> None:
        """Other access rules are in force."""


class Clients:
    """All clients of the daemon. A number is never used twice in its life."""

    def __init__(self) -> None:
        #: Why those left who did.
        self.ends: dict[Cause, int] = defaultdict(int)
        self._numbers = count(1)
        self._connected: dict[int, Connected] = {}

    def next_number(self) -> int:
        """The number of a new client."""
        return next(self._numbers)

    def add(self, number: int, client: Connected) -> None:
        """It is there now."""
        self._connected[number] = client

    def remove(self, number: int) -> None:
        """It is there no more."""
        self._connected.pop(number, None)

    @property
    def connected(self) -> int:
        """How many there are."""
        return len(self._connected)

    def __iter__(self) -> Iterator[Connected]:
        """All that are there, in the order in which they came; they may go meanwhile."""
        return iter(tuple(self._connected.values()))

    def infos(self, sees: Callable[[ConsoleId], bool]) -> Iterator[ClientInfo]:
        """What `who` shows of them, with their places at consoles that the asker `sees`; of each as it is asked for."""
        return (client.info(sees) for client in self if client.who.client in self._connected)

    def review(self) -> None:
        """Other access rules are in force: what a client may no longer have is taken away."""
        for client in self:
            client.review()

    def get(self, number: int) -> Connected | None:
        """The client with this number, if it is there."""
        return self._connected.get(number)
