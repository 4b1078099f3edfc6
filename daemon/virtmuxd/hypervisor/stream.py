"""A console's stream: opened, without FORCE unless a person said so, drained on the loop, its end told once.

This is the one file that touches `libvirtmod`. libvirt-python's `virStream.eventAddCallback` hands libvirt a reference
to the stream that the remote driver never gives back, so each would live for ever, with its connection. A dict of our
own, emptied when the callback is removed, keeps nothing alive (docs/libvirt.md, "The binding").
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import libvirt
import libvirtmod

from virtmux.reasons import Phase, SavedError
from virtmuxd.core.evidence import Failure
from virtmuxd.hypervisor.connection import Connection
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed, named, save, unreadable

_log = logging.getLogger(__name__)

#: Seconds for the abort of a stream, and as many for closing its connection. After a takeover libvirtd may answer
#: neither, and why a console ended is found out only once it is let go.
_LET_GO = 2.0
#: What one console may take of a turn of the loop, in bytes.
_TURN = 262144
#: Bytes asked for at first, and once that was not enough: the binding allocates and clears what is asked for.
_FIRST, _THEN = 2048, 65536
#: A console floods if so many bytes come at once, or any within so many nanoseconds of the last and not as an echo: a
#: container's packets are of a kilobyte, those of an emulated serial port of a few bytes.
_MUCH, _SOON = 1024, 1_000_000
#: Then its connection rests for so many seconds, so that many packets share a turn of the loop; the socket holds them.
_REST = 0.001
_WOULD_BLOCK = -2
_EVENTS = libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP

if not hasattr(libvirtmod, "virStreamEventAddCallback"):
    raise ImportError("this libvirt-python has no libvirtmod.virStreamEventAddCallback; virtmux needs 9.0 or newer")


class ConsoleStream:
    """An open console. Make it with `open`, then `start` it on the loop; `close` it in any case."""

    def __init__(self, connection: Connection, stream: Any, running_id: int) -> None:
        self.running_id = running_id
        self._connection = connection
        self._stream = stream
        self._opaque: dict[str, object] = {}
        self._on_output: Callable[[list[bytes], int], None] = _ignore_output
        self._on_end: Callable[[Failure], None] = _ignore_end
        self._loop = asyncio.get_running_loop()
        self._sending = False
        #: When there was output last (monotonic, ns), and whether what comes now may be an echo.
        self._received_at = 0
        self._typed = False

    @classmethod
    async def open(cls, connection: Connection, uuid: str, device: str, *, force: bool = False) -> "ConsoleStream":
        """Open `device` of the running domain over `connection`; by `force`, whoever has it loses it.

        Raises:
            CallFailed, DeadlineMissed: as `Connection.call`.
        """
        flags = libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else 0
        stream, running_id = await connection.call(
            "virDomainOpenConsole", _open, connection.libvirt, uuid, device, flags, dropped=_abort
        )
        return cls(connection, stream, running_id)

    @property
    def shared(self) -> bool:
        """Whether its connection carries other consoles too."""
        return self._connection.shared

    def start(self, on_output: Callable[[list[bytes], int], None], on_end: Callable[[Failure], None]) -> None:
        """Begin to receive.

        Args:
            on_output: called with all pieces that one turn brought, at most 256 KiB, and the time (ns).
            on_end: called once, on a later turn than the output, when the stream is over.
        """
        self._on_output = on_output
        self._on_end = on_end
        self._opaque["stream"] = self
        added = libvirtmod.virStreamEventAddCallback(self._stream._o, _EVENTS, self._opaque)  # noqa: SLF001
        if added == -1:
            self._finish(self._last_error("virStreamEventAddCallback"))

    def _dispatchStreamEventCallback(self, events: int, _opaque: dict[str, object]) -> int:  # noqa: N802
        """Called by libvirt's Python binding, under this name, for each event of the stream."""
        if events & libvirt.VIR_STREAM_EVENT_ERROR:
            # Never over RPC: it comes in the thread of whoever takes the console, and behind it nobody may listen any
            # more (docs/libvirt.md, "A driver in the process").
            self._finish(unreadable("libvirt has closed the stream", "virStreamRecv"))
            return 0
        pieces: list[bytes] = []
        size = 0
        try:
            room = _FIRST
            while size < _TURN:
                data = self._stream.recv(min(room, _TURN - size))
                if data == _WOULD_BLOCK:
                    break
                if not data:
                    self._finish(None)
                    break
                pieces.append(data)
                size += len(data)
                if len(data) < room:
                    break
                room = _THEN
        except libvirt.libvirtError as error:
            self._finish(save(error, "virStreamRecv"))
        if pieces:
            self._rest_if_flooding(size)
            self._on_output(pieces, time.time_ns())
        return 0

    def _rest_if_flooding(self, size: int) -> None:
        """Output of so many bytes came: let the connection rest if that is part of a flood."""
        before, self._received_at = self._received_at, time.monotonic_ns()
        if size >= _MUCH or (self._received_at - before < _SOON and not self._typed):
            self._connection.rest(_REST)
        self._typed = False

    def _last_error(self, api: str) -> SavedError:
        return save(libvirt.libvirtError(f"{api}() failed"), api)

    def _finish(self, error: SavedError | None) -> None:
        """The end of the stream: the error is saved, the callback removed, the rest is decided elsewhere."""
        self._remove_callback()
        self._loop.call_soon_threadsafe(self._on_end, Failure(Phase.RECEIVE, time.time_ns(), error))

    def stop(self) -> None:
        """Receive no more, and tell nothing more. Local, so it may be done on the loop."""
        self._remove_callback()
        self._on_output = _ignore_output
        self._on_end = _ignore_end

    def _remove_callback(self) -> None:
        """Hear no more of the stream: after its end a 0 ms timer would spin."""
        if self._opaque:
            with suppress(libvirt.libvirtError):
                self._stream.eventRemoveCallback()
            # Not within this dispatch: the binding still uses the dict.
            self._loop.call_soon_threadsafe(self._opaque.clear)

    async def send(self, packets: Sequence[bytes], fence: int) -> None:
        """Give packets to libvirt, and then, where `fence` is not 0, a fence of so many empty packets.

        Without a fence it returns once they are on the way. With one it returns once they are in the guest's serial
        line, which takes as long as the guest takes no input; and never, where libvirt serves the stream no more.

        Raises:
            CallFailed: as `Connection.send`.
        """
        self._sending = self._typed = True
        try:
            await self._connection.send(_send, self._connection.libvirt, self._stream, packets, fence)
        finally:
            self._sending = False

    def can_send_at_once(self) -> bool:
        """Whether `send_at_once` would not wait now: as `Link.can_send_at_once`."""
        return self._connection.can_send_at_once()

    def send_at_once(self, packets: Sequence[bytes]) -> None:
        """Give a few packets to libvirt, on the loop's thread: only where `can_send_at_once` has just said so, with no
        `await` in between.

        Raises:
            CallFailed: as `Connection.send`.
        """
        self._typed = True
        _send(self._connection.libvirt, self._stream, packets, 0)

    async def close(self) -> tuple[SavedError, ...]:
        """Abort the stream and close its connection; gives what failed meanwhile.

        After an end of stream too: without it the console stays active in libvirtd. A connection of its own with
        input that the guest does not take can only be cut; on a shared one sending has a deadline, and comes first.
        """
        self.stop()
        self._connection.hurry(_LET_GO)
        errors: list[SavedError] = []
        try:
            if self._sending and not self.shared:
                self._connection.cut()  # libvirtd drops the stream with its connection
            else:
                await self._connection.call("virStreamAbort", self._stream.abort)
        except CallFailed as failed:
            errors.append(failed.error)
        except DeadlineMissed:
            _log.warning("a console's stream could not be aborted in time; its connection was cut")
        finally:
            self._stream = None
            await self._connection.close()
        return tuple(errors)


