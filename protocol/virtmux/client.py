"""The asyncio client: connects to the daemon, attaches to consoles, and goes on by itself after a lost connection.

async with virtmux.connect() as mux:
    async with mux.attach("web1") as console:
        await console.write(b"\\n")
        async for record in console:
            match record:
                case virtmux.Output(data=data):
                    ...
                case virtmux.MarkMessage(record=virtmux.Ended(reason=reason)):
                    print(reason.text)

or, where only text counts, `await console.expect(rb"login: ", timeout=60)`; `virtmux.sync` is the same, blocking.
"""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from msgspec.structs import replace

from virtmux import messages
from virtmux.addresses import Address, Server, addresses
from virtmux.backoff import Backoff
from virtmux.console import Console
from virtmux.domains import DomainInfo
from virtmux.errors import ConnectionLost, Refused, TooSlow, VirtmuxError
from virtmux.following import Disconnected, Happening, Reconnected
from virtmux.inbox import Inbox
from virtmux.link import Link, LinkLost, Question, Request, open_link
from virtmux.messages import (
    Attach,
    ConsoleInfo,
    Domains,
    Event,
    Forget,
    Guest,
    GuestAction,
    Histories,
    HistoryInfo,
    HypervisorInfo,
    Kick,
    Lag,
    ListConsoles,
    Marks,
    OpenMetrics,
    Reclaim,
    Release,
    Statistics,
    Status,
    Stored,
    Watch,
    Who,
)
from virtmux.people import ClientInfo
from virtmux.reason_now import reason_now
from virtmux.reasons import CAUSES, Cause, Reason, Retry
from virtmux.records import Position

MAX_EVENTS = 10_000
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 2.0
_STABLE_S = 5.0
_RECONNECTS = frozenset({Cause.SERVER_LOST, Cause.SERVER_STOPPING})


class Inventory(NamedTuple):
    """What the daemon knows."""

    hypervisors: list[HypervisorInfo]
    consoles: list[ConsoleInfo]


class _Loan:
    """A console that is released while this client is connected: what is asked for that, and to end it."""

    def __init__(self, domain: str, device: str | None, uri: str | None) -> None:
        self.release = Release(0, domain, device, uri, while_connected=True)
        self.reclaim = Reclaim(0, domain, device, uri, while_connected=True)


def connect(server: Server = None, *, reconnect_for: float = 60.0) -> "Client":
    """A connection to the daemon, as an asynchronous context manager that gives the `Client`.

    Its socket is `server`, else VIRTMUX_SOCKET, else the system's /run/virtmux/virtmux.sock, else
    $XDG_RUNTIME_DIR/virtmux/virtmux.sock: the first of these where a daemon answers. The daemon of another host is
    reached by ssh: `connect(virtmux.SshHost("alice@host"))`. ssh asks for passwords on the terminal, but for none when
    a lost connection is made again.

    A connection that is lost, or that the daemon ends because it stops, is made again for at most `reconnect_for`
    seconds (0: never, `inf`: always), and every console is attached again where it was: nothing twice, nothing missing
    unnamed. The first connection is tried once.

    Entering raises:
        ConnectionLost: no daemon answers (`server-lost`), or it sent this client away.
        Refused: this user may not use the socket, or is not let in by ssh (`access-denied`).
    """
    return Client(addresses(server, os.environ), reconnect_for)


