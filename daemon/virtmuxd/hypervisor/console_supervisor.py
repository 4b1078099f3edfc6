"""The supervisor of one console: carries out what its state machine asks for, and tells it what came of it.

It owns the console's connection and stream (new ones for every attachment), its timers and its tasks. This is the
failure boundary of a console: a bug in here ends this console's attachment, and nobody else's.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never

from virtmux.messages import State
from virtmux.reasons import Cause, LibvirtEvent, Phase
from virtmuxd.core.console import Console
from virtmuxd.core.events import (
    Answered,
    Cleaned,
    ClearTimer,
    Close,
    Command,
    Elapsed,
    Event,
    Failed,
    Open,
    Opened,
    OpenFailed,
    Query,
    SetTimer,
    Timer,
)
from virtmuxd.core.evidence import Failure
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.connection import Connection, Workers
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed
from virtmuxd.hypervisor.inventory import stopped_how
from virtmuxd.hypervisor.stream import ConsoleStream

_log = logging.getLogger(__name__)

#: What is sent to libvirt with one call, in bytes; a PTY takes some 13 KB before it blocks.
_PIECE = 4096


@dataclass(frozen=True, slots=True)
class Link:
    """How to reach a hypervisor: its URI, the event bridge, its worker threads, and the deadline of a call (s)."""

    uri: str
    bridge: EventBridge
    workers: Workers
    deadline: float

    async def connect(self) -> Connection:
        """A new connection.

        Raises:
            CallFailed, DeadlineMissed: as `Connection.open`.
        """
        return await Connection.open(self.uri, self.bridge, self.workers, self.deadline)


class ConsoleSupervisor:
    """See the module. `run` is its life; events from the hypervisor come in by `post`."""

    def __init__(self, console: Console, link: Link, retire: "Callable[[ConsoleSupervisor], None]") -> None:
        """`retire` is called when the console has vanished and nobody has a place at it any more."""
        self.console = console
        self._link = link
        self._retire = retire
        self._work: asyncio.Queue[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._stream: ConsoleStream | None = None
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._sending = False
        console.run = self._carry_out
        console.input_waits = self._send_input

    def post(self, event: Event) -> None:
        """Tell the console what happened. On the loop's thread."""
        try:
            self.console.handle_event(event)
        except Exception:  # noqa: BLE001  # the failure boundary of a console
            _log.exception("a bug in a console", extra=self._about())

    async def run(self) -> None:
        """Serve the console until cancelled; then let go of it, in order."""
        try:
            while True:
                try:
                    async with asyncio.TaskGroup() as tasks:
                        while True:
                            name, work = await self._work.get()
                            tasks.create_task(work(), name=name)
                except* Exception:  # noqa: BLE001  # the failure boundary of a console
                    _log.exception("a bug in the supervisor of a console", extra=self._about())
                    self._sending = False
                    self._loop.call_soon(self.post, self._bug())
        finally:
            for timer in self._timers.values():
                timer.cancel()
            if self._stream is not None:
                await self._stream.close()

    def _bug(self) -> Event:
        now = time.time_ns()
        match self.console.machine.state:
            case State.OPENING:
                return OpenFailed(now, cause=Cause.INTERNAL_ERROR)
            case State.ENDING:
                return Cleaned(now)
            case _:
                return Failed(Failure(Phase.SERVER, now, lost=Cause.INTERNAL_ERROR))

    def _about(self) -> dict[str, object]:
        key = self.console.key
        return {"hypervisor": key.hypervisor, "domain": self.console.naming.domain, "device": key.device}

    def _start(self, work: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Have `work` done by a task of this console."""
        name = f"{work.__name__} {self.console.naming.domain}:{self.console.key.device}"
        self._work.put_nowait((name, partial(work, *args)))

    # Commands.

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Open():
                    self._start(self._open)
                case Close():
                    self._start(self._close, self._stream)
                    self._stream = None
                case Query(attachment):
                    self._start(self._query, attachment)
                case SetTimer(timer, seconds):
                    self._clear(timer)
                    self._timers[timer] = self._loop.call_later(seconds, self._elapsed, timer)
                case ClearTimer(timer):
                    self._clear(timer)
                case _:
                    assert_never(command)
        if self.console.forsaken:
            self._loop.call_soon(self._retire, self)

    def _clear(self, timer: Timer) -> None:
        handle = self._timers.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def _elapsed(self, timer: Timer) -> None:
        self._timers.pop(timer, None)
        self.post(Elapsed(time.time_ns(), timer))

    async def _open(self) -> None:
        try:
            connection = await self._link.connect()
            try:
                await connection.watch_close(self._connection_lost)
                key = self.console.key
                stream = await ConsoleStream.open(connection, key.uuid, key.device)
            except BaseException:
                await connection.close()
                raise
        except CallFailed as failed:
            self.post(OpenFailed(time.time_ns(), failed.error))
        except DeadlineMissed:
            self.post(OpenFailed(time.time_ns(), cause=Cause.HYPERVISOR_TIMEOUT))
        else:
            self._stream = stream
            self.post(Opened(time.time_ns(), stream.running_id))
            if self._stream is stream:
                stream.start(self._received, self._ended)

    async def _close(self, stream: ConsoleStream | None) -> None:
        errors = await stream.close() if stream is not None else ()
        self.post(Cleaned(time.time_ns(), errors))

    async def _query(self, attachment: int) -> None:
        """Ask how the domain stands, on a connection of its own: the console's may be what is sick."""
        stopped: LibvirtEvent | None = None
        try:
            connection = await self._link.connect()
            try:
                domain = await connection.call(
                    "virDomainLookupByUUIDString", connection.handle.lookupByUUIDString, self.console.key.uuid
                )
                stopped = stopped_how(*await connection.call("virDomainGetState", domain.state))
            finally:
                await connection.close()
        except (CallFailed, DeadlineMissed):
            _log.info("the state of a domain cannot be asked for", extra=self._about())
        self.post(Answered(time.time_ns(), attachment, stopped))

    # What the stream and its connection bring.

    def _received(self, pieces: list[bytes], at: int) -> None:
        try:
            for piece in pieces:
                self.console.append(piece, at)
            self.console.sequence.publish()
        except Exception:  # noqa: BLE001  # the failure boundary of a console
            _log.exception("a bug in a console", extra=self._about())
            self._loop.call_soon(self.post, Failed(Failure(Phase.RECEIVE, at, lost=Cause.INTERNAL_ERROR)))

    def _ended(self, failure: Failure) -> None:
        self.post(Failed(failure))

    def _connection_lost(self, cause: Cause) -> None:
        self.post(Failed(Failure(Phase.CONNECTION, time.time_ns(), lost=cause)))

    # Input.

    def _send_input(self) -> None:
        if not self._sending and self._stream is not None:
            self._sending = True
            self._start(self._send_all, self._stream)

    async def _send_all(self, stream: ConsoleStream) -> None:
        """Send what is queued, until nothing is, or the attachment is over."""
        attachment = self.console.machine.attachment
        try:
            while self._stream is stream and (data := self.console.inputs.take(_PIECE)):
                while data:
                    data = data[await stream.send(data) :]
                self.console.inputs.sent(attachment)
        except CallFailed as failed:
            self._sending_failed(stream, Failure(Phase.SEND, time.time_ns(), failed.error))
        except DeadlineMissed:
            self._sending_failed(stream, Failure(Phase.SEND, time.time_ns(), lost=Cause.HYPERVISOR_TIMEOUT))
        finally:
            self._sending = False
        if self.console.inputs.waiting:
            self._send_input()

    def _sending_failed(self, stream: ConsoleStream, failure: Failure) -> None:
        if self._stream is stream:
            self.post(Failed(failure))
