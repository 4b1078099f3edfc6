"""A console, its recorder and its files, to which things happen in whatever order; and the plain model of what its
journal has to hold."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import strategies as st
from msgspec.structs import astuple

from tests.harness.recording import Disk, Recording
from virtmux.records import Note, rfc3339
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.store import MAX_MARKS, StoredMark

if TYPE_CHECKING:
    from virtmuxd.service.journal.store import Work

HYPERVISORS = ("qemu/system/a", "qemu/system/b", "qemu/system/c")


class Step(NamedTuple):
    """What happens: a method of a life, with what it is given."""

    method: str
    given: dict[str, float]


def step(method: str, **given: st.SearchStrategy[int] | st.SearchStrategy[float]) -> st.SearchStrategy[Step]:
    """A step to be drawn."""
    return st.builds(Step, st.just(method), st.fixed_dictionaries(given))


class RecordedLife:
    """See the module. `offsets` are those of all marks, by their numbers; each says `paused`."""

    def __init__(self, record: Recording, disk: Disk) -> None:
        self.record = record
        self.disk = disk
        self.reserved: list[StoredMark] = []
        self.offsets: dict[int, int] = {}
        self.forgotten = 0, 1
        self._work: Work | None = None

    def go_through(self, steps: Iterable[Step]) -> None:
        """Let them happen, one after the other."""
        for each in steps:
            getattr(self, each.method)(**each.given)

    def print(self, size: int) -> None:
        """Have output come; none while an end is being explained, since the console is attached again only behind
        that."""
        if self.reserved:
            return
        begin = len(self.record.output)
        self.record.print(bytes((begin + at) * 7 % 251 for at in range(size)))

    def mark(self) -> None:
        self._note(self.record.console.sequence.mark(self._record()))

    def marks(self, count: int) -> None:
        for _ in range(count):
            self.mark()

    def reserve(self) -> None:
        self.reserved.append(self.record.console.sequence.reserve(self._record()))
        self._note(self.reserved[-1])

    def complete(self) -> None:
        """They are completed in the order in which they were reserved."""
        if self.reserved:
            self.record.console.sequence.complete(self.reserved.pop(0), self._record())

    def _record(self) -> Note:
        return Note(rfc3339(self.record.now), "paused")

    def _note(self, mark: StoredMark) -> None:
        self.offsets[mark.number] = mark.offset

    def begin(self, room: int) -> None:
        """The writer's thread begins a job, which is carried out when it ends."""
        if self._work is None and self.record.queued:
            self._work = self.record.take(room)

    def end(self) -> None:
        if self._work is not None:
            self.record.finish(self._work)
            self._work = None

    def fail(self, room: int) -> None:
        self.disk.full, self.disk.room = True, room

    def recover(self) -> None:
        self.disk.full = False

    def wait(self, seconds: float) -> None:
        self.record.clock.advance(seconds)

    def rename(self, number: int) -> None:
        self.record.recorder.rename(f"web{number}", self.record.now)

    def move(self, number: int) -> None:
        key = ConsoleKey(HYPERVISORS[number], *self.record.console.key[1:])
        self.record.recorder.move(key, self.record.now)

    def forget(self) -> None:
        """What is reserved is kept, and what comes behind it."""
        self.record.console.forget(lambda: None)
        _, offset, mark = astuple(self.record.console.sequence.position)
        kept = (each.number for each in self.reserved if each.number >= mark - MAX_MARKS)
        self.forgotten = offset, next(kept, mark)

    def close(self) -> None:
        self.record.close()

    def settle(self) -> None:
        self.end()
        self.record.settle()
