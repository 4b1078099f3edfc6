"""One client's right to type at a console, and what became of what it typed."""

from collections.abc import Callable
from dataclasses import dataclass

from virtmux.messages import InputStatus
from virtmux.reasons import Cause


@dataclass(slots=True)
class Account:
    """One client's input within one attachment, in bytes from its start; `held` while it waits for the guest.

    What became of it is counted from the byte `base` on: 0, but for a client that might not type for a while.
    """

    attachment: int = 0
    received: int = 0
    base: int = 0
    accepted: int = 0
    unknown: int = 0
    rejected: int = 0
    cause: Cause | None = None
    held: bool = False
    #: Whether some of it was rejected because the client might not type.
    refused: bool = False

    @property
    def pending(self) -> int:
        """Bytes of which it is not known yet what becomes of them."""
        return self.received - self.base - self.accepted - self.unknown - self.rejected

    def status(self, console: int) -> InputStatus:
        """What the client is told."""
        return InputStatus(
            console,
            self.attachment,
            self.accepted,
            self.unknown,
            self.rejected,
            self.cause,
            self.held and bool(self.pending),
            self.base,
        )

    def begin_again(self) -> "Account":
        """The same input, counted from here on."""
        return Account(self.attachment, self.received, base=self.received)


class Writer:
    """A client's right to type at a console, its account, and how it hears of changes to it."""

    def __init__(self, changed: Callable[[], None], refusal: Cause | None = None, *, window: int = 65536) -> None:
        """`changed` is called when the account has news; `refusal` is set for clients that may only watch; `window`:
        so many bytes it may have whose fate is not known."""
        self.account = Account()
        self.changed = changed
        self.refusal = refusal
        self.window = window
        #: Whether its client has left: nobody is told any more.
        self.has_left = False

    def leave(self) -> None:
        """Its client leaves."""
        self.has_left = True
        self.changed = nobody


def nobody() -> None:
    """Nobody is told."""
