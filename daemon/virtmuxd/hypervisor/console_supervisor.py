"""The supervisor of one console: carries out what its state machine asks for, and tells it what came of it.

It owns the console's connection and stream (new ones for every attachment), its timers and its tasks. This is the
failure boundary of a console: a bug in here, or in the console itself, which reports it, ends this console's
attachment, and nobody else's.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, assert_never

from virtmux.messages import State
from virtmux.reasons import Cause, LibvirtEvent, Phase
from virtmuxd.core.console import Console
from virtmuxd.core.effects import ClearTimer, Close, Command, Open, Query, SetTimer
from virtmuxd.core.events import Answered, Cleaned, Elapsed, Event, Failed, Opened, OpenFailed, Timer
from virtmuxd.core.evidence import Failure, connection_cause
from virtmuxd.core.inputs import Batch
from virtmuxd.core.log_fields import of_console
from virtmuxd.hypervisor.cancelled import go_on_being_cancelled
from virtmuxd.hypervisor.connection import Connection, Route
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed
from virtmuxd.hypervisor.inventory import look_up
from virtmuxd.hypervisor.opener import OpenConsole, Opener
from virtmuxd.hypervisor.stream import ConsoleStream

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fence:
    """How long an answer may take, in seconds, and of how many empty packets it consists: the `max_client_requests` of
    libvirtd, or more.

    A fence behind input waits for a guest that is slow to take it; libvirtd itself ends a connection on which it waits
    for longer than 30 s, and gives the console free only then, so we have a little more `patience` than that.
    """

    deadline: float
    packets: int
    patience: float


class ConsoleSupervisor:
    """See the module. `run` is its life; events from the hypervisor come in by `post`."""

    def __init__(
        self,
        console: Console,
        route: Route,
        fence: Fence,
        *,
        retired: "Callable[[ConsoleSupervisor], None]",
        departed: "Callable[[ConsoleSupervisor], None]",
    ) -> None:
        """`retired` is called when the console has vanished and nobody has a place at it any more, `departed` when it
        went to another hypervisor with its guest."""
        self.console = console
        self._route = route
        self._fence = fence
        self._retired = retired
        self._departed = departed
        self._work: asyncio.Queue[tuple[str, Callable[[], Coroutine[Any, Any, object]]]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = None
        self._stream: ConsoleStream | None = None
        self._opener = Opener(console, route, self._connection_lost)
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._sending = False
        self._sending_since: float | None = None
        self._over = False
        self._mending = False

    def post(self, event: Event) -> None:
        """Tell the console what happened. On the loop's thread; after the end of `run` nobody listens."""
        if not self._over:
            self.console.handle_event(event)

    async def run(self) -> None:
        """Serve the console until cancelled; then let go of it, in order."""
        try:
            await self._live()
        finally:
            for timer in self._timers.values():
                timer.cancel()
            await self._opener.close_all()

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as life:
            working = life.create_task(self._work_on(), name=f"work {self.console.naming.domain}")
            try:
                await asyncio.wait({working})
            finally:
                # First of all: what the cancelled work leaves behind is no end of the console.
                self._over = True
                working.cancel()

    async def _work_on(self) -> None:
        """Do all work that is started; a bug in a piece of it ends the others that are under way, and no more."""
        while True:
            try:
                async with asyncio.TaskGroup() as tasks:
                    while True:
                        name, work = await self._work.get()
                        tasks.create_task(work(), name=name)
            except* Exception:  # noqa: BLE001  # the failure boundary of a console
                self.report_bug()
            go_on_being_cancelled()

    def retire(self) -> None:
        """Nobody needs the console any more."""
        self._loop.call_soon(self._retired, self)

    def depart(self) -> None:
        """The console goes on at another hypervisor, by another holder."""
        self._over = True
        self._loop.call_soon(self._departed, self)

    def report_bug(self) -> None:
        """Log the bug that is being handled, and end what it may have left half done."""
        _log.exception("a bug at a console", extra=of_console(self.console.id))
        self._sending = False
        if not self._mending:  # a bug that comes of mending one is only logged
            self._mending = True
            self._loop.call_soon(self._mend)

    def _mend(self) -> None:
        now = time.time_ns()
        match self.console.machine.state:
            case State.OPENING:
                self.post(OpenFailed(now, cause=Cause.INTERNAL_ERROR))
            case State.ENDING:
                self.post(Cleaned(now))
                self.post(Answered(now, self.console.machine.attachment, None))
                self.post(OpenFailed(now, cause=Cause.INTERNAL_ERROR))
            case _:
                self.post(Failed(Failure(Phase.SERVER, now, cause=Cause.INTERNAL_ERROR)))
        self._mending = False

    def _start(self, work: Callable[..., Coroutine[Any, Any, object]], *args: object) -> None:
        """Have `work` done by a task of this console."""
        name = f"{work.__name__} {self.console.naming.domain}:{self.console.key.device}"
        self._work.put_nowait((name, partial(work, *args)))

    # Commands.

    def carry_out(self, command: Command) -> None:
        """Begin to carry out a command of the state machine."""
        match command:
            case Open(force):
                self._start(self._open, force)
            case Close():
                if self._stream is not None:
                    self._stream.stop()
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

    def _clear(self, timer: Timer) -> None:
        handle = self._timers.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def _elapsed(self, timer: Timer) -> None:
        self._timers.pop(timer, None)
        self.post(Elapsed(time.time_ns(), timer))

    def prepare(self) -> None:
        """Open the console ahead of the command to do so."""
        self._start(self._opener.open_ahead)

    def settle(self) -> None:
        """The console has come here with its guest: what was opened ahead is used now, or not at all."""
        self._loop.call_soon(self._start, self._opener.give_up_ahead)

    async def _open(self, force: bool) -> None:  # noqa: FBT001  # as `_start` gives it
        opened = await self._opener.open(force=force)
        if isinstance(opened, OpenFailed):
            self.post(opened)
        else:
            self._opened(opened)

    def _opened(self, opened: OpenConsole) -> None:
        self._connection, self._stream = connection, stream = opened.connection, opened.stream
        self.post(Opened(time.time_ns(), stream.running_id, opened.since, stream.shared))
        if self._stream is not stream:
            return
        if self.console.machine.state is not State.ATTACHED:  # it is not waited for any more
            self._stream = None
            self._start(self._opener.close, stream)
        elif connection.lost is not None:  # between the opening and now; its callback found nothing to end
            self._connection_lost(connection, connection.lost)
        else:
            stream.start(partial(self._received, stream), partial(self._ended, stream))

    async def _close(self, stream: ConsoleStream | None) -> None:
        errors = await self._opener.close(stream) if stream is not None else ()
        self.post(Cleaned(time.time_ns(), errors))

    async def _query(self, attachment: int) -> None:
        """Ask how the domain stands, on a connection of its own: the console's may be what is sick.

        That it is gone is no answer: it has ended, and the event that says how may come behind this.
        """
        stopped: LibvirtEvent | None = None
        try:
            connection = await self._route.connect()
            try:
                state = await connection.call("virDomainGetState", look_up, connection.libvirt, self.console.key.uuid)
            finally:
                await connection.close()
            if state is None:
                return
            stopped = state.stopped
        except (CallFailed, DeadlineMissed) as failed:
            _log.info(
                "the state of a domain cannot be asked for", extra={**of_console(self.console.id), "error": str(failed)}
            )
        self.post(Answered(time.time_ns(), attachment, stopped))

    # What the stream and its connection bring. The first that ends the attachment counts.

    def _received(self, stream: ConsoleStream, pieces: list[bytes], at: int) -> None:
        if self._stream is not stream:
            return
        try:
            self.console.receive(pieces, at)
        except Exception:  # noqa: BLE001  # the failure boundary of a console
            self.report_bug()

    def _ended(self, stream: ConsoleStream, failure: Failure) -> None:
        if self._stream is stream:
            self.post(Failed(failure))

    def _connection_lost(self, connection: Connection, cause: Cause) -> None:
        """libvirtd ends a connection too where the guest takes no input for long: that is no fault of libvirtd."""
        if self._stream is not None and self._connection is connection:
            now = time.time_ns()
            if self._waited_long:
                self.post(Failed(Failure(Phase.SEND, now, stalled=True)))
            else:
                self.post(Failed(Failure(Phase.CONNECTION, now, cause=cause)))

    # Input.

    def send_input(self) -> None:
        """Send the input that waits, unless that is being done: at once where that cannot block, else in a task, and
        always there for a fence. Nothing is taken out of the inputs before it can be given to libvirt: what is still
        queued at an end is rejected, not unknown."""
        stream = self._stream
        if stream is None or self._sending:
            return
        try:
            while self.console.inputs.waiting and stream.can_send_at_once() and (batch := self.console.inputs.take()):
                stream.send_at_once(batch.packets)
                if batch.fence:
                    self._send_aside(stream, batch)
                    return
                self.console.sent(batch, time.time_ns())
            if self.console.inputs.waiting:
                self._send_aside(stream)
        except CallFailed as failed:  # behind why its connection was lost, if libvirt has said so
            self._loop.call_soon(self._ended, stream, Failure(Phase.SEND, time.time_ns(), failed.error))
        except Exception:  # noqa: BLE001  # the failure boundary of a console
            self.report_bug()

    def _send_aside(self, stream: ConsoleStream, unanswered: Batch | None = None) -> None:
        self._sending = True
        self._start(self._send_all, stream, unanswered)

    async def _send_all(self, stream: ConsoleStream, unanswered: Batch | None) -> None:
        """Send the fence of a batch whose packets are on their way, if there is one; then what is queued, until nothing
        is, or the attachment is over."""
        try:
            if unanswered is not None and self._stream is stream:
                await self._send(stream, unanswered, ())
            while self._stream is stream and (batch := self.console.inputs.take()):
                await self._send(stream, batch, batch.packets)
        finally:
            self._sending = False
        if self.console.inputs.waiting:
            self.send_input()

    async def _send(self, stream: ConsoleStream, batch: Batch, packets: Sequence[bytes]) -> None:
        """Have libvirt take `packets`, those of the batch that it has not got yet, and answer the batch's fence."""
        prompt = batch.prompt and self.console.machine.silence.trusted
        seconds = self._fence.deadline if prompt else self._fence.patience
        overdue = self._loop.call_later(seconds, self._overdue, stream)
        self._sending_since = self._loop.time()
        try:
            await stream.send(packets, self._fence.packets if batch.fence else 0)
        except CallFailed as failed:
            stalled = self._waited_long and connection_cause(failed.error) is not None
            error = None if stalled else failed.error
            self._ended(stream, Failure(Phase.SEND, time.time_ns(), error, stalled=stalled))
        else:
            self.console.sent(batch, time.time_ns())
        finally:
            self._sending_since = None
            overdue.cancel()

    @property
    def _waited_long(self) -> bool:
        """Whether the guest has not taken what it is sent for so long that libvirtd may have ended the connection."""
        return self._sending_since is not None and self._loop.time() - self._sending_since > self._fence.deadline

    def _overdue(self, stream: ConsoleStream) -> None:
        """libvirt serves the stream no more, or the guest takes no input."""
        if self._stream is stream and not self.console.machine.paused:
            _log.warning("a console does not take what it is sent", extra=of_console(self.console.id))
            self.post(Failed(Failure(Phase.SEND, time.time_ns(), stalled=True)))


class Supervised(NamedTuple):
    """A console's supervisor, and the task that is its life."""

    supervisor: ConsoleSupervisor
    task: asyncio.Task[None]
