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

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import NamedTuple, Self

from msgspec.structs import replace

from virtmux import messages
from virtmux.addresses import Address, addresses
from virtmux.connection import Connection
from virtmux.console import Console
from virtmux.domains import DomainInfo
from virtmux.errors import ConnectionLost
from virtmux.following import Happening
from virtmux.link import UNASKED, LinkLost
from virtmux.messages import (
    Attach,
    ConsoleInfo,
    Domains,
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
    Who,
)
from virtmux.people import ClientInfo
from virtmux.records import Position


class Inventory(NamedTuple):
    """What the daemon knows: the hypervisors that it is to serve, and the consoles of all of them."""

    hypervisors: list[HypervisorInfo]
    consoles: list[ConsoleInfo]


def connect(address: Address | None = None, *, reconnect_for: float = 60.0) -> "Client":
    """A connection to the daemon, as an asynchronous context manager that gives the `Client`.

        async with virtmux.connect() as mux, mux.attach("web1") as console:
            await console.expect(rb"login: ", timeout=60)

    Its socket is `address`, else VIRTMUX_SOCKET, else the system's /run/virtmux/virtmux.sock, else
    $XDG_RUNTIME_DIR/virtmux/virtmux.sock: the first of these where a daemon answers. The daemon of another host is
    reached by ssh: `connect(virtmux.SshHost("alice@host"))`. ssh asks for passwords on the terminal, but for none when
    a lost connection is made again.

    A connection that is lost, or that the daemon ends because it stops, is made again for at most `reconnect_for`
    seconds (0: never, `inf`: always), and every console is attached again where it was: nothing twice, nothing missing
    unnamed. The first connection is tried once: a daemon has 10 s to greet, ssh as long as it takes.

    Leaving the context gives all places up and closes the connection, within a second, also where nobody reads it.

    Entering raises:
        ConnectionLost: no daemon answers (`server-lost`), or it sent this client away.
        Refused: this user may not use the socket, or is not let in by ssh (`access-denied`).
    """
    return Client(addresses(address, os.environ), reconnect_for)


