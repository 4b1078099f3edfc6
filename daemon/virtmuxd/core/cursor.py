"""A reader's cursor in a console's records: what it is given next, what it missed, and how far it may lag. Pure."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from virtmux import messages
from virtmuxd.core.archive import Archive, Page, Point
from virtmuxd.core.times import Times

_SECOND = 10**9


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a reader may lag behind what comes while it is there: in bytes, and in the time (ns) by which its next
    byte is older than the newest. Beyond that it `leaves`, or else is given a gap."""

    size: int
    age: int
    leaves: bool


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
        #: From which point on the archive had nothing, and before which.
        self._void: tuple[Point, Point] | None = None
        #: The time that the reader was told last.
        self.told_at: int | None = None

    @property
    def point(self) -> Point:
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
    def void_to(self) -> Point | None:
        """Up to where the archive has nothing from here on, as far as it was asked; None where it may have some."""
        return self._void[1] if self._void is not None and self._void[0] == self.point else None

    def begin(self, offset: int, mark: int) -> None:
        """Start there, and not where it was made."""
        self.offset, self.mark = offset, mark
        self._began = offset

    def fetch(self, archive: Archive, stop: Point) -> None:
        """Have records before `stop` brought; the reader is woken once they, or none (`void_to`), are there."""
        self.fetching = True

        def give(pages: list[Page]) -> None:
            self.fetching, self.told_at = False, None
            self.pages.extend(pages)
            if not pages:
                self._void = self.point, stop
            self.wake()

        archive.fetch(self.point, stop, timed=self.timed, give=give)

    def turn(self) -> bytes:
        """Take the next page, which is there."""
        page = self.pages.popleft()
        if page.is_gap:
            self._miss(page.offset)
        self.offset, self.mark = page.offset, page.mark
        return page.frame

    def skip(self, handle: int, to: Point, why: str | None = None) -> bytes:
        """Go on there; the gap that says so, and why."""
        gap = messages.Gap(handle, *self.point, *to, why)
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
        return max(end - lag.size // 2, times.since(times.latest - lag.age // 2) or 0)

    def too_slow(self, end: int, next_mark: int, most_marks: int, times: Times) -> str | None:
        """Why the reader has to leave, in a few words with the numbers; None where it may stay."""
        marks = next_mark - max(self.mark, self.live_from[1])
        if marks >= most_marks:
            return f"{marks} marks wait, and at most {most_marks} may"
        lag = self.lag
        if lag is None or not lag.leaves or not self._exceeds(lag, end, times):
            return None
        size, age_s = end - self.offset, (times.latest - times.at(self.offset)) / _SECOND
        most = f"{lag.size} bytes or {lag.age / _SECOND:g} s"
        return f"{size} bytes wait, the oldest for {age_s:.1f} s; at most {most} may"

    def _exceeds(self, lag: Lag, end: int, times: Times) -> bool:
        # Behind `end` may be more, which is held back.
        if not self.live_from[0] <= self.offset < end:
            return False
        return end - self.offset > lag.size or times.latest - times.at(self.offset) > lag.age
