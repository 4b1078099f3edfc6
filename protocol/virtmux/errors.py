"""What the client library raises. Every error carries the Reason it was made from.

    VirtmuxError
      Refused          the daemon, or the mode of its socket, does not allow it; or there is no such console
      ConnectionLost   no daemon answers, or it sent this client away for good
      NotAttached      input while no guest's console is attached: nothing was sent
      InputRejected    part of the input did not reach the guest
      TooSlow          more events than are kept waited to be taken

Ends of a console are not errors: they are records of its sequence. Pure.
"""

# ruff: noqa: N818 - named after what happened, as in websockets

from virtmux.reasons import Reason


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
