"""What the client library raises. Every error carries the Reason it was made from.

    VirtmuxError
      Refused          the daemon, or the mode of its socket, does not allow it; or there is no such console
      ConnectionLost   no daemon answers, or it sent this client away for good
      NotAttached      input while no guest's console is attached: nothing was sent
      InputRejected    part of the input did not reach the guest
      TooSlow          more events than are kept waited to be taken
      ConsoleEnded     the console ended while it was read from, or something was expected of it
    TimedOut           the time that was set has run out; a TimeoutError, and no VirtmuxError: nothing has failed

To who iterates over a console its ends are records of its sequence, and no errors. Pure.
"""

# ruff: noqa: N818 - named after what happened, as in websockets

from virtmux.reasons import Reason

#: Bytes of what was seen last that stand in the text of an error.
_SHOWN = 200


class VirtmuxError(Exception):
    """The common base; `reason` says what happened, `str()` is its text."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class Refused(VirtmuxError):
    """The request is not carried out, and asking again does not help before something changes."""


class ConnectionLost(VirtmuxError):
    """There is no connection to the daemon, and none is being made any more. Connect anew to go on."""


class NotAttached(VirtmuxError):
    """Nothing is attached that could take input; nothing was sent. Wait for the next `attached` mark.

    `reason` is why nothing is.
    """


class InputRejected(VirtmuxError):
    """The input did not arrive as a whole, counted in bytes from its start.

    The first `accepted` bytes were written to the guest's serial line (on a shared connection: taken by libvirt), the
    next `unknown` bytes may have arrived or not, and the `rejected` bytes after them did not and never will. Nothing is
    sent again by itself.
    """

    def __init__(self, reason: Reason, *, accepted: int, unknown: int, rejected: int) -> None:
        super().__init__(reason)
        self.accepted = accepted
        self.unknown = unknown
        self.rejected = rejected


class TooSlow(VirtmuxError):
    """Events came faster than they were taken, and the rest of them is lost. Ask for events anew."""


class ConsoleEnded(VirtmuxError):
    """The console ended, or the place at it, before what was waited for; `reason` says why.

    `seen` are the last bytes that came before and did not match.
    """

    def __init__(self, reason: Reason, seen: bytes = b"") -> None:
        super().__init__(reason)
        self.seen = seen


class TimedOut(TimeoutError):
    """What was waited for did not come within the time that was set.

    `what` says it in words; `seen` are the last bytes that came and did not match; `reason` says why nothing is
    attached, None where something is.
    """

    def __init__(self, what: str, seconds: float, *, seen: bytes = b"", reason: Reason | None = None) -> None:
        last = f"; last seen: {seen[-_SHOWN:]!r}" if seen else ""
        why = f": {reason.text}" if reason is not None else ""
        super().__init__(f"{what} within {round(seconds, 2):g} s{why}{last}")
        self.what = what
        self.seconds = seconds
        self.seen = seen
        self.reason = reason
