"""The input of one place at a console: on its way within the daemon's window, and what becomes of it.

It knows the connection that it is given for each piece, and nothing of records.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, NamedTuple

from virtmux.ledger import Fate, InputLedger, InputState
from virtmux.messages import Confirm, InputStatus, encode
from virtmux.reasons import Cause
from virtmux.wire import MAX_INPUT, encode_input

if TYPE_CHECKING:
    from virtmux.link import Link


class Target(NamedTuple):
    """Where input goes: a connection, the console's handle there, and its attachment."""

    link: "Link"
    handle: int
    attachment: int


class NotAllAccepted(NamedTuple):
    """What became of input instead, and why."""

    fate: Fate
    cause: Cause


class ConsoleInput:
    """What the application gives, an attachment after the other. Calls from several tasks take turns."""

    def __init__(self) -> None:
        self._ledger: InputLedger | None = None
        self._former: dict[int, InputLedger] = {}
        """Ledgers of attachments before the one of `_ledger`, until all that was sent for them is settled."""
        self._stirred: dict[InputLedger, None] = {}
        """Those whose state `states` has not told yet."""
        self._has_moved = asyncio.Event()
        self._has_stirred = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def state(self) -> InputState | None:
        """How it fares within the attachment that it went to last; None where none was given."""
        return self._ledger.state if self._ledger is not None else None

    async def states(self) -> AsyncGenerator[InputState, None]:
        """See `Console.input_states`."""
        while True:
            while not self._stirred:
                self._has_stirred.clear()
                await self._has_stirred.wait()
            ledger = next(iter(self._stirred))
            del self._stirred[ledger]
            yield ledger.state

    async def give(self, data: bytes, target: Callable[[], Target], *, confirm: bool) -> NotAllAccepted | None:
        """Send input to where `target` says once it is its turn; with `confirm` its fate is waited for.

        Cancelled, it may have sent a part.

        Raises:
            whatever `target` does; nothing was sent then.
        """
        async with self._writing:
            if not data:
                return None
            to = target()
            ledger = self._ledger_of(to.attachment)
            ledger.given += len(data)
            try:
                return await self._send(to, ledger, memoryview(data), confirm=confirm)
            finally:
                if ledger.open:  # cancelled: the rest will not be sent
                    ledger.given = ledger.sent

    async def _send(self, to: Target, ledger: InputLedger, data: memoryview, *, confirm: bool) -> NotAllAccepted | None:
        start, sent = ledger.sent, 0
        while sent < len(data) and await self._room(to, ledger):
            room = to.link.limits.input_window - ledger.in_flight()
            piece = data[sent : sent + min(room, to.link.limits.input, MAX_INPUT)]
            to.link.send(encode_input(to.handle, ledger.attachment, ledger.sent, piece))
            ledger.sent += len(piece)
            sent += len(piece)
            if confirm and sent == len(data):
                _ask_for_fate(to)
            await to.link.drain()
        if not confirm and ledger.open:
            return None
        while not ledger.settled(start + sent):
            await self._moved()
        fate = ledger.fate(start, len(data))
        return NotAllAccepted(fate, ledger.why or Cause.STREAM_ENDED) if fate.accepted < len(data) else None

    def _ledger_of(self, attachment: int) -> InputLedger:
        ledger = self._ledger
        if ledger is None or ledger.attachment != attachment:
            if ledger is not None and ledger.in_flight():
                self._former[ledger.attachment] = ledger
            ledger = self._ledger = InputLedger(attachment)
        elif ledger.cause is Cause.ACCESS_DENIED:  # it might not type for a while
            ledger = self._ledger = InputLedger(attachment, ledger.sent)
        return ledger

    async def _room(self, to: Target, ledger: InputLedger) -> bool:
        """Wait until some of the window is free; whether more may be sent."""
        if ledger.open and ledger.in_flight() >= to.link.limits.input_window:
            _ask_for_fate(to)
        while ledger.open and ledger.in_flight() >= to.link.limits.input_window:
            await self._moved()
        return ledger.open

    async def _moved(self) -> None:
        self._has_moved.clear()
        await self._has_moved.wait()

    # What the connection tells; nothing of this waits.

    def take(self, status: InputStatus) -> None:
        """The daemon's word on it."""
        current = self._ledger is not None and self._ledger.attachment == status.attachment
        ledger = self._ledger if current else self._former.get(status.attachment)
        if ledger is None:
            return
        ledger.status(status)
        if not current and not ledger.in_flight():
            del self._former[status.attachment]
        self._stir(ledger)

    def close(self, cause: Cause) -> None:
        """The connection, or the place, is gone: no word on it will follow."""
        for ledger in (*self._former.values(), *((self._ledger,) if self._ledger is not None else ())):
            ledger.close(cause)
            self._stir(ledger)
        self._former.clear()
        self._ledger = None

    def _stir(self, ledger: InputLedger) -> None:
        self._stirred[ledger] = None
        self._has_moved.set()
        self._has_stirred.set()


def _ask_for_fate(to: Target) -> None:
    to.link.send(encode(Confirm(to.handle)))
