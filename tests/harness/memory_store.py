"""A console's store in memory: passes the same suite as the ring file (tests/daemon/service/test_store.py)."""

from copy import deepcopy
from typing import Self
from uuid import uuid4

from virtmuxd.core.store import MAX_MARKS, Boot, StoredMark


class MemoryStore:
    """Holds the last `capacity` bytes of output."""

    def __init__(self, capacity: int = 1 << 20) -> None:
        self.capacity = capacity
        self.history = uuid4().hex
        self.start = 0
        self.end = 0
        self.next_mark = 1
        self.incarnation = (0, -1)
        self.held_until: int | None = None
        self.released_until: int | None = None
        self.boot = Boot()
        self.stopped: int | None = None
        self.put: list[StoredMark] = []
        """Every mark and every completion, in the order in which they were stored."""
        self._held = bytearray()
        self._stored: dict[int, StoredMark] = {}
        self._found: list[StoredMark] = []

    def append(self, data: bytes, at: int) -> None:
        self._held += data
        self.end += len(data)
        del self._held[: -self.capacity]
        self.start = self.end - len(self._held)
        self.held_until = at

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self._held[offset - self.start : offset - self.start + size])

    @property
    def marks(self) -> list[StoredMark]:
        """Every mark as it is stored now, in order of the numbers."""
        return [self._stored[number] for number in sorted(self._stored)]

    def found_marks(self) -> list[StoredMark]:
        return self._found

    def put_mark(self, mark: StoredMark) -> None:
        self.next_mark = max(self.next_mark, mark.number + 1)
        self.put.append(deepcopy(mark))
        self._stored[mark.number] = self.put[-1]

    def hold(self, at: int) -> None:
        self.held_until = at

    def let_go(self, at: int) -> None:
        self.held_until = at

    def remember(self, number: int, running_id: int) -> None:
        self.incarnation = (number, running_id)

    def release(self, until: int | None) -> None:
        self.released_until = until

    def begin_boot(self, boot: Boot) -> None:
        self.boot = boot

    def forget(self) -> None:
        self._held.clear()
        self._stored.clear()
        self.start = self.end

    def close(self, at: int) -> None:
        self.stopped = at

    def reopened(self) -> Self:
        """The store as the next daemon finds it, whether this one was closed or not."""
        found = deepcopy(self)
        found._found = found.marks[-MAX_MARKS:]
        return found