class Client:
    """A client of the daemon, from `connect`. To be used by one event loop, in the task that entered it or below it.

    It owns one task, which reads the connection and makes it again; leaving the context ends both.
    """

    def __init__(self, addresses: Sequence[Address], reconnect_for: float) -> None:
        self._addresses = addresses
        self._reconnect_for = reconnect_for
        self._tasks = asyncio.TaskGroup()
        self._runner: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._opened: Link | None = None
        self._failure: Reason | None = None
        self._decided = asyncio.Event()
        self._give_up_at = 0.0
        self._consoles: set[Console] = set()
        self._loans: set[_Loan] = set()
        self._events: Inbox[Happening | VirtmuxError] | None = None

    async def __aenter__(self) -> Self:
        """Connect; see `connect` for what this raises."""
        link = await open_link(self._addresses)
        await self._tasks.__aenter__()
        self._addresses = [link.address]
        self._use(link)
        self._runner = self._tasks.create_task(self._run(link), name="virtmux-connection")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give all places up and close the connection; within a second, also where the daemon does not read."""
        self._fail(reason_now(Cause.DETACHED))
        if self._runner is not None:
            self._runner.cancel()
        try:
            # The application's own errors are not for the task group, which would wrap them.
            if isinstance(error, asyncio.CancelledError):
                await self._tasks.__aexit__(kind, error, traceback)
            else:
                await self._tasks.__aexit__(None, None, None)
        finally:
            if self._opened is not None:
                await self._opened.close()

    async def consoles(self) -> list[ConsoleInfo]:
        """Every console that the daemon knows.

        Raises:
            ConnectionLost: there is no connection any more.
        """
        return (await self.inventory()).consoles

    async def inventory(self) -> Inventory:
        """Every hypervisor that the daemon is to serve, and every console that it knows.

        Raises:
            ConnectionLost: there is no connection any more.
        """
        items = (await self._asked(ListConsoles(0))).items
        hypervisors = [item.info for item in items if isinstance(item, messages.Hypervisor)]
        return Inventory(hypervisors, [item.info for item in items if isinstance(item, messages.Console)])

    async def histories(
        self, domain: str | None = None, device: str | None = None, *, uri: str | None = None
    ) -> list[HistoryInfo]:
        """What is stored of a console, or of all; the oldest of each console first.

        `domain` is named as for `attach`; it may be one that is undefined, or a name that it no longer has.

        Raises:
            Refused: nothing of such a console is stored, or this client may not read it.
            ConnectionLost: there is no connection any more.
            ValueError: as for `attach`.
        """
        items = (await self._asked(Histories(0, domain, device, uri))).items
        return [item.info for item in items if isinstance(item, messages.History)]

    async def marks(
        self, domain: str, device: str | None = None, *, uri: str | None = None, since: str | None = None
    ) -> list[Stored]:
        """The marks that are stored of a console, in their order; those `since` a time (RFC 3339), or all.

        Raises:
            Refused, ConnectionLost, ValueError: as `histories`.
        """
        items = (await self._asked(Marks(0, domain, device, uri, since))).items
        return [item for item in items if isinstance(item, Stored)]

    async def forget(self, domain: str, device: str | None = None, *, uri: str | None = None) -> None:
        """Have all that is stored of a console deleted. One that is held goes on, and its addresses too.

        Raises:
            Refused, ConnectionLost, ValueError: as `histories`.
        """
        await self._asked(Forget(0, domain, device, uri))

    @contextlib.asynccontextmanager
    async def attach(
        self,
        domain: str,
        device: str | None = None,
        *,
        uri: str | None = None,
        position: Position | str | None = None,
        replay: str | None = None,
        read_only: bool = False,
        hold: bool = True,
        timed: bool = False,
        lag: Lag | None = None,
        exclusive: bool = False,
        steal: bool = False,
        company: bool = False,
        force: bool = False,
    ) -> AsyncIterator[Console]:
        """A place at a console, given up on leaving the context.

        `domain` is a name, UUID or running id; `device` an alias, by default the domain's first console; `uri` tells
        apart what is ambiguous. Records start at `position` (its text, or a bare offset, are understood too), or
        where `replay` says (`all`, `boot`, `bytes:N`, `lines:N`, `since:TIME`), by default at the end. Entering waits
        until the console's opening is decided: `console.place` says how.

        Without `hold` the console is not opened for this place, which may then also be at a history that is only
        stored: `position` names it. A `timed` place is given a `Time` before output that came at another time. One
        with a `lag` that is exceeded gets a gap, or ends with `too-slow`.

        An `exclusive` place alone may type; with `steal` it takes that over from whom has it. It is kept for 10 s where
        the connection is lost. Records of `company` then tell who else is there. `force` takes the console, once, from
        another libvirt client that holds it.

        Raises:
            Refused: there is no such console, this client may not attach to it, somebody else has it exclusively
                (`console-busy`), or the daemon is too old for what is asked (`feature-missing`).
            ConnectionLost: there is no connection any more.
            ValueError: a text that is not Unicode or has more than 1024 characters, which cannot be sent.
        """
        at = None if position is None else str(position)
        wish = Attach(
            0,
            domain,
            device,
            uri,
            at,
            read_only,
            replay,
            hold,
            timed,
            lag,
            exclusive=exclusive,
            steal=steal,
            company=company,
            force=force,
        )
        console = Console(wish)
        try:
            await self._asked(wish, console)
            self._consoles.add(console)
            yield console
        finally:
            self._consoles.discard(console)
            console.close()

    async def release(
        self, domain: str, device: str | None = None, *, uri: str | None = None, seconds: float | None = None
    ) -> None:
        """Have the daemon let a console go, named as for `attach`, for `seconds`, or until it is reclaimed.

        It lasts over restarts of the daemon; a later release replaces it. Returns once the console is free for others.

        Raises:
            Refused: there is no such console, this client may not release it, or the daemon could not let it go yet.
            ConnectionLost: there is no connection any more.
            ValueError: as for `attach`.
        """
        await self._asked(Release(0, domain, device, uri, seconds))

    @contextlib.asynccontextmanager
    async def released(self, domain: str, device: str | None = None, *, uri: str | None = None) -> AsyncIterator[None]:
        """A console is let go while the context lasts; asked for anew where the connection was lost and made again.

        Raises:
            Refused, ConnectionLost, ValueError: as `release`.
        """
        loan = _Loan(domain, device, uri)
        try:
            await self._asked(loan.release)
        except asyncio.CancelledError:  # it may be let go all the same
            self._give_back(loan)
            raise
        self._loans.add(loan)
        try:
            yield
        finally:
            self._loans.discard(loan)
            self._give_back(loan)

    def _give_back(self, loan: _Loan) -> None:
        if self._link is not None:
            self._link.ask(loan.reclaim)

    async def reclaim(self, domain: str, device: str | None = None, *, uri: str | None = None) -> None:
        """End what `release` began, whoever did. Others may have released the console while they are connected: it
        is taken back once they all have gone.

        Raises:
            Refused, ConnectionLost, ValueError: as `release`.
        """
        await self._asked(Reclaim(0, domain, device, uri))

    async def who(self) -> list[ClientInfo]:
        """Who is connected to the daemon.

        Raises:
            Refused: the daemon is too old to say (`feature-missing`).
            ConnectionLost: there is no connection any more.
        """
        return [item.info for item in (await self._asked(Who(0))).items if isinstance(item, messages.Client)]

    async def kick(self, client: int) -> None:
        """Have the client with this number, as `who` gives it, sent away.

        Raises:
            Refused: there is no such client, this one may not do that, or the daemon is too old.
            ConnectionLost: there is no connection any more.
        """
        await self._asked(Kick(0, client))

    async def guest(
        self,
        domain: str,
        action: GuestAction,
        *,
        uri: str | None = None,
        keys: Sequence[int] = (),
        hold_ms: int = 100,
    ) -> None:
        """Have something done to a domain, named as for `attach`; returns once libvirt has done it.

        It is asked once: where the connection is lost before the answer, it may or may not have been done, and that is
        raised, not asked again.

        `start` it, `start-paused`, `resume` it, press `keys` (of Linux's input-event-codes.h) together for `hold_ms`,
        or send an `nmi`.

        Raises:
            Refused: libvirt has not done it (`action-failed`), or as `who`.
            ConnectionLost: there is no connection any more, or it was lost before the answer.
            ValueError: as for `attach`.
        """
        asked = Guest(id=0, domain=domain, uri=uri, action=action, keys=list(keys), hold_ms=hold_ms)
        request = (await self._online()).ask(asked)
        try:
            await request.done
        except LinkLost as lost:
            text = f"{lost.reason.text}; `{action}` may have been done"
            raise ConnectionLost(replace(lost.reason, text=text)) from None

    async def domains(self, domain: str, *, uri: str | None = None) -> list[DomainInfo]:
        """What libvirt says of a domain now, named as for `attach`, at each hypervisor that has it.

        Raises:
            Refused: a hypervisor cannot be asked, or as `who`.
            ConnectionLost: there is no connection any more.
            ValueError: as for `attach`.
        """
        items = (await self._asked(Domains(0, domain, uri))).items
        return [item.info for item in items if isinstance(item, messages.Domain)]

    async def statistics(self) -> Statistics:
        """What the daemon as a whole counts and measures.

        Raises:
            Refused: the daemon is too old (`feature-missing`).
            ConnectionLost: there is no connection any more.
        """
        items = (await self._asked(Status(0))).items
        return next(item.info for item in items if isinstance(item, messages.StatisticsMessage))

    async def openmetrics(self) -> str:
        """All that is counted and measured, also at each console, as the OpenMetrics text that is scraped.

        Raises:
            Refused, ConnectionLost: as `statistics`.
        """
        items = (await self._asked(OpenMetrics(0))).items
        return "".join(item.text for item in items if isinstance(item, messages.MetricsText))

    @property
    def features(self) -> frozenset[str]:
        """What the daemon knows beyond the first protocol, as it said last."""
        return self._opened.features if self._opened is not None else frozenset()

    async def _asked(self, question: Question, console: Console | None = None) -> Request:
        """Ask, once more after each lost connection, until it is answered; gives the answered request."""
        while True:
            request = (await self._online()).ask(question, console)
            with contextlib.suppress(LinkLost):
                await request.done
                return request

    async def events(self) -> AsyncGenerator[Happening, None]:
        """What happens to all consoles, beginning with one `appeared` event for each that exists.

        After a lost connection it gives `Disconnected`, then `Reconnected` and the `appeared` events again; what
        happened in between is not told. One iteration at a time; close it with `contextlib.aclosing`.

        Raises:
            ConnectionLost: the connection is lost and not made again.
            TooSlow: more than `MAX_EVENTS` events waited to be taken.
            RuntimeError: another iteration is going on.
        """
        if self._events is not None:
            raise RuntimeError("events() is being iterated over already")
        link = await self._online()
        inbox = self._events = Inbox()
        try:
            self._watch(link)
            while True:
                happening = await inbox.get()
                if isinstance(happening, VirtmuxError):
                    raise happening
                yield happening
        finally:
            if self._events is inbox:
                self._events = None

    async def _online(self) -> Link:
        if self._runner is None:
            raise RuntimeError("connect() is a context manager: use `async with virtmux.connect() as mux`")
        while self._link is None:
            if self._failure is not None:
                raise ConnectionLost(self._failure)
            await self._decided.wait()
        return self._link

    # The one task: reads the connection, and makes it again.

    async def _run(self, link: Link) -> None:
        loop, backoff = asyncio.get_running_loop(), Backoff(random.random, _FIRST_WAIT_S, _LONGEST_WAIT_S)
        while True:
            opened_at = loop.time()
            reason = await link.serve(self._take_event)
            again = reason.cause in _RECONNECTS and self._reconnect_for > 0
            self._lost(link, replace(reason, retry=Retry(will_retry=again)), again=again)
            await link.close()
            if not again:
                return
            self._give_up_at = loop.time() + self._reconnect_for
            if loop.time() - opened_at > _STABLE_S:
                backoff.reset()
            try:
                link = await self._reconnect(backoff)
            except VirtmuxError as error:
                self._fail(error.reason)
                return
            self._use(link)
            self._resume(link)

    async def _reconnect(self, backoff: Backoff) -> Link:
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
                        if error.reason.cause not in _RECONNECTS:
                            raise
                        failure = error.reason
        text = f"{failure.text}; gave up after {self._reconnect_for:g} s"
        raise ConnectionLost(replace(failure, text=text))

    def _use(self, link: Link) -> None:
        self._link = self._opened = link
        self._decided.set()

    def _lost(self, link: Link, reason: Reason, *, again: bool) -> None:
        self._link = None
        self._decided.clear()
        self._consoles.update(link.consoles.values())
        if again:
            for console in self._consoles:
                console.lost(link, reason)
            if self._events is not None:
                self._events.put(Disconnected(reason))
        else:
            self._fail(reason)
        link.lose(reason)

    def _fail(self, reason: Reason) -> None:
        """No connection any more, for good: everybody learns why. The first reason stays."""
        if self._failure is not None:
            return
        self._failure, self._link = reason, None
        for console in self._consoles:
            console.refused(reason)
        if self._events is not None:
            self._events.put(ConnectionLost(reason))
        self._decided.set()

    def _resume(self, link: Link) -> None:
        for loan in self._loans:
            link.ask(loan.release)
        for console in self._consoles:
            self._attach_again(link, console)
        if self._events is not None:
            self._events.put(Reconnected())
            self._watch(link)

    def _attach_again(self, link: Link, console: Console) -> None:
        if self._link is not link or console.closed or console.ended:
            return
        try:
            console.attach_again(link).done.add_done_callback(partial(self._attached_again, link, console))
        except Refused as error:  # the daemon that answers now is older than the one before
            console.refused(error.reason)

    def _attached_again(self, link: Link, console: Console, done: asyncio.Future[None]) -> None:
        if not isinstance(error := done.exception(), Refused):
            return
        loop = asyncio.get_running_loop()
        if CAUSES[error.reason.cause].retry and loop.time() < self._give_up_at:
            loop.call_later(_LONGEST_WAIT_S, self._attach_again, link, console)
        else:
            console.refused(error.reason)

    def _watch(self, link: Link) -> None:
        link.ask(Watch(0)).done.add_done_callback(self._watched)

    def _watched(self, done: asyncio.Future[None]) -> None:
        if isinstance(error := done.exception(), Refused) and self._events is not None:
            self._events.put(error)

    def _take_event(self, event: Event) -> None:
        if self._events is None:
            return
        if self._events.cost < MAX_EVENTS:
            self._events.put(event)
        else:
            self._events.put(TooSlow(reason_now(Cause.TOO_SLOW)))
            self._events = None
