"""The queue between a connection, which must not wait, and the one consumer of what it brings."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Inbox(Generic[_T]):
    """A queue for one consumer; `cost` adds up what it holds, in the unit of its user."""

    def __init__(self) -> None:
        self.cost = 0
        self._items: deque[tuple[_T, int]] = deque()
        self._filled = asyncio.Event()
        self.on_put: Callable[[], None] | None = None
        """Called for each item, once it is there."""

    def __iter__(self) -> Iterator[_T]:
        """What is there, oldest first; it stays."""
        return (item for item, _ in self._items)

    def put(self, item: _T, cost: int = 1) -> None:
        """Add an item; never waits: whoever puts looks at `cost` and slows its source down."""
        self._items.append((item, cost))
        self.cost += cost
        self._filled.set()
        if self.on_put is not None:
            self.on_put()

    async def get(self) -> _T:
        """The oldest item, as soon as there is one. Cancelled, it loses none."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        item, cost = self._items.popleft()
        self.cost -= cost
        return item
