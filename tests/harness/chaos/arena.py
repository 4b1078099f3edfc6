"""Where the chaos happens: a libvirtd, tickers, and a virtmuxd with a disk of its own; and what was done."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

import virtmux
from tests.harness.chaos.deeds import Deed, Kind, TurnedAway
from tests.harness.chaos.printed import Printed
from tests.harness.chaos.told import Heard
from tests.harness.daemon import Daemon
from tests.harness.follower import PATIENCE
from tests.harness.guest import Guest, ticker_guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.small_disk import SmallDisk
from tests.harness.watched_daemon import Census

#: Who come and go at the same time.
VISITORS = 3
#: So much more memory than at first the daemon may have at rest, in KiB: caches fill, the more the longer it lives.
GROWTH_KIB = 8192
#: In bytes. The first guest's ring is small: who reads slowly there has gaps, but no more is lost than that.
JOURNAL_SIZE, SMALL_RING, RING = 1 << 20, 1 << 17, 1 << 20
#: The journal's disk is never empty enough for the usual share.
CONFIG = """
attach = "always"
journal_free = 0
journal_size = {journal_size}
journal_total = 16777216
ring = {ring}

[[console]]
match = "{small}"
ring = {small_ring}
"""


@dataclass
class Ticker:
    """A guest, the file that it writes all it prints to, the size of its console's ring, and where in the file each of
    its runs began."""

    guest: Guest
    truth: Path
    ring: int
    runs: list[int] = field(default_factory=list)
    #: What visitors of its console were told.
    visitors: list[Heard] = field(default_factory=list)
    #: Held by whoever does something to it that takes a libvirtd.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def printed(self) -> Printed:
        """What it has printed until now."""
        return Printed(self.truth.read_bytes() if self.truth.exists() else b"", self.runs)

    def end(self) -> bytes:
        """The last bytes of that."""
        with self.truth.open("rb") as file:
            file.seek(max(0, self.truth.stat().st_size - 40))
            return file.read()

    async def start(self, *, paused: bool = False) -> None:
        """Begin another run."""
        self.runs.append(self.truth.stat().st_size if self.runs else 0)
        await self.guest.start(paused=paused)


class Stock(NamedTuple):
    """What the daemon has; memory in KiB, without what it shares with files."""

    census: Census
    memory: int

    def with_timers(self, more: int) -> "Stock":
        """The same with so many timers more."""
        held = self.census.held
        return self._replace(census=self.census._replace(held={**held, "timers": held["timers"] + more}))

    def more_than(self, first: "Stock") -> list[str]:
        """What there is more of than at first, in words; of memory, much more."""
        more: dict[str, int] = self.census.more_than(first.census)
        if (grown := self.memory - first.memory) > GROWTH_KIB:
            more["KiB of memory"] = grown
        return [f"the daemon has more than at first: {more}, {self.census.grown(first.census)}"] if more else []


class Arena:
    """See the module. `deeds` is what was done so far, `turned_away` who was."""

    def __init__(
        self,
        directory: Path,
        libvirtd: Libvirtd,
        disk: SmallDisk,
        guests: int,
        seed: int,
        *,
        others: Sequence[str] = (),
    ) -> None:
        """`others` are URIs of hypervisors to which nothing is done."""
        self.libvirtd = libvirtd
        self.disk = disk
        self.deeds: list[Deed] = []
        self.turned_away: list[TurnedAway] = []
        #: Held by whoever ends the daemon, has it take nobody in, or has libvirtd hang: see `until_nothing_opens`.
        self.awake = asyncio.Lock()
        made = [directory / f"printed-{number}" for number in range(guests)]
        for truth in made:
            truth.touch()  # libvirt would make it for root alone
        rings = [SMALL_RING, *[RING] * (guests - 1)]
        self.tickers = [
            Ticker(ticker_guest(libvirtd, truth), truth, ring) for truth, ring in zip(made, rings, strict=True)
        ]
        small = self.tickers[0].guest.name
        self.config = CONFIG.format(journal_size=JOURNAL_SIZE, ring=RING, small=small, small_ring=SMALL_RING)
        self.mux = Daemon(
            [libvirtd.uri, *others],
            config=self.config,
            journal=disk.journal,
            watched=True,
        )
        #: A visitor has one of these while it is there.
        self.chairs = asyncio.Semaphore(VISITORS)
        #: What the daemon was seen to have, at rest, more than at first.
        self.leaks: list[str] = []
        self._first: Stock | None = None
        self._seed = seed
        self._loop = asyncio.get_running_loop()

    def chance(self, whose: str) -> Random:
        """What somebody draws alone: whatever the others do, it is the same for a seed."""
        return Random(f"{self._seed} {whose}")

    @property
    def names(self) -> list[str]:
        """The guests' names."""
        return [ticker.guest.name for ticker in self.tickers]

    @contextmanager
    def deed(self, kind: Kind, to: Ticker | None = None) -> Iterator[None]:
        """It is done until the context is left, to one guest or to all. To be entered once nothing has to be waited for
        first: what is told before does not come of it."""
        guests = frozenset(self.names if to is None else [to.guest.name])
        deed = Deed(kind, guests, self._loop.time())
        self.deeds.append(deed)
        try:
            yield
        finally:
            deed.over = self._loop.time()

    @asynccontextmanager
    async def host(self) -> AsyncIterator[None]:
        """None of us asks libvirtd for anything."""
        async with AsyncExitStack() as stack:
            for ticker in self.tickers:
                await stack.enter_async_context(ticker.lock)
            yield

    @asynccontextmanager
    async def rest(self) -> AsyncIterator[None]:
        """No visitor is there, none of us asks libvirtd for anything, and no console is being opened or let go."""
        async with AsyncExitStack() as stack:
            for _ in range(VISITORS):
                await stack.enter_async_context(self.chairs)
            await stack.enter_async_context(self.host())
            await self.until_nothing_opens()
            yield

    async def take_stock(self, *, passing: int = 0) -> None:
        """Hold what the daemon has, at rest, against what it had the first time, when no guest had printed yet. So many
        timers may pass by themselves: where guests print some always do."""
        first = self._first
        if first is None:
            self._first = Stock(await self.mux.watch.census(), self.mux.anonymous_kib)
            return
        first = first.with_timers(passing)
        self.leaks += Stock(await self.mux.watch.settled(first.census), self.mux.anonymous_kib).more_than(first)

    async def until_nothing_opens(self) -> None:
        """Wait until the daemon is opening no console. Where libvirtd hangs while one is opened, and who asked for it
        is gone before the answer, libvirt holds the console for nobody, for ever (docs/libvirt.md, "The cut")."""
        async with asyncio.timeout(PATIENCE), virtmux.connect(self.mux.socket) as client:
            while any(each.state in ("opening", "ending") for each in await client.consoles()):
                await asyncio.sleep(0.05)


async def moment(chance: Random, longest: float = 1.5) -> None:
    """Wait for some time, at most so many seconds."""
    await asyncio.sleep(chance.uniform(0.05, longest))
