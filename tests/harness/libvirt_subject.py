"""A guest with a console at some libvirt, real or fake, to which the behaviours of `libvirt_behaviours.py` are put."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, NamedTuple, Protocol

import libvirt
import libvirtmod

from tests.harness.turns import turns, until

#: What a console's stream says where it has nothing now.
NOTHING = -2
READABLE = libvirt.VIR_STREAM_EVENT_READABLE
ERROR = libvirt.VIR_STREAM_EVENT_ERROR
#: As `ConsoleStream` asks for them.
_EVENTS = READABLE | ERROR | libvirt.VIR_STREAM_EVENT_HANGUP

#: Code and domain of libvirt's error, as docs/libvirt.md writes them, and its text.
Failed = tuple[int, int, str]


def failure(call: Callable[..., object], *arguments: object) -> Failed | None:
    """What libvirt says why a call fails; None where it does not. Of the exception nothing is left: the frames in its
    traceback hold libvirt's objects."""
    try:
        call(*arguments)
    except libvirt.libvirtError as error:
        return error.err[:3] if error.err is not None else (-1, 0, str(error))
    return None


class Call(NamedTuple):
    """A call of a stream's callback: the events that it was told, and the thread that it was in."""

    events: int
    thread: int


class Ear:
    """Is called for a stream's events, as `ConsoleStream` is. It takes what there is, unless told not to, and stays at
    the end; at an error it leaves, since libvirt closes the file of a local stream, watched or not."""

    def __init__(self, stream: Any, *, takes: bool = True) -> None:
        self.stream = stream
        self.takes = takes
        self.output = b""
        self.ends = 0
        self.failed: Failed | None = None
        self.calls: list[Call] = []
        self._opaque: dict[str, object] = {"stream": self}

    def listen(self) -> int:
        """Gives what libvirt gives: -1 where it fails."""
        added: int = libvirtmod.virStreamEventAddCallback(self.stream._o, _EVENTS, self._opaque)
        return added

    def _dispatchStreamEventCallback(self, events: int, _opaque: object) -> int:  # noqa: N802  # the binding's name
        self.calls.append(Call(events, threading.get_ident()))
        if self.takes:
            self.failed = failure(self._take)
        if self.failed is not None or events & ERROR:
            self.stream.eventRemoveCallback()
        return 0

    def _take(self) -> None:
        data = self.stream.recv(65536)
        if data == b"":
            self.ends += 1
        elif data != NOTHING:
            self.output += data

    def leave(self) -> None:
        """Hear no more; and nothing that was libvirt's refers to the stream any more."""
        with suppress(libvirt.libvirtError):
            self.stream.eventRemoveCallback()

    def forget(self) -> None:
        """Refer to the stream no more; not while it is being told something."""
        self._opaque.clear()
        self.stream = None


class Tell(Protocol):
    """Types at a domain's guest, past libvirt."""

    def __call__(self, domain: Any, data: bytes) -> None: ...


