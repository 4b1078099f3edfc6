"""The library for programs that block: `virtmux.connect` and what it gives, the same without asyncio.

with virtmux.sync.connect() as mux, mux.attach("web1") as console:
    console.expect(rb"login: ", timeout=60)
    console.write(b"root\\r")

One background thread runs an event loop and owns everything; any thread may call. It is a daemon thread, so that it
never holds up the end of the process, whoever forgot to leave a context.
"""

import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator, Sequence
from typing import Any, TypeVar

import virtmux.client
import virtmux.console
from virtmux.addresses import Address
from virtmux.client import Inventory
from virtmux.domains import DomainInfo
from virtmux.following import Happening, Record
from virtmux.ledger import InputState
from virtmux.loop_thread import LoopThread
from virtmux.matching import WINDOW, Pattern
from virtmux.messages import ConsoleInfo, GuestAction, HistoryInfo, Lag, Place, Statistics, Stored
from virtmux.people import ClientInfo, Person, Role
from virtmux.reading import Match
from virtmux.reasons import Reason
from virtmux.records import Position

_T = TypeVar("_T")
_NO_DESCRIPTOR = -1
"""Stands for a file descriptor where there is none any more, as with a socket that is closed."""


@contextlib.contextmanager
def connect(address: Address | None = None, *, reconnect_for: float = 60.0) -> "Iterator[Client]":
    """A connection to virtmuxd; `virtmux.connect` describes it, and what entering raises."""
    with LoopThread() as loop, loop.entered(virtmux.client.connect(address, reconnect_for=reconnect_for)) as mux:
        yield Client(loop, mux)


class Client:
    """A client of the daemon, from `connect`. Each method is that of `virtmux.Client`, and raises the same."""

    def __init__(self, loop: LoopThread, mux: virtmux.client.Client) -> None:
        self._loop = loop
        self._mux = mux

    @contextlib.contextmanager
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
    ) -> "Iterator[Console]":
        """A place at a console, given up on leaving the context."""
        place = self._mux.attach(
            domain,
            device,
            uri=uri,
            position=position,
            replay=replay,
            read_only=read_only,
            hold=hold,
            timed=timed,
            lag=lag,
            exclusive=exclusive,
            steal=steal,
            company=company,
            force=force,
        )
        with self._loop.entered(place) as inner:
            console = Console(self._loop, inner)
            try:
                yield console
            finally:
                console.close()

    def consoles(self) -> list[ConsoleInfo]:
        """Every console that the daemon knows."""
        return self._loop.call(self._mux.consoles())

    def inventory(self) -> Inventory:
        """Every hypervisor that the daemon is to serve, and every console that it knows."""
        return self._loop.call(self._mux.inventory())

    def histories(
        self, domain: str | None = None, device: str | None = None, *, uri: str | None = None
    ) -> list[HistoryInfo]:
        """What is stored of a console, or of all."""
        return self._loop.call(self._mux.histories(domain, device, uri=uri))

    def marks(
        self, domain: str, device: str | None = None, *, uri: str | None = None, since: str | None = None
    ) -> list[Stored]:
        """The marks that are stored of a console."""
        return self._loop.call(self._mux.marks(domain, device, uri=uri, since=since))

    def forget(self, domain: str, device: str | None = None, *, uri: str | None = None) -> None:
        """Have all that is stored of a console deleted."""
        self._loop.call(self._mux.forget(domain, device, uri=uri))

    def release(
        self, domain: str, device: str | None = None, *, uri: str | None = None, seconds: float | None = None
    ) -> None:
        """Have the daemon let a console go."""
        self._loop.call(self._mux.release(domain, device, uri=uri, seconds=seconds))

    @contextlib.contextmanager
    def released(self, domain: str, device: str | None = None, *, uri: str | None = None) -> Iterator[None]:
        """A console is let go while the context lasts."""
        with self._loop.entered(self._mux.released(domain, device, uri=uri)):
            yield

    def reclaim(self, domain: str, device: str | None = None, *, uri: str | None = None) -> None:
        """End what `release` began."""
        self._loop.call(self._mux.reclaim(domain, device, uri=uri))

    def who(self) -> list[ClientInfo]:
        """Who is connected to the daemon."""
        return self._loop.call(self._mux.who())

    def kick(self, client: int) -> None:
        """Have a client sent away."""
        self._loop.call(self._mux.kick(client))

    def guest(
        self,
        domain: str,
        action: GuestAction,
        *,
        uri: str | None = None,
        keys: Sequence[int] = (),
        hold_ms: int = 100,
    ) -> None:
        """Have something done to a domain."""
        self._loop.call(self._mux.guest(domain, action, uri=uri, keys=keys, hold_ms=hold_ms))

    def domains(self, domain: str, *, uri: str | None = None) -> list[DomainInfo]:
        """What libvirt says of a domain now."""
        return self._loop.call(self._mux.domains(domain, uri=uri))

    def statistics(self) -> Statistics:
        """What the daemon as a whole counts and measures."""
        return self._loop.call(self._mux.statistics())

    def openmetrics(self) -> str:
        """The same, and of each console, as the OpenMetrics text."""
        return self._loop.call(self._mux.openmetrics())

    @property
    def features(self) -> frozenset[str]:
        """What the daemon knows beyond the first protocol."""
        return self._mux.features

    def events(self) -> Generator[Happening, None, None]:
        """What happens to all consoles; close it with `contextlib.closing`."""
        events = self._mux.events()
        try:
            while True:
                yield self._loop.call(_next_event(events))
        finally:
            self._loop.call(events.aclose())


