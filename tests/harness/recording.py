"""A console whose records go to real files, job by job as a test says: no thread, no loop, and timers that it turns."""

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from unittest import mock

from tests.harness import journal_files
from tests.harness.consoles import START, Consoles
from virtmux.journal.directory import Journal, StoredConsole
from virtmux.journal.history import History
from virtmux.journal.names import home
from virtmux.messages import Event
from virtmux.records import Note, rfc3339
from virtmuxd.core.archive import Point
from virtmuxd.core.console import Console
from virtmuxd.core.counters import Counters
from virtmuxd.core.events import Policy
from virtmuxd.service.journal.archive import DiskArchive
from virtmuxd.service.journal.files import ConsoleFiles
from virtmuxd.service.journal.links import Links
from virtmuxd.service.journal.recorder import ConsoleRecorder
from virtmuxd.service.journal.settings import Settings
from virtmuxd.service.journal.store import Outcome, Work
from virtmuxd.service.ring import Life, Ring

BOOT = "b" * 32
#: The smallest ring, in bytes.
RING = 4096
_JOB = 1 << 20


@dataclass
class Timer:
    """What is due at a time (seconds), unless it is cancelled."""

    due: float
    call: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The part of an event loop that a recorder uses; its time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []
        self.soon: list[Callable[[], object]] = []

    def call_later(self, delay: float, call: Callable[..., object], *args: Any) -> Timer:
        self.timers.append(Timer(self.now + delay, lambda: call(*args)))
        return self.timers[-1]

    def call_soon_threadsafe(self, call: Callable[[], object]) -> None:
        self.soon.append(call)

    @property
    def pending(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def turn(self) -> None:
        """Call what other threads want called."""
        soon, self.soon = self.soon, []
        for call in soon:
            call()

    def advance(self, seconds: float) -> None:
        """So much time passes."""
        self.turn()
        self.now += seconds
        for timer in sorted(self.pending, key=lambda timer: timer.due):
            if timer.due <= self.now and not timer.cancelled:
                self.timers.remove(timer)
                timer.call()


@dataclass
class Disk:
    """Takes what is written, or, while it is `full`, so many bytes more and then nothing."""

    full: bool = False
    room: int = 0

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if not self.full:
            return _write(descriptor, data)
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = _write(descriptor, data[: self.room])
        self.room -= written
        return written

    @contextmanager
    def there(self) -> Iterator[Self]:
        with mock.patch("os.write", self.write):
            yield self


_write = os.write


@dataclass
class Recording:
    """One console, its recorder and its files. `queued` says whether the recorder wants a job."""

    console: Console
    ring: Ring
    files: ConsoleFiles
    clock: Clock
    directory: Path
    told: list[Event]
    readers: "Readers"
    archive: DiskArchive = field(init=False)
    counters: Counters = field(default_factory=Counters)
    points: list[Point] = field(default_factory=list)
    released: int = 0
    queued: bool = False
    now: int = START
    output: bytearray = field(default_factory=bytearray)
    """All that the guest printed."""
    recorder: ConsoleRecorder = field(init=False)

    def queue(self, _recorder: ConsoleRecorder) -> None:
        self.queued = True

    def recorded(self, point: Point) -> None:
        self.points.append(point)
        self.archive.recorded(point)

    def stored(self) -> History | None:
        """The history as the journal has it."""
        stored = Journal(self.directory).histories(StoredConsole(*self.files.key))
        return next((each for each in stored if each.id == self.history), None)

    def release(self) -> None:
        self.released += 1

    def print(self, data: bytes) -> None:
        """The guest prints."""
        self.now += 10**8
        self.output += data
        self.console.receive([data], self.now)

    def take(self, room: int = _JOB) -> Work:
        """What the recorder gives the writer's thread to do."""
        assert self.queued
        self.queued = False
        _, work = self.recorder.work(room)
        return work

    def finish(self, work: Work) -> Outcome:
        """The thread does it, and the loop is told."""
        outcome = attempt(work)
        self.recorder.done(outcome)
        self.clock.turn()
        return outcome

    def write(self, room: int = _JOB) -> int:
        """Do all that is due now; gives in how many jobs."""
        jobs = 0
        while self.queued:
            self.finish(self.take(room))
            jobs += 1
            assert jobs < 1000, "it never ends"
        return jobs

    def settle(self) -> None:
        """Let time pass until all is written."""
        for _ in range(20):
            self.write()
            self.clock.advance(10.0)
        self.write()

    def close(self) -> None:
        self.console.close(self.now)

    @property
    def story(self) -> journal_files.Story:
        """What the files hold of the history, as a reader finds it that shares no code with the writer."""
        stories = journal_files.read(home(self.directory, *self.files.key[:2]))
        return stories.get(self.history, journal_files.Story())

    @property
    def history(self) -> str:
        return self._history

    def __post_init__(self) -> None:
        self._history = self.ring.history

    def note(self, text: str = "paused") -> None:
        """Something happens that is noted in the records."""
        self.console.sequence.mark(Note(rfc3339(self.now), text))

    def written(self) -> bytes:
        """What the journal has, which must begin at the beginning and have no hole."""
        held = self.story.held()
        assert sorted(held) == list(range(len(held)))
        return bytes(held[offset] for offset in sorted(held))

    def kinds(self) -> list[str]:
        """What those who watch were told of the journal."""
        return [each.event for each in self.told if each.event.startswith("journal-")]

    def gaps(self) -> list[tuple[int, int]]:
        """The gaps that those who watch were told of."""
        return [(each.offset, each.to_offset or 0) for each in self.told if each.event == "journal-gap"]


class Readers:
    """In the place of `virtmuxd.service.journal.readers.Readers`: what is asked is read, and given, as a test says."""

    def __init__(self) -> None:
        self.asked = 0
        self._to_read: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()
        self._to_give: deque[Callable[[], None]] = deque()

    def ask(self, read: Callable[[], Any], give: Callable[[Any], None]) -> None:
        self.asked += 1
        self._to_read.append((read, give))

    def read(self) -> None:
        """The thread reads what was asked first."""
        if self._to_read:
            read, give = self._to_read.popleft()
            found = read()
            self._to_give.append(lambda: give(found))

    def give(self) -> None:
        """The loop is given what was read first."""
        if self._to_give:
            self._to_give.popleft()()

    def answer(self) -> bool:
        """Read and give all that was asked; gives whether anything was."""
        asked = bool(self._to_read or self._to_give)
        while self._to_read:
            self.read()
        while self._to_give:
            self.give()
        return asked


def attempt(work: Work) -> Outcome:
    """As `JournalStore` does it; a bug fails the test."""
    try:
        return work()
    except OSError as error:
        return error


@contextmanager
def recording(
    directory: Path, *, ring: Ring | None = None, size: int = 8 << 20, capacity: int = RING
) -> Iterator[Recording]:
    """A console that has just appeared, whose recorder has not been asked for anything yet."""
    ring = ring or Ring.in_memory(capacity, Life(1, 0, 0))
    clock, readers = Clock(), Readers()
    bench = Consoles(policy=Policy.ALWAYS).add(store=ring)  # type: ignore[arg-type]
    console = bench.console
    settings = Settings(directory=directory, size=size, keep=10**6)
    files = ConsoleFiles(settings, Links(directory), console.key, console.naming.domain, BOOT)
    made = Recording(console, ring, files, clock, directory, bench.told, readers)
    made.output += bytes(ring.end)
    made.archive = console.sequence.archive = DiskArchive(console.handle, made.stored, readers)  # type: ignore[arg-type]
    with mock.patch("asyncio.get_running_loop", lambda: clock):
        made.recorder = ConsoleRecorder(
            console, files, made.queue, made.counters, ring=capacity, recorded=made.recorded, released=made.release
        )
        console.recorder = made.recorder
        yield made
