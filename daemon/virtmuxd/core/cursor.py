"""A reader's place in a console's records, and how far it may lag. Pure."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, Protocol

from virtmux import messages
from virtmuxd.core.times import Times


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a reader may lag behind what comes while it is there: in bytes, and in the time (ns) by which its next
    byte is older than the newest. Beyond that it `leaves`, or else is given a gap."""

    size: int
    age: int
    leaves: bool


Place = tuple[int, int]
"""An offset and a mark: what comes next."""


class Page(NamedTuple):
    """A frame out of the archive, and the offset and mark behind it; whether it is a gap."""

    frame: bytes
    offset: int
    mark: int
    is_gap: bool = False


class Seek(Enum):
    """What can be looked for in the archive."""

    OLDEST = auto()
    """The first record that is there."""
    OFFSET = auto()
    """The first record at an offset or behind."""
    LINE = auto()
    """The first line there."""
    LINES = auto()
    """The first of its last lines, so many."""
    SINCE = auto()
    """The first record of a time (ns) or later."""


class Sought(NamedTuple):
    """What is looked for in the archive."""

    kind: Seek
    number: int


class Archive(Protocol):
    """Where records are found that the store holds no more."""

    @property
    def oldest(self) -> Place:
        """The first record that it may hold."""

    @property
    def end(self) -> Place:
        """What comes behind its last record."""

    def forget(self, place: Place, output: int) -> None:
        """Hold nothing of what is before that place, nor output before that offset."""

    def find(self, sought: Sought, give: Callable[[Place | None], None]) -> None:
        """Give where that is, by and by; None where it is not there."""

    def fetch(self, start: Place, stop: Place, *, timed: bool, give: Callable[[list[Page]], None]) -> None:
        """Give some of the records from one place up to another, by and by: none where it has none of them.

        The pages follow each other from `start`; what is missing among them is a gap.
        """


def _decline(_frame: bytes) -> bool:
    return False


class Cursor:
    """The next byte and the next mark that a reader will be given.

    `wake` is called when a parked reader has something to take. `offer` is called with a frame that is the next, and
    says whether the reader has taken it: one that has nothing else to do need not come for it. Neither may raise.
    """

    __slots__ = (
        "_began",
        "_void",
        "fetching",
        "gaps",
        "lag",
        "live_from",
        "mark",
        "missed",
        "offer",
        "offset",
        "pages",
        "timed",
        "told_at",
        "wake",
    )

    def __init__(
        self,
        offset: int,
        mark: int,
        wake: Callable[[], None],
        offer: Callable[[bytes], bool] = _decline,
        *,
        lag: Lag | None = None,
        timed: bool = False,
    ) -> None:
        """`timed`: it is told when its bytes came."""
        self.offset = offset
        self.mark = mark
        self.wake = wake
        self.offer = offer
        self.lag = lag
        self.timed = timed
        #: Where the records ended when the reader came: what is before that is no lag.
        self.live_from = (offset, mark)
        #: Where it began, the gaps that it was given since, and how many bytes these are.
        self._began = offset
        self.gaps = 0
        self.missed = 0
        #: What the archive gave and is not taken yet, and whether it was asked.
        self.pages: deque[Page] = deque()
        self.fetching = False
        #: From which place on the archive had nothing, and before which.
        self._void: tuple[Place, Place] | None = None
        #: The time that the reader was told last.
        self.told_at: int | None = None

    @property
    def place(self) -> Place:
        """Offset and mark."""
        return self.offset, self.mark

    @property
    def delivered(self) -> int:
        """How many bytes of output it was given."""
        return self.offset - self._began - self.missed

    def behind(self, end: int) -> int:
        """How many bytes of what came while it is there, up to `end`, it has not got yet."""
        return max(0, end - max(self.offset, self.live_from[0]))

    @property
    def void_to(self) -> Place | None:
        """Up to where the archive has nothing from here on, as far as it was asked; None where it may have some."""
        return self._void[1] if self._void is not None and self._void[0] == self.place else None

    def begin(self, offset: int, mark: int) -> None:
        """Start there, and not where it was made."""
        self.offset, self.mark = offset, mark
        self._began = offset

    def fetch(self, archive: Archive, stop: Place) -> None:
        """Have records before `stop` brought; the reader is woken once they, or none (`void_to`), are there."""
        self.fetching = True

        def give(pages: list[Page]) -> None:
            self.fetching, self.told_at = False, None
            self.pages.extend(pages)
            if not pages:
                self._void = self.place, stop
            self.wake()

        archive.fetch(self.place, stop, timed=self.timed, give=give)

    def turn(self) -> bytes:
        """Take the next page, which is there."""
        page = self.pages.popleft()
        if page.is_gap:
            self._miss(page.offset)
        self.offset, self.mark = page.offset, page.mark
        return page.frame

    def skip(self, handle: int, to: Place, why: str | None = None) -> bytes:
        """Go on there; the gap that says so, and why."""
        gap = messages.Gap(handle, *self.place, *to, why)
        self._miss(to[0])
        self.offset, self.mark = to
        return messages.encode(gap)

    def _miss(self, offset: int) -> None:
        self.gaps += 1
        self.missed += offset - self.offset

    def skips_to(self, end: int, times: Times) -> int:
        """The offset that a reader which lags too far goes on from, half of what it may lag behind `end`; else 0."""
        lag = self.lag
        if lag is None or not self._exceeds(lag, end, times):
            return 0
        return max(end - lag.size // 2, times.since(times.latest - lag.age // 2) or 0, self.live_from[0])

    def too_slow(self, end: int, next_mark: int, most_marks: int, times: Times) -> str | None:
        """Why the reader has to leave, in a few words with the numbers; None where it may stay."""
        marks = next_mark - max(self.mark, self.live_from[1])
        if marks >= most_marks:
            return f"{marks} marks wait, and at most {most_marks} may"
        lag = self.lag
        if lag is None or not lag.leaves or not self._exceeds(lag, end, times):
            return None
        size, age = end - self.offset, times.latest - times.at(self.offset)
        return (
            f"{size} bytes wait, the oldest for {age / 1e9:.1f} s; at most {lag.size} bytes or {lag.age / 1e9:g} s may"
        )

    def _exceeds(self, lag: Lag, end: int, times: Times) -> bool:
        if not self.live_from[0] <= self.offset < end:
            return False
        return end - self.offset > lag.size or times.latest - times.at(self.offset) > lag.age
