"""Who comes and goes while the faults happen: a resident at each console who hears and types all the time, visitors who
stay a while, and some who do not read."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random

import virtmux
from tests.harness.chaos.arena import Arena, Ticker, moment
from tests.harness.chaos.deeds import TurnedAway, Typed
from tests.harness.chaos.printed import came_in
from tests.harness.chaos.told import Heard
from tests.harness.follower import Listener, listening
from virtmux import Attached, Console, Gap, MarkMessage, Output, Position, Record
from virtmux.messages import Attach, ClientHello, Goodbye, Lag, Place, PlaceEnded, Refused, encode
from virtmux.session import ClientSession

#: How a visitor begins.
REPLAYS = ("none", "bytes:65536", "boot", "all")
#: Has a ticker print 16384 lines at once.
FLOOD = b"\x06"
#: Long enough for every visit, in seconds.
VISIT_S = 45.0
#: What comes next for who reads nothing: a gap.
LAG = Lag(65536, 0.5)


class Witness(Listener):
    """A client at a console of whom the oracle is told all that it was given, and when."""

    def __init__(self, who: str, console: Console) -> None:
        super().__init__(console)
        self.heard = Heard(who, console.position)
        #: The number of the mark by which the console was attached last.
        self.attached_by = 0

    def take(self, record: Record) -> None:
        """Keep it."""
        self.heard.records.append((self.loop.time(), record))
        if isinstance(record, MarkMessage) and isinstance(record.record, Attached):
            self.attached_by = record.mark

    async def until_output(self, end: bytes) -> None:
        """Wait until these are among the last bytes of the output. Raises TimeoutError."""
        await self.until(lambda self: end in self.last_output)

    @property
    def so_far(self) -> str:
        """The last that came."""
        last = [f"{at:.1f} {record}"[:400] for at, record in self.heard.records[-6:]]
        domain = self.console.place.info.id.domain
        return "\n".join([f"at {self.loop.time():.1f}, from {domain}, last heard:", *last])

    @property
    def last_output(self) -> bytes:
        """Some of the output, up to its last byte."""
        last: list[bytes] = []
        for _, record in reversed(self.heard.records):
            if isinstance(record, Output):
                last.append(record.data)
                if sum(map(len, last)) > 1024:
                    break
        return b"".join(reversed(last))


class Resident(Witness):
    """One that also types: tokens, each another; and now and then a flood is asked for."""

    def __init__(self, who: str, console: Console) -> None:
        super().__init__(who, console)
        self.typed: list[Typed] = []

    async def type(self, chance: Random, over: asyncio.Event) -> None:
        """Type one token after the other, until it is over."""
        while not over.is_set():
            await moment(chance, 1.0)
            with suppress(virtmux.VirtmuxError):
                await (self.console.send(FLOOD) if chance.random() < 0.05 else self.say())

    async def say(self) -> bytes:
        """Type one token, and give it. Raises VirtmuxError where it could not be sent."""
        token = b"%d" % len(self.typed)
        self.typed.append(Typed(token, self.attached_by))
        await self.console.send(b"(%b)" % token)
        return token

    async def is_heard(self, seconds: float) -> None:
        """Wait until the guest says a token that was typed. One that goes to a stream that has died in silence is lost:
        type until one is said. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while True:
                with suppress(virtmux.VirtmuxError, TimeoutError):
                    await self._until_said(await self.say())
                    return
                await asyncio.sleep(0.1)

    async def _until_said(self, token: bytes) -> None:
        await self.until(lambda self: came_in(self.last_output).endswith(b"(%b)" % token), 3.0)


@asynccontextmanager
async def resident(path: Path, ticker: Ticker) -> AsyncIterator[Resident]:
    """One at the ticker's console, from its first byte on, until the context is left."""
    async with (
        virtmux.connect(path, reconnect_for=120) as mux,
        mux.attach(ticker.guest.name, replay="all") as console,
    ):
        one = Resident("resident", console)
        async with listening(one):
            yield one


async def visit(arena: Arena, chance: Random, over: asyncio.Event) -> None:
    """Come to some console, stay a while, and go; again and again, until it is over."""
    loop = asyncio.get_running_loop()
    while not over.is_set():
        await moment(chance)
        ticker = chance.choice(arena.tickers)
        if chance.random() < 1 / 3:
            who, stay = "visitor who overslept", partial(_oversleep, arena, ticker, chance.uniform(0.05, 6.0))
        else:
            replay, seconds = chance.choice(REPLAYS), chance.uniform(0.1, 5.0)
            who, stay = "visitor", partial(_listen, arena, ticker, replay, seconds)
        async with arena.chairs:
            came = loop.time()
            try:
                async with asyncio.timeout(VISIT_S):
                    await stay()
            except (virtmux.VirtmuxError, OSError) as error:
                stuck = isinstance(error, TimeoutError)
                arena.turned_away.append(TurnedAway(who, came, loop.time(), repr(error), stuck))


async def _listen(arena: Arena, ticker: Ticker, replay: str, seconds: float) -> None:
    async with (
        virtmux.connect(arena.mux.socket, reconnect_for=10) as mux,
        mux.attach(ticker.guest.name, replay=replay) as console,
    ):
        one = Witness(f"visitor ({replay})", console)
        ticker.visitors.append(one.heard)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await one.run()
                raise ConnectionAbortedError(one.heard.records[-1])


async def _oversleep(arena: Arena, ticker: Ticker, seconds: float) -> None:
    """On a bare socket, which the library would read all the time: for so long nothing is read."""
    loop, session = asyncio.get_running_loop(), ClientSession()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.setblocking(False)
        connection.connect(str(arena.mux.socket))
        attach = Attach(session.next_id(), ticker.guest.name, lag=LAG)
        await loop.sock_sendall(connection, encode(ClientHello()) + encode(attach))
        one: Heard | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as staying:
                while data := await loop.sock_recv(connection, 65536):
                    for said in session.receive(data):
                        match said:
                            case Place():
                                one = Heard("visitor who overslept", Position.parse(said.position))
                                ticker.visitors.append(one)
                                await asyncio.sleep(seconds)
                                staying.reschedule(loop.time() + 4.0)
                            case Output() | MarkMessage() | Gap() if one is not None:
                                one.records.append((loop.time(), said))
                            case Refused(reason=reason) | PlaceEnded(reason=reason) | Goodbye(reason=reason):
                                raise virtmux.VirtmuxError(reason)
                            case _:
                                pass
                raise ConnectionAbortedError("without a word")
