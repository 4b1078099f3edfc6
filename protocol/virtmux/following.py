"""What an application that follows a console is given, in order, and the bounded queue it waits in."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

from msgspec import Struct

from virtmux.messages import Event, Gap, MarkMessage, Place, PlaceEnded
from virtmux.reasons import Reason
from virtmux.records import Position
from virtmux.wire import Output


class Disconnected(Struct, frozen=True):
    """The connection to the daemon was lost and is being made again; nothing of the sequence is lost by that.

    `reason` has the cause `server-lost`, or the one of the daemon's goodbye.
    """

    reason: Reason


class Resumed(Struct, frozen=True):
    """The place at the console was taken up again, where `asked` was the position of what comes next.

    `place` is the daemon's answer. Where it is not `continuous`, the records go on in another history and how much is
    missing in between is not known.
    """

    asked: Position
    place: Place

    @property
    def position(self) -> Position:
        """Where the records go on."""
        return Position.parse(self.place.position)

    @property
    def continuous(self) -> bool:
        """Whether the records go on exactly where they stopped."""
        return self.position == self.asked


class Reconnected(Struct, frozen=True):
    """The connection to the daemon was made again; to a stream of events, the `appeared` events that follow are new."""


#: A record of a console as the application sees it. `PlaceEnded` is the last.
Record = Output | MarkMessage | Gap | Disconnected | Resumed | PlaceEnded

#: What `Client.events` gives.
Happening = Event | Disconnected | Reconnected

_T = TypeVar("_T")


class Inbox(Generic[_T]):
    """A queue between the connection and one consumer; `cost` adds up what it holds, in the unit of its user."""

    def __init__(self) -> None:
        self.cost = 0
        self._items: deque[tuple[_T, int]] = deque()
        self._filled = asyncio.Event()

    def put(self, item: _T, cost: int = 1) -> None:
        """Add an item; never waits: whoever puts looks at `cost` and slows its source down."""
        self._items.append((item, cost))
        self.cost += cost
        self._filled.set()

    async def get(self) -> _T:
        """The oldest item, as soon as there is one. Cancelled, it loses none."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        item, cost = self._items.popleft()
        self.cost -= cost
        return item
