"""What is counted at one console. Nearly all of it is derived from what its parts know anyway, so that a packet on its
way costs nothing more."""

from collections.abc import Callable, Iterable
from operator import sub
from typing import NamedTuple

from msgspec.structs import astuple

from virtmux.messages import Tally
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.inputs import Inputs
from virtmuxd.core.machine import Machine
from virtmuxd.core.sequence import Sequence

_SECOND = 10**9


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them together."""
    return Tally(*map(sum, zip(*map(astuple, (Tally(), *tallies)), strict=True)))


def _minus(one: Tally, other: Tally) -> Tally:
    return Tally(*map(sub, astuple(one), astuple(other)))


class _Read(NamedTuple):
    """What readers were given; see `Cursor`."""

    delivered: int
    gaps: int
    missed: int


class ConsoleTally:
    """See the module."""

    def __init__(
        self, sequence: Sequence, machine: Machine, inputs: Inputs, cursors: Callable[[], Iterable[Cursor]]
    ) -> None:
        """`cursors` gives those of the readers that are there. It begins at 0."""
        self._sequence = sequence
        self._machine = machine
        self._inputs = inputs
        self._cursors = cursors
        #: What those were given who have left.
        self._left = _Read(0, 0, 0)
        self._evictions = 0
        self._closed: Tally | None = None
        self._settled = self._all()

    def now(self) -> Tally:
        """What was counted since the beginning, or since it was settled."""
        return _minus(self._closed or self._all(), self._settled)

    def settle(self) -> Tally:
        """The same; from now on it begins at 0 again: somebody else keeps what was."""
        settled = self.now()
        self._settled = self._closed or self._all()
        return settled

    def leave(self, cursor: Cursor) -> None:
        """A reader leaves; `cursors` gives it no more."""
        left = self._left
        self._left = _Read(left.delivered + cursor.delivered, left.gaps + cursor.gaps, left.missed + cursor.missed)

    def evict(self) -> None:
        """A place is taken away from its client."""
        self._evictions += 1

    def close(self) -> None:
        """What is derived from is about to be let go of: nothing is counted any more."""
        self._closed = self._all()

    def _all(self) -> Tally:
        cursors: list[Cursor | _Read] = [*self._cursors(), self._left]
        return Tally(
            attachments=self._machine.attachment,
            breaks=self._machine.breaks.number,
            break_seconds=self._machine.breaks.length / _SECOND,
            output=self._sequence.end,
            delivered=sum([each.delivered for each in cursors]),
            gaps=sum([each.gaps for each in cursors]),
            gap_bytes=sum([each.missed for each in cursors]),
            accepted=self._inputs.accepted,
            unknown=self._inputs.unknown,
            rejected=self._inputs.rejected,
            evictions=self._evictions,
        )
