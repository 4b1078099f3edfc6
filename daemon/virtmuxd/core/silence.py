"""When a console that fell silent is probed: is its stream still served, or did it die without a word?

A forced takeover while output floods may be told to nobody (docs/libvirt.md, "How a console ends"). It takes output on
its way at that moment, so one probe some time after the last output finds every case, and a console that says nothing
costs nothing.
"""

from virtmuxd.core.effects import Effect, Probe, SetTimer
from virtmuxd.core.events import Timer

_SECOND = 10**9


class Silence:
    """See the module. Times in ns."""

    def __init__(self, *, exclusive: bool, after_s: float) -> None:
        """`exclusive`: whether a console can be taken over at all. It is probed after so many seconds of silence."""
        #: When the guest said something last; set by whoever receives it.
        self.spoke_at: int | None = None
        #: Whether its next word is to be told, for the silence after it is to be noticed.
        self.unwatched = False
        #: Whether a probe that is not answered means something: not after a false alarm, until a fence is answered.
        self.trusted = True
        #: When it was opened, or a fence was answered last.
        self._served_at = 0
        self._exclusive = exclusive
        self._after_s = after_s
        self._shared = False

    @property
    def served_at(self) -> int:
        """Until when the stream was surely served."""
        return max(self._served_at, self.spoke_at or 0)

    def begin(self, at: int, *, shared: bool) -> None:
        """The console was opened; over a `shared` connection it is not probed, since that could stop the others."""
        self._served_at = at
        self._shared = shared
        self.watch()

    def fenced(self, at: int) -> None:
        """A fence was answered."""
        self._served_at = at
        self.trusted = True
        self.watch()

    def watch(self) -> None:
        """Notice the silence after the next word."""
        self.unwatched = self._exclusive and self.trusted and not self._shared

    def end(self) -> None:
        """The console is not held any more."""
        self.unwatched = False

    def spoke(self, at: int) -> list[Effect]:
        """The word came; further ones only move `spoke_at`."""
        self.unwatched = False
        self.spoke_at = at
        return [SetTimer(Timer.PROBE, self._after_s)]

    def elapsed(self, at: int) -> list[Effect]:
        """The timer ran out: probe, unless it spoke meanwhile."""
        silence = (at - (self.spoke_at or 0)) / _SECOND
        if silence < self._after_s:
            return [SetTimer(Timer.PROBE, self._after_s - silence)]
        self.watch()
        return [Probe()]