def _open(connection: Any, uuid: str, device: str, flags: int) -> tuple[Any, int]:
    """In a worker thread: open the console, sure of which start of the domain it belongs to.

    The running id is looked up before and after: the domain may have been started anew in between.
    """
    while True:
        with named("virDomainLookupByUUIDString"):
            domain = connection.lookupByUUIDString(uuid)
        with named("virStreamNew"):
            stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        with named("virDomainOpenConsole"):
            domain.openConsole(device, stream, flags)
        with named("virDomainLookupByUUIDString"):
            running_id: int = connection.lookupByUUIDString(uuid).ID()
        if running_id == domain.ID():
            return stream, running_id
        with named("virStreamAbort"):
            stream.abort()


def _abort(opened: tuple[Any, int]) -> None:
    """In a worker thread: nobody waits for what was opened."""
    stream, _ = opened
    with named("virStreamAbort"):
        stream.abort()


def _send(connection: Any, stream: Any, packets: Sequence[bytes], fence: int) -> None:
    """In a worker thread, or on the loop where that does not wait.

    The fence: libvirtd serves a stream's packets in order, and answers no call as long as it has too many requests of a
    connection unserved (docs/libvirt.md, "The fence")."""
    with named("virStreamSend"):
        for packet in packets:
            sent = 0
            while sent < len(packet):
                count = stream.send(packet[sent:])
                if count <= 0:  # never over RPC, where a send blocks
                    raise RuntimeError(f"virStreamSend returned {count}")
                sent += count
        for _ in range(fence):
            stream.send(b"")
    if fence:
        with named("virConnectGetLibVersion"):
            connection.getLibVersion()


def _ignore_output(_pieces: list[bytes], _at: int) -> None:
    """Before the start nothing is received."""


def _ignore_end(_failure: Failure) -> None:
    """After the close the end is no news."""