class Console:
    """A place at a console, from `Client.attach`. Each method is that of `virtmux.Console`, and raises the same.

    One thread may read, another write; of several that read, each takes its turn. Leaving the context ends them all.
    """

    def __init__(self, loop: LoopThread, console: virtmux.console.Console) -> None:
        self._loop = loop
        self._console = console
        self._ready = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_ready = False
        loop.call(self._begin())

    def close(self) -> None:
        """Let go of the file descriptor. Leaving the context does it."""
        if self._loop.running:
            self._loop.call(self._end())
        else:
            self._let_go()

    def fileno(self) -> int:
        """A file descriptor for select and its like: readable while `read` would not wait. It is not to be read."""
        return self._ready

    def read(self, size: int = 65536, timeout: float | None = None) -> bytes:
        """The next bytes of output, at least one and at most `size`."""
        return self._reading(lambda: self._console.read(size, timeout=timeout))

    def expect(
        self,
        patterns: Pattern | Sequence[Pattern],
        timeout: float | None = None,
        *,
        window: int = WINDOW,
        must_be_attached: bool = False,
    ) -> Match:
        """Wait for the first match of any of `patterns`, and take the records up to it."""
        return self._reading(
            lambda: self._console.expect(patterns, timeout=timeout, window=window, must_be_attached=must_be_attached)
        )

    def until_attached(self, timeout: float | None = None) -> None:
        """Wait until the console is attached, and take the records up to there."""
        self._reading(lambda: self._console.until_attached(timeout=timeout))

    def until_ended(self, timeout: float | None = None, *, is_end: Callable[[Reason], bool] = lambda _: True) -> Reason:
        """Wait until the console is not attached, and give the reason."""
        return self._reading(lambda: self._console.until_ended(timeout=timeout, is_end=is_end))

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the records; `PlaceEnded` is the last."""
        while (record := self._reading(self._next)) is not None:
            yield record

    def write(self, data: bytes) -> None:
        """Send input to the guest and return when all of it was written to the guest's serial line."""
        self._loop.call(self._console.write(data))

    def send(self, data: bytes) -> None:
        """Send input to the guest and return when it is on its way: for single keys."""
        self._loop.call(self._console.send(data))

    @property
    def place(self) -> Place:
        """The daemon's answer to the attach, or to the last one that was read."""
        return self._console.place

    @property
    def position(self) -> Position:
        """What comes next behind what was read."""
        return self._console.position

    @property
    def attachment(self) -> int | None:
        """The attachment that input goes to; None where nothing is attached."""
        return self._console.attachment

    @property
    def role(self) -> Role:
        """What this place may do."""
        return self._console.role

    @property
    def exclusive_to(self) -> Person | None:
        """Who else has the console exclusively, so that this place may only watch."""
        return self._console.exclusive_to

    @property
    def input(self) -> InputState | None:
        """How the input fares within the attachment that it went to last; None where none was given."""
        return self._console.input

    async def _next(self) -> Record | None:
        return await anext(self._console, None)

    def _reading(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        return self._loop.call(self._read(work))

    async def _read(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        try:
            return await work()
        finally:
            self._tell()

    # What the loop's thread does for `fileno`.

    async def _begin(self) -> None:
        self._console.on_arrival(self._tell)
        self._tell()

    async def _end(self) -> None:
        self._console.on_arrival(None)
        self._let_go()

    def _let_go(self) -> None:
        ready, self._ready = self._ready, _NO_DESCRIPTOR
        if ready != _NO_DESCRIPTOR:
            os.close(ready)

    def _tell(self) -> None:
        if self._ready == _NO_DESCRIPTOR or self._console.readable == self._is_ready:
            return
        self._is_ready = not self._is_ready
        if self._is_ready:
            os.eventfd_write(self._ready, 1)
        else:
            os.eventfd_read(self._ready)


async def _next_event(events: AsyncGenerator[Happening, None]) -> Happening:
    return await anext(events)
