"""The events of all consoles, on their way to the one who iterates over them. Outlasts the links that bring them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from virtmux.errors import Refused, TooSlow, VirtmuxError
from virtmux.following import Disconnected, Happening, Reconnected
from virtmux.inbox import Inbox
from virtmux.link import UNASKED, Link
from virtmux.messages import Event, Watch
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Reason

#: Events that may wait to be taken.
MAX_EVENTS = 10_000


class EventStream:
    """What `Client.events` gives. Nothing is kept while nobody iterates."""

    def __init__(self) -> None:
        self._inbox: Inbox[Happening | VirtmuxError] | None = None

    async def events(self, online: Callable[[], Awaitable[Link]]) -> AsyncGenerator[Happening, None]:
        """See `Client.events`. `online` gives the link that there is, or the next one."""
        link = await online()
        if self._inbox is not None:  # others may have begun meanwhile
            raise RuntimeError("events() is being iterated over already")
        inbox = self._inbox = Inbox()
        try:
            self._watch(link)
            while True:
                happening = await inbox.get()
                if isinstance(happening, VirtmuxError):
                    raise happening
                yield happening
        finally:
            if self._inbox is inbox:
                self._inbox = None

    # What the connection calls; nothing of this waits.

    def take(self, event: Event) -> None:
        """An event has come. The one that is too many ends the iteration, behind those that wait."""
        if self._inbox is None:
            return
        if self._inbox.cost < MAX_EVENTS:
            self._inbox.put(event)
        else:
            self._inbox.put(TooSlow(reason_now(Cause.TOO_SLOW)))
            self._inbox = None

    def lost(self, reason: Reason) -> None:
        """The connection is gone and is being made again."""
        self._tell(Disconnected(reason))

    def watch_again(self, link: Link) -> None:
        """It was made again: ask for the events anew."""
        if self._inbox is not None:
            self._tell(Reconnected())
            self._watch(link)

    def fail(self, error: VirtmuxError) -> None:
        """No more events will come; the iteration raises this, behind those that wait."""
        self._tell(error)

    def _tell(self, happening: Happening | VirtmuxError) -> None:
        if self._inbox is not None:
            self._inbox.put(happening)

    def _watch(self, link: Link) -> None:
        link.ask(Watch(UNASKED)).done.add_done_callback(self._watched)

    def _watched(self, done: asyncio.Future[None]) -> None:
        if isinstance(error := done.exception(), Refused):
            self.fail(error)
