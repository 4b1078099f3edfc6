"""The fate of one attachment's input: how much was sent, and what the daemon's `input-status` says of it. Pure."""

from typing import NamedTuple

from virtmux.messages import InputStatus
from virtmux.reasons import Cause


class Fate(NamedTuple):
    """What became of a run of input bytes; the three counts follow each other from its start and add up to it."""

    accepted: int
    unknown: int
    rejected: int


class InputState(NamedTuple):
    """How the input of a place fares within one attachment, in bytes from its start.

    The first `accepted` bytes were written to the guest's serial line, the next `unknown` bytes may have arrived or
    not, the `rejected` bytes after them did not and never will; `cause` says why. The `waiting` bytes behind all these
    are under way, the last `unsent` of them not even with the daemon; and while `held` is true they wait for the guest,
    which takes no input: it is paused, for example.
    """

    attachment: int
    accepted: int
    unknown: int = 0
    rejected: int = 0
    waiting: int = 0
    held: bool = False
    cause: Cause | None = None
    unsent: int = 0


class InputLedger:
    """A client's input within one attachment, in bytes from its start; `state` and what the daemon says count from the
    byte `base`, where the client began to type again after it might not for a while."""

    def __init__(self, attachment: int, base: int = 0) -> None:
        self.attachment = attachment
        self.base = base
        self.given = base
        """What the application gave, whether it was sent yet or not."""
        self.sent = base
        self.cause: Cause | None = None
        """Why input was not taken, once some was not; no more may be sent then."""
        self.held = False
        self._accepted = base
        self._unknown = 0
        self._settled = base
        self._doubtful: list[tuple[int, int]] = []
        """Bytes, each from and up to, of which nothing more is said: the daemon began to count anew behind them."""

    @property
    def open(self) -> bool:
        """Whether more input may be sent."""
        return self.cause is None

    def in_flight(self) -> int:
        """Bytes that were sent and whose fate is not known yet."""
        return self.sent - self._settled

    def settled(self, end: int) -> bool:
        """Whether the fate of all bytes before `end` is known."""
        return self._settled >= end

    def status(self, status: InputStatus) -> None:
        """Take the daemon's word; it replaces what was said before. Of what lies before a later `base` nothing more is
        said, the daemon has begun to count anew: what was not accepted by then may not have arrived."""
        if status.base < self.base:
            self._refused_again(status)
            return
        if status.base > self.base:
            if self._accepted < status.base:
                self._doubtful.append((self._accepted, status.base))
            self.base, self.cause = status.base, None
        self._accepted = self.base + status.accepted
        self._unknown = status.unknown
        self._settled = self._accepted + status.unknown + status.rejected
        self.held = status.held
        if status.unknown or status.rejected:
            self.cause = status.cause or Cause.STREAM_ENDED

    def _refused_again(self, status: InputStatus) -> None:
        """The daemon has not begun to count anew: what it counts from this `base` on was not taken either."""
        refused = status.base + status.accepted + status.unknown + status.rejected - self.base
        if refused > 0:
            self._settled = self.base + refused
            self.cause = status.cause or Cause.ACCESS_DENIED

    def close(self, cause: Cause) -> None:
        """No status will follow: what is in flight may have arrived or not."""
        self._unknown += self.in_flight()
        self._settled = self.sent
        self.held = False
        self.cause = self.cause or cause

    @property
    def state(self) -> InputState:
        """How it stands. What was given and can be sent no more is rejected."""
        unsettled = max(self.given, self.sent) - self._settled
        rejected, waiting = (0, unsettled) if self.open else (unsettled - self.in_flight(), self.in_flight())
        rejected += self._settled - self._accepted - self._unknown
        unsent = waiting - self.in_flight()
        accepted, unknown = self._accepted - self.base, self._unknown + sum(to - begin for begin, to in self._doubtful)
        return InputState(self.attachment, accepted, unknown, rejected, waiting, self.held, self.why, unsent)

    @property
    def why(self) -> Cause | None:
        """Why not all has arrived."""
        return self.cause or (Cause.ACCESS_DENIED if self._doubtful else None)

    def fate(self, start: int, size: int) -> Fate:
        """What became of the `size` bytes from `start`; what was never sent counts as rejected."""
        doubtful = next((begin for begin, to in self._doubtful if start < to), None)
        if doubtful is not None:
            accepted = _within(doubtful - start, size)
            return Fate(accepted, size - accepted, 0)
        accepted = _within(self._accepted - start, size)
        unknown = _within(self._accepted + self._unknown - start, size) - accepted
        return Fate(accepted, unknown, size - accepted - unknown)


def _within(count: int, size: int) -> int:
    return max(0, min(count, size))
