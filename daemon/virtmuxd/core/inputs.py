"""Input on its way to one attachment of a console: whose bytes wait, are in flight, and what became of them.

Nothing that was typed at one attachment ever reaches another: what is queued when it ends is rejected, what is in
flight then is unknown, and both are said.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from virtmux.messages import InputStatus
from virtmux.reasons import Cause
from virtmux.wire import ProtocolError


@dataclass(slots=True)
class Account:
    """One client's input within one attachment, in bytes from its start."""

    attachment: int = 0
    received: int = 0
    accepted: int = 0
    unknown: int = 0
    rejected: int = 0
    cause: Cause | None = None
    held: bool = False

    @property
    def pending(self) -> int:
        return self.received - self.accepted - self.unknown - self.rejected

    def status(self, console: int) -> InputStatus:
        """What the client is told."""
        return InputStatus(console, self.attachment, self.accepted, self.unknown, self.rejected, self.cause, self.held)


class Writer:
    """A client's right to type at a console, its account, and how it hears of changes to it."""

    def __init__(self, changed: Callable[[], None], refusal: Cause | None = None) -> None:
        """`changed` is called when the account has news; `refusal` is set for clients that may only watch."""
        self.account = Account()
        self.changed = changed
        self.refusal = refusal


class Inputs:
    """The input of one console, in order of arrival, bounded by the window of each writer (bytes)."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._attachment = 0
        self._open = False
        self._ended_by: Cause | None = Cause.CONSOLE_RELEASED
        self._unexplained: dict[Writer, None] = {}
        self._queue: deque[tuple[Writer, bytes]] = deque()
        self._in_flight: list[tuple[Writer, int]] = []

    @property
    def waiting(self) -> bool:
        """Whether there is input to send now."""
        return bool(self._queue) and not self._in_flight

    def start(self, attachment: int) -> None:
        """An attachment began; input for it may come."""
        self._attachment = attachment
        self._open = True

    def end(self) -> None:
        """The attachment ended: what is in flight is unknown, what is queued is rejected. `explain` says why."""
        self._open = False
        for writer, size in self._in_flight:
            writer.account.unknown += size
            self._unexplained[writer] = None
        for writer, data in self._queue:
            writer.account.rejected += len(data)
            self._unexplained[writer] = None
        self._in_flight.clear()
        self._queue.clear()
        self._ended_by = None

    def explain(self, cause: Cause) -> None:
        """Tell those whose input went no further why the attachment ended."""
        self._ended_by = cause
        writers, self._unexplained = self._unexplained, {}
        for writer in writers:
            writer.account.cause = cause
            writer.changed()

    def offer(self, writer: Writer, attachment: int, input_offset: int, data: bytes) -> None:
        """Queue input, or reject it where it cannot be meant for the guest as it is now.

        Raises:
            ProtocolError: the offset does not follow the writer's last, the window is exceeded, or the attachment never
                was.
        """
        account = writer.account
        if attachment != account.attachment:
            if not account.attachment < attachment <= self._attachment:
                raise ProtocolError(f"input for attachment {attachment}, the current one is {self._attachment}")
            account = writer.account = Account(attachment)
        if input_offset != account.received:
            raise ProtocolError(f"input at offset {input_offset}, expected {account.received}")
        if account.pending + len(data) > self._window:
            raise ProtocolError(f"more than {self._window} bytes of input in the window")
        account.received += len(data)
        if writer.refusal is None and self._open and attachment == self._attachment:
            self._queue.append((writer, data))
            return
        account.rejected += len(data)
        account.cause = writer.refusal or self._ended_by
        if account.cause is None:
            self._unexplained[writer] = None
        else:
            writer.changed()

    def take(self, size: int) -> bytes:
        """Up to `size` bytes to send next, now in flight; empty where nothing waits or something is in flight."""
        if self._in_flight:
            return b""
        pieces: list[bytes] = []
        while self._queue and size > 0:
            writer, data = self._queue.popleft()
            if len(data) > size:
                self._queue.appendleft((writer, data[size:]))
                data = data[:size]
            size -= len(data)
            pieces.append(data)
            self._in_flight.append((writer, len(data)))
        return b"".join(pieces)

    def sent(self, attachment: int) -> None:
        """libvirt took all that was in flight for `attachment`; of an ended one nothing is left to be said."""
        if attachment != self._attachment:
            return
        concerned = dict.fromkeys(writer for writer, _ in self._in_flight)
        for writer, size in self._in_flight:
            writer.account.accepted += size
        self._in_flight.clear()
        for writer in concerned:
            writer.changed()

    def forget(self, writer: Writer) -> None:
        """The client left: what it typed before still goes its way, nobody is told."""
        writer.changed = _nobody


def _nobody() -> None:
    """Nobody is told."""
