"""A console's records of which most are in the archive, and an archive that answers when a test says so."""

from collections.abc import Callable
from typing import Any

from tests.harness.memory_store import MemoryStore
from tests.harness.records import HANDLE, unobserved
from virtmux.messages import Gap, MarkMessage, Time, decode_daemon_message
from virtmux.wire import MESSAGE, OUTPUT, Decoder, Message, Output
from virtmuxd.core.archive import Page, Point, Sought
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.sequence import Sequence


class ScriptedArchive:
    """Holds what a test puts into it, and answers when the test says so."""

    oldest: Point = (0, 1)
    end: Point = (0, 1)

    def __init__(self) -> None:
        self.asked: list[tuple[Point, Point]] = []
        self.timed: list[bool] = []
        self._waiting: list[Callable[[list[Page]], None]] = []

    def find(self, sought: Sought, give: Callable[[Point | None], None]) -> None:
        raise NotImplementedError

    def forget(self, point: Point, output: int) -> None:
        self.oldest = self.end = point
        self.forgotten_output = output

    def fetch(self, start: Point, stop: Point, *, timed: bool, give: Callable[[list[Page]], None]) -> None:
        self.asked.append((start, stop))
        self.timed.append(timed)
        self._waiting.append(give)

    def answer(self, *pages: Page) -> None:
        self._waiting.pop(0)(list(pages))


class Archived:
    """A console of which the ring holds ten bytes, and one reader of it from its beginning."""

    def __init__(self, **options: Any) -> None:
        self.archive = ScriptedArchive()
        self.records = Sequence(HANDLE, MemoryStore(10), unobserved, self.archive)
        self.woken = 0
        self.cursor = Cursor(0, 1, self._wake, **options)

    def _wake(self) -> None:
        self.woken += 1

    def take(self) -> Output | MarkMessage | Gap | Time | None:
        frame = self.records.take(self.cursor)
        if frame is None:
            return None
        (decoded,) = Decoder(frozenset({MESSAGE, OUTPUT})).feed(frame)
        taken = decode_daemon_message(decoded.payload) if isinstance(decoded, Message) else decoded
        assert isinstance(taken, Output | MarkMessage | Gap | Time)
        return taken