class Client:
    """A client of the daemon, from `connect`. To be used by one event loop, in the task that entered it or below it.

    It owns one task, which reads the connection and makes it again; leaving the context ends both. What is asked is
    asked once more where the connection was lost before the answer, but for `guest`. Cancelled, it may be done all the
    same. Before the context is entered all methods raise RuntimeError.
    """

    def __init__(self, addresses: Sequence[Address], reconnect_for: float) -> None:
        """Use `connect`."""
        self._connection = Connection(addresses, reconnect_for)

    async def __aenter__(self) -> Self:
        """Connect; see `connect` for what this raises."""
        await self._connection.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give all places up and close the connection."""
        await self._connection.close()

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
        items = (await self._connection.ask(ListConsoles(UNASKED))).items
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
        items = (await self._connection.ask(Histories(UNASKED, domain, device, uri))).items
        return [item.info for item in items if isinstance(item, messages.History)]

    async def marks(
        self, domain: str, device: str | None = None, *, uri: str | None = None, since: str | None = None
    ) -> list[Stored]:
        """The marks that are stored of a console, in their order; those `since` a time (RFC 3339), or all.

        Raises:
            Refused, ConnectionLost, ValueError: as `histories`.
        """
        items = (await self._connection.ask(Marks(UNASKED, domain, device, uri, since))).items
        return [item for item in items if isinstance(item, Stored)]

    async def forget(self, domain: str, device: str | None = None, *, uri: str | None = None) -> None:
        """Have all that is stored of a console deleted. One that is held goes on, and its addresses too.

        Raises:
            Refused, ConnectionLost, ValueError: as `histories`.
        """
        await self._connection.ask(Forget(UNASKED, domain, device, uri))

    def attach(
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
    ) -> AbstractAsyncContextManager[Console]:
        """A place at a console, given up on leaving the context.

        `domain` is a name, UUID or running id; `device` an alias, by default the domain's first console; `uri` tells
        apart what is ambiguous. Records start at `position` (its text, or a bare offset, are understood too), or
        where `replay` says (`all`, `boot`, `bytes:N`, `lines:N`, `since:TIME`), by default at the end. Entering waits
        until the console's opening is decided, some 15 s at most: `console.place` says how.

        Take the records: what is not taken waits with the daemon, and is a `Gap` once that no longer holds it. Input is
        taken only while the console is attached, as far as its records were taken.

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
        wish = Attach(UNASKED, domain, device, uri, at, read_only, replay, hold, timed, lag)
        wish = replace(wish, exclusive=exclusive, steal=steal, company=company, force=force)
        return self._connection.place(wish)

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
        await self._connection.ask(Release(UNASKED, domain, device, uri, seconds))

    def released(
        self, domain: str, device: str | None = None, *, uri: str | None = None
    ) -> AbstractAsyncContextManager[None]:
        """A console is let go while the context lasts; asked for anew where the connection was lost and made again.

        Raises:
            Refused, ConnectionLost, ValueError: as `release`.
        """
        return self._connection.released(Release(UNASKED, domain, device, uri, while_connected=True))

    async def reclaim(self, domain: str, device: str | None = None, *, uri: str | None = None) -> None:
        """End what `release` began, whoever did. Others may have released the console while they are connected: it
        is taken back once they all have gone.

        Raises:
            Refused, ConnectionLost, ValueError: as `release`.
        """
        await self._connection.ask(Reclaim(UNASKED, domain, device, uri))

    async def who(self) -> list[ClientInfo]:
        """Who is connected to the daemon.

        Raises:
            Refused: the daemon is too old to say (`feature-missing`).
            ConnectionLost: there is no connection any more.
        """
        items = (await self._connection.ask(Who(UNASKED))).items
        return [item.info for item in items if isinstance(item, messages.Client)]

    async def kick(self, client: int) -> None:
        """Have the client with this number, as `who` gives it, sent away.

        Raises:
            Refused: there is no such client, this one may not do that, or the daemon is too old.
            ConnectionLost: there is no connection any more.
        """
        await self._connection.ask(Kick(UNASKED, client))

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
        asked = Guest(id=UNASKED, domain=domain, uri=uri, action=action, keys=list(keys), hold_ms=hold_ms)
        request = (await self._connection.online()).ask(asked)
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
        items = (await self._connection.ask(Domains(UNASKED, domain, uri))).items
        return [item.info for item in items if isinstance(item, messages.Domain)]

    async def statistics(self) -> Statistics:
        """What the daemon as a whole counts and measures.

        Raises:
            Refused: the daemon is too old (`feature-missing`).
            ConnectionLost: there is no connection any more.
        """
        items = (await self._connection.ask(Status(UNASKED))).items
        return next(item.info for item in items if isinstance(item, messages.StatisticsMessage))

    async def openmetrics(self) -> str:
        """All that is counted and measured, also at each console, as the OpenMetrics text that is scraped.

        Raises:
            Refused, ConnectionLost: as `statistics`.
        """
        items = (await self._connection.ask(OpenMetrics(UNASKED))).items
        return "".join(item.text for item in items if isinstance(item, messages.MetricsText))

    @property
    def features(self) -> frozenset[str]:
        """What the daemon knows beyond the first protocol, as it said last."""
        return self._connection.features

    def events(self) -> AsyncGenerator[Happening, None]:
        """What happens to all consoles, beginning with one `appeared` event for each that exists.

        After a lost connection it gives `Disconnected`, then `Reconnected` and the `appeared` events again; what
        happened in between is not told. One iteration at a time; close it with `contextlib.aclosing`.

        Raises:
            ConnectionLost: the connection is lost and not made again.
            Refused: the daemon does not tell them to this client.
            TooSlow: more than 10,000 events waited to be taken. Ask anew.
            RuntimeError: another iteration is going on.
        """
        return self._connection.events()
