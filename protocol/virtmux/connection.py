"""A client's connection to the daemon: outlasts its links. One task serves the one that there is, and makes the next.

link         one socket, from the daemon's hello to its end (`virtmux.link`)
connection   a link after the other, and what lasts: places, releases and the watch of events are had again on each
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial

from msgspec.structs import replace

from virtmux.addresses import Address
from virtmux.backoff import Backoff
from virtmux.console import Console
from virtmux.console_place import ConsolePlace
from virtmux.errors import ConnectionLost, Refused, VirtmuxError
from virtmux.event_stream import EventStream
from virtmux.following import Happening
from virtmux.link import UNASKED, Link, LinkLost, Question, Request, open_link
from virtmux.messages import Attach, Reclaim, Release
from virtmux.reason_now import reason_now
from virtmux.reasons import CAUSES, SERVER_CAUSES, Cause, Reason, Retry

_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 2.0
#: Seconds after which a link was a good one, and the next is tried for at once again.
_STABLE_S = 5.0


class Connection:
    """See the module. For one event loop; its task lives from `open` to `close`."""

    def __init__(self, addresses: Sequence[Address], reconnect_for: float) -> None:
        """`reconnect_for`: for so many seconds the next link is tried for; 0: there is none."""
        self._addresses = addresses
        self._reconnect_for = reconnect_for
        self._places: set[ConsolePlace] = set()
        self._releases: list[Release] = []
        self._event_stream = EventStream()
        self._tasks = asyncio.TaskGroup()
        self._runner: asyncio.Task[None] | None = None
        self._link: Link | None = None
        """The link that there is."""
        self._last_link: Link | None = None
        self._failure: Reason | None = None
        """Why there will be none any more."""
        self._decided = asyncio.Event()
        """There is a link, or there will be none any more."""
        self._give_up_at: float
        """When the next link is tried for no more, since the last was lost."""

    async def open(self) -> None:
        """Make the first link; see `virtmux.connect` for what this raises."""
        link = await open_link(self._addresses)
        await self._tasks.__aenter__()
        self._addresses = [link.address]
        self._use(link)
        self._runner = self._tasks.create_task(self._run(link), name="virtmux-connection")

    async def close(self) -> None:
        """End all that lasts, and close the link; within a second, also where the daemon does not read."""
        assert self._runner is not None and self._last_link is not None, "it was opened"
        self._fail(reason_now(Cause.DETACHED))
        self._runner.cancel()
        try:
            # The application's own errors are not for the task group, which would wrap them.
            await self._tasks.__aexit__(None, None, None)
        finally:
            await self._last_link.close()

    @property
    def features(self) -> frozenset[str]:
        """What the daemon knows beyond the first protocol, as it said last."""
        return self._last_link.features if self._last_link is not None else frozenset()

    async def online(self) -> Link:
        """The link that there is, or the next one as soon as there is that.

        Raises:
            ConnectionLost: there will be none any more.
            RuntimeError: it was not opened.
        """
        if self._runner is None:
            raise RuntimeError("connect() is a context manager: use `async with virtmux.connect() as mux`")
        while self._link is None:
            if self._failure is not None:
                raise ConnectionLost(self._failure)
            await self._decided.wait()
        return self._link

    async def ask(self, question: Question, place: ConsolePlace | None = None) -> Request:
        """Ask, once more after each lost link, until it is answered; gives the answered request.

        Raises:
            Refused, ValueError: as `Link.ask`, or the daemon has refused it.
            ConnectionLost, RuntimeError: as `online`.
        """
        while True:
            request = (await self.online()).ask(question, place)
            with contextlib.suppress(LinkLost):
                await request.done
                return request

    # What lasts.

    @contextlib.asynccontextmanager
    async def place(self, wish: Attach) -> AsyncIterator[Console]:
        """A place at a console, taken up again on each next link; entering it raises as `ask`."""
        place = ConsolePlace(wish)
        try:
            await self.ask(wish, place)
            self._places.add(place)
            yield Console(place)
        finally:
            self._places.discard(place)
            place.close()

    @contextlib.asynccontextmanager
    async def released(self, release: Release) -> AsyncIterator[None]:
        """A console is let go, anew on each next link; entering it raises as `ask`."""
        reclaim = Reclaim(UNASKED, release.domain, release.device, release.uri, while_connected=True)
        try:
            await self.ask(release)
        except asyncio.CancelledError:  # it may be let go all the same
            self._tell(reclaim)
            raise
        self._releases.append(release)
        try:
            yield
        finally:
            self._releases.remove(release)
            self._tell(reclaim)

    def _tell(self, question: Question) -> None:
        """Ask on the link that there is, and wait for no answer."""
        if self._link is not None:
            self._link.ask(question)

    def events(self) -> AsyncGenerator[Happening, None]:
        """What happens to all consoles, anew on each next link; see `Client.events`."""
        return self._event_stream.events(self.online)

    # The one task.

    async def _run(self, link: Link) -> None:
        loop, backoff = asyncio.get_running_loop(), Backoff(random.random, _FIRST_WAIT_S, _LONGEST_WAIT_S)
        while True:
            opened_at = loop.time()
            reason = await link.serve(self._event_stream.take)
            again = reason.cause in SERVER_CAUSES and self._reconnect_for > 0
            self._lost(link, replace(reason, retry=Retry(will_retry=again)))
            await link.close()
            if not again:
                return
            self._give_up_at = loop.time() + self._reconnect_for
            if loop.time() - opened_at > _STABLE_S:
                backoff.reset()
            try:
                link = await self._next_link(backoff)
            except VirtmuxError as error:
                self._fail(error.reason)
                return
            self._use(link)
            self._resume(link)

    async def _next_link(self, backoff: Backoff) -> Link:
        failure = reason_now(Cause.SERVER_LOST)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._give_up_at):
                while True:
                    await asyncio.sleep(backoff.next())
                    try:
                        return await open_link(self._addresses, again=True)
                    except Refused as error:
                        # A daemon that starts sets the mode of its socket before it listens; another user's never will.
                        failure = error.reason
                    except ConnectionLost as error:
                        if error.reason.cause not in SERVER_CAUSES:
                            raise
                        failure = error.reason
        text = f"{failure.text}; gave up after {self._reconnect_for:g} s"
        raise ConnectionLost(replace(failure, text=text))

    def _use(self, link: Link) -> None:
        self._link = self._last_link = link
        self._decided.set()

    def _lost(self, link: Link, reason: Reason) -> None:
        """The link is over, for a reason that says whether another is tried for."""
        self._link = None
        self._decided.clear()
        # Also those that were given a moment ago: whoever has asked for one has not heard of it yet.
        self._places.update(link.places.values())
        if reason.retry.will_retry:
            for place in self._places:
                place.lost(link, reason)
            self._event_stream.lost(reason)
        else:
            self._fail(reason)
        link.lose(reason)

    def _fail(self, reason: Reason) -> None:
        """No link any more: everybody learns why. The first reason stays."""
        if self._failure is not None:
            return
        self._failure, self._link = reason, None
        for place in self._places:
            place.end(reason)
        self._event_stream.fail(ConnectionLost(reason))
        self._decided.set()

    def _resume(self, link: Link) -> None:
        for release in self._releases:
            link.ask(release)
        for place in self._places:
            self._attach_again(link, place)
        self._event_stream.watch_again(link)

    def _attach_again(self, link: Link, place: ConsolePlace) -> None:
        if self._link is not link or place.ended:
            return
        try:
            place.attach_again(link).done.add_done_callback(partial(self._attached_again, link, place))
        except Refused as error:  # the daemon that answers now is older than the one before
            place.end(error.reason)

    def _attached_again(self, link: Link, place: ConsolePlace, done: asyncio.Future[None]) -> None:
        if not isinstance(error := done.exception(), Refused):
            return
        loop = asyncio.get_running_loop()
        if CAUSES[error.reason.cause].retry and loop.time() < self._give_up_at:
            loop.call_later(_LONGEST_WAIT_S, self._attach_again, link, place)
        else:
            place.end(error.reason)
