"""What is counted at one console. Nearly all of it is derived from what its parts know anyway, so that a packet on its
way costs nothing more."""

from collections.abc import Iterable
from operator import sub

from msgspec.structs import astuple

from virtmux.messages import Tally
from virtmuxd.core.company import Company
from virtmuxd.core.inputs import Inputs
from virtmuxd.core.machine import Machine
from virtmuxd.core.sequence import Sequence

_SECOND = 10**9


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them together."""
    return Tally(*map(sum, zip(*map(astuple, (Tally(), *tallies)), strict=True)))


def _minus(one: Tally, other: Tally) -> Tally:
    return Tally(*map(sub, astuple(one), astuple(other)))


class ConsoleTally:
    """See the module."""

    def __init__(self, sequence: Sequence, machine: Machine, inputs: Inputs, company: Company) -> None:
        """It begins at 0."""
        self._sequence = sequence
        self._machine = machine
        self._inputs = inputs
        self._company = company
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

    def close(self) -> None:
        """What is derived from is about to be let go of: nothing is counted any more."""
        self._closed = self._all()

    def _all(self) -> Tally:
        given = self._company.given
        return Tally(
            attachments=self._machine.attachment,
            breaks=self._machine.breaks.number,
            break_seconds=self._machine.breaks.length / _SECOND,
            output=self._sequence.end,
            delivered=given.delivered,
            gaps=given.gaps,
            gap_bytes=given.missed,
            accepted=self._inputs.accepted,
            unknown=self._inputs.unknown,
            rejected=self._inputs.rejected,
            evictions=self._company.evictions,
        )