class Subject:
    """See the module. The guest greets as it starts, and then says each line again that it is told.

    `remote`: libvirt is another process, and all goes over RPC; else its driver works in this one. `exclusive`: the
    driver gives a console to one client at a time and knows force, as QEMU's does and that of containers does not.
    """

    def __init__(
        self,
        connect_to_cut: Callable[[], tuple[Any, Callable[[], None]]],
        uuid: str,
        tell: Tell,
        greeting: bytes,
        *,
        remote: bool,
        exclusive: bool,
    ) -> None:
        """`connect_to_cut` gives a connection and how it is cut at its socket. It is called sparingly: a process may
        open `qemu:///embed` 16 times in its life."""
        self.connect_to_cut = connect_to_cut
        self.remote, self.exclusive = remote, exclusive
        self.uuid = uuid
        self.device = "serial0" if exclusive else "console0"
        #: Two connections, for whatever leaves them as they are.
        self.ours, self.theirs = self.connect(), self.connect()
        self.domain: Any = self.ours.lookupByUUIDString(uuid)
        self._tell = tell
        self._greeting = greeting
        self._words = count()

    def connect(self) -> Any:
        """A connection of one's own."""
        return self.connect_to_cut()[0]

    async def set(self, *, running: bool) -> None:
        """Have the guest run, or not."""
        if running:
            await self.running()
        elif self.domain.isActive():
            await asyncio.to_thread(self.domain.destroy)

    async def running(self) -> None:
        """Have the guest run."""
        if self.domain.isActive():
            return
        if self.exclusive:  # else what it says before somebody listens would be lost
            await asyncio.to_thread(self.domain.createWithFlags, libvirt.VIR_DOMAIN_START_PAUSED)
        else:
            await asyncio.to_thread(self.domain.create)
        async with self.open() as stream:
            if self.exclusive:
                await asyncio.to_thread(self.domain.resume)
            await self._until_said(stream, self._greeting)

    def say(self, line: bytes) -> None:
        """Have the guest say a line."""
        self._tell(self.domain, line)

    def opened(self, connection: Any, device: str | None = None, *, force: bool = False) -> Any:
        """A console, opened over a connection as `ConsoleStream` does it. It blocks."""
        stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        flags = libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else 0
        connection.lookupByUUIDString(self.uuid).openConsole(device or self.device, stream, flags)
        return stream

    @asynccontextmanager
    async def open(self, connection: Any = None, *, force: bool = False) -> AsyncIterator[Any]:
        """The guest's console, until the context is left."""
        stream = await asyncio.to_thread(lambda: self.opened(connection or self.ours, force=force))
        try:
            yield stream
        finally:
            await asyncio.to_thread(failure, stream.abort)

    @asynccontextmanager
    async def listening(self, connection: Any = None, *, takes: bool = True) -> AsyncIterator[Ear]:
        """Somebody who listens to the guest, and who has heard all that it said so far."""
        async with self.open(connection) as stream:
            await self.hear_out(stream)
            ear = Ear(stream, takes=takes)
            assert ear.listen() == 0
            try:
                yield ear
            finally:
                ear.leave()
                await turns()
                ear.forget()

    async def hear_out(self, stream: Any) -> None:
        """Take all that the guest has said, up to a line that it says now."""
        line = b"this is line %d.\n" % next(self._words)
        self.say(line)
        await self._until_said(stream, line)

    async def _until_said(self, stream: Any, last: bytes) -> None:
        said = bytearray()

        def take() -> bool:
            data = stream.recv(65536)
            said.extend(b"" if data == NOTHING else data)
            return said.endswith(last)

        await until(take)

    def close(self) -> None:
        """The guest was looked at long enough."""
        self.domain = None
        self.ours.close()
        self.theirs.close()


class Behaviour(NamedTuple):
    """What is put to a subject, where its guest runs or does not, and to which subjects; None: it does not matter.

    `behind_the_end`: it sends input to a guest that has ended (`libvirtd.dies_of_input_behind_the_end`).
    """

    play: Callable[[Subject], Awaitable[None]]
    running: bool
    remote: bool | None
    exclusive: bool | None
    behind_the_end: bool


class Behaviours(dict[str, Behaviour]):
    """Behaviours by their names."""

    def add(
        self,
        *,
        running: bool = True,
        remote: bool | None = None,
        exclusive: bool | None = None,
        behind_the_end: bool = False,
    ) -> Callable[[Callable[[Subject], Awaitable[None]]], None]:
        """Decorates what is played; it is named after that."""

        def add(play: Callable[[Subject], Awaitable[None]]) -> None:
            self[play.__name__] = Behaviour(play, running, remote, exclusive, behind_the_end)

        return add

    def of(self, *, remote: bool, exclusive: bool) -> "Behaviours":
        """Those that such a subject shows."""
        return Behaviours(
            (name, each)
            for name, each in self.items()
            if each.remote in (None, remote) and each.exclusive in (None, exclusive)
        )
