"""Clients at one console, for tests to wait on: what they do with the records is their own. A follower keeps all."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self, TypeVar

import virtmux
from tests.harness.guest import PROMPT, Guest
from virtmux import Attached, Break, Console, Ended, Gap, MarkMessage, Note, Output, Reason, Record

_Mark = TypeVar("_Mark", Attached, Ended, Break, Note)

#: How long anything may take on a slow and loaded machine, in seconds.
PATIENCE = 30.0


class Listener:
    """A client that takes all that it is given; `listening` has it do so."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Take records until the place ends."""
        async for record in self.console:
            self.take(record)
            self._news.set()

    def take(self, record: Record) -> None:
        """The next one."""
        raise NotImplementedError

    @property
    def so_far(self) -> str:
        """What came, for a person."""
        raise NotImplementedError

    async def until(self, true: Callable[[Self], object], seconds: float = PATIENCE) -> None:
        """Wait until something holds of what was received.

        Raises:
            TimeoutError: it never did; a note shows what came instead.
        """
        try:
            async with asyncio.timeout(seconds):
                while not true(self):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as error:
            error.add_note(self.so_far)
            raise

    async def until_attached(self) -> None:
        """Wait until the console is attached, as far as the records tell."""
        await self.until(lambda self: self.console.attachment is not None)


@asynccontextmanager
async def listening(*listeners: Listener) -> AsyncIterator[None]:
    """They take what comes, until the context is left."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each.run()) for each in listeners]
        try:
            yield
        finally:
            for each in running:
                each.cancel()


class Follower(Listener):
    """One that keeps all. Made by `follow`."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.records: list[Record] = []
        #: When each of them came, in seconds of the loop's clock.
        self.times: list[float] = []

    def take(self, record: Record) -> None:
        """Keep it."""
        self.records.append(record)
        self.times.append(self.loop.time())

    @property
    def so_far(self) -> str:
        """All of it."""
        return f"received: {self.records!r}"

    async def until_output(self, expected: bytes) -> None:
        """Wait until the output holds these bytes."""
        await self.until(lambda self: expected in self.output)

    async def until_last(self, expected: bytes) -> None:
        """Wait until a piece of the output ends with these bytes."""
        await self.until(lambda self: isinstance(self.records[-1], Output) and self.records[-1].data.endswith(expected))

    async def until_offset(self, offset: int) -> None:
        """Wait until the output has come to an offset."""
        await self.until(lambda self: self.console.position.offset >= offset)

    async def until_noted(self, note: str) -> None:
        """Wait for a note."""
        await self.until(lambda self: note in self.notes)

    async def until_ended(self) -> Reason:
        """Wait for the first `ended` mark, and give its Reason."""
        await self.until(lambda self: self.reasons)
        return self.reasons[0]

    async def write(self, text: bytes) -> None:
        """Send input; returns once the guest's serial line has taken it."""
        async with asyncio.timeout(PATIENCE):
            await self.console.write(text)

    async def echo(self, text: bytes) -> None:
        """Send input, and wait until the guest says it again."""
        seen = len(self.output)
        await self.write(text)
        await self.until(lambda self: text in self.output[seen:])

    async def press(self, key: bytes) -> None:
        """Send what may end the guest, without waiting for its fate."""
        await self.console.send(key)

    @property
    def output(self) -> bytes:
        """All bytes received."""
        return b"".join(record.data for record in self.records if isinstance(record, Output))

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """The offset ranges received, neighbours joined."""
        ranges: list[tuple[int, int]] = []
        for record in self.records:
            if isinstance(record, Output):
                start, end = record.offset, record.offset + len(record.data)
                if ranges and ranges[-1][1] == start:
                    start = ranges.pop()[0]
                ranges.append((start, end))
        return ranges

    def marks(self, kind: type[_Mark]) -> list[_Mark]:
        """The marks of one kind."""
        records = (record.record for record in self.records if isinstance(record, MarkMessage))
        return [record for record in records if isinstance(record, kind)]

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """The offset ranges that were named as gaps."""
        return [(record.offset, record.to_offset) for record in self.records if isinstance(record, Gap)]

    @property
    def notes(self) -> list[str]:
        """The names of the notes."""
        return [mark.note for mark in self.marks(Note)]

    @property
    def reasons(self) -> list[Reason]:
        """The Reason of every `ended` mark."""
        return [mark.reason for mark in self.marks(Ended)]


@asynccontextmanager
async def follow(
    socket: Path,
    domain: str,
    device: str | None = None,
    *,
    uri: str | None = None,
    position: str | None = None,
    replay: str | None = None,
    hold: bool = True,
    reconnect_for: float = 60.0,
) -> AsyncIterator[Follower]:
    """A follower of a console, on a connection of its own, until the context is left."""
    async with (
        virtmux.connect(socket, reconnect_for=reconnect_for) as mux,
        mux.attach(domain, device, uri=uri, position=position, replay=replay, hold=hold) as console,
    ):
        follower = Follower(console)
        async with listening(follower):
            yield follower


@asynccontextmanager
async def follow_all(socket: Path, places: Iterable[tuple[str, str]]) -> AsyncIterator[list[Follower]]:
    """A follower of each (domain, device), all on one connection and asked for at once, until the context is left."""
    async with virtmux.connect(socket) as mux, AsyncExitStack() as stack:
        attaching = [stack.enter_async_context(mux.attach(domain, device)) for domain, device in places]
        followers = [Follower(console) for console in await asyncio.gather(*attaching)]
        async with listening(*followers):
            yield followers


async def boot(guest: Guest, *clients: Follower, says: bytes = PROMPT) -> None:
    """Let a guest that was started paused run, and wait until these have heard it say this. One that runs before its
    console is held may say it to nobody."""
    for client in clients:
        await client.until_attached()
    await guest.resume()
    for client in clients:
        await client.until_output(says)
