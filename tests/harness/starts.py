"""Where readers of a console's records start, with an archive that answers when the test says so."""

from collections.abc import Callable

from tests.harness.memory_store import MemoryStore
from tests.harness.records import unobserved
from virtmux.records import Attached, Position, rfc3339
from virtmux.replay import Replay
from virtmuxd.core.archive import Page, Point, Seek, Sought
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.start import Start, find_start

SECOND = 10**9
CAPACITY = 1000


class ScriptedArchive:
    """An archive that holds records from `oldest` on; what else it is asked it answers when the test says so."""

    def __init__(self, oldest: Point, end: Point) -> None:
        self.oldest = oldest
        self.end = end
        self.asked: list[Sought] = []
        self.answers: list[Callable[[Point | None], None]] = []
        self.asked_how_old = 0

    def find(self, sought: Sought, give: Callable[[Point | None], None]) -> None:
        if sought == Sought(Seek.OLDEST, 0):
            self.asked_how_old += 1
            give(self.oldest)
        else:
            self.asked.append(sought)
            self.answers.append(give)

    def forget(self, point: Point, output: int) -> None:
        self.oldest, self.end = point, (output, point[1])

    def fetch(self, start: Point, stop: Point, *, timed: bool, give: Callable[[list[Page]], None]) -> None:
        raise NotImplementedError


def console(archive: ScriptedArchive | None = None) -> Sequence:
    """Its records, over a store that holds `CAPACITY` bytes."""
    return Sequence(7, MemoryStore(CAPACITY), unobserved, archive)


def not_given(_start: Start) -> None:
    """Is called only once the archive has answered."""
    raise AssertionError("the archive has not answered")


def lines(number: int) -> bytes:
    """Lines of ten bytes."""
    return b"".join(b"line %04d\n" % each for each in range(number))


def start(records: Sequence, replay: str = "none", position: str | None = None) -> Start:
    """Where a reader starts that needs no archive."""
    found: list[Start] = []
    find_start(records, position, Replay.parse(replay), found.append)
    (only,) = found
    return only


def at(records: Sequence, offset: int, mark: int = 1) -> Position:
    """A position in what the console holds."""
    return Position(records.position.history, offset, mark)


def boot(records: Sequence, incarnation: int) -> None:
    """The guest boots, and is attached."""
    records.mark(Attached(rfc3339(0), 1, incarnation))
