"""One client: what it asks for, its places at consoles, and what is sent to it.

Output is pulled: when the socket takes more, the client's places are asked for their next frame in turn. A client that
does not read holds nothing but its cursors and the rest of one frame; its answers are bounded because its requests are
not read while answers wait. This is the failure boundary of a client, and it returns a Reason.
"""

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Concatenate, ParamSpec, assert_never

from msgspec.structs import replace

from virtmux import messages
from virtmux.messages import encode
from virtmux.reasons import Cause, Phase, Reason, sentence
from virtmux.records import rfc3339
from virtmux.session import ServerSession
from virtmux.wire import Input, ProtocolError
from virtmuxd.core.console import Console, Place
from virtmuxd.core.inputs import Writer
from virtmuxd.core.registry import NotFoundError, Registry
from virtmuxd.core.sequence import Cursor

_log = logging.getLogger(__name__)
_Arguments = ParamSpec("_Arguments")

_READ = 65536
#: Seconds within which a client greets, an attach is answered, a goodbye is read, a new daemon has looked round.
_HELLO_DEADLINE = 10.0
_ATTACH_DEADLINE = 15.0
_GOODBYE_DEADLINE = 2.0
_SURVEY_DEADLINE = 2.0
#: Frames of answers that may wait for a client that reads slowly; events, which come unasked, get it dismissed.
_ANSWERS = 64
_EVENTS = 1000


def _contained(
    method: Callable[Concatenate["Client", _Arguments], None],
) -> Callable[Concatenate["Client", _Arguments], None]:
    """For what others call: a bug in here ends this client, and not the console or hypervisor that called."""

    def contained(self: "Client", /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception:  # noqa: BLE001  # the failure boundary of a client
            self.fail()

    return contained


class _Once:
    """Calls on the first call, and never again."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then: Callable[[], None] | None = then

    def __call__(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            then()


class _ClientPlace(Place):
    """A place, as the socket sees it."""

    def __init__(self, console: Console, cursor: Cursor, writer: Writer) -> None:
        super().__init__(cursor, writer)
        self.console = console
        self.request: int | None = None
        self.paused = False


class Client:
    """See the module. `run` serves the connection to its end; `dismiss` ends it from this side."""

    def __init__(
        self, connection: socket.socket, registry: Registry, greeting: messages.ServerHello, *, read_only: bool
    ):
        self._socket = connection
        self._registry = registry
        self._greeting = greeting
        self._read_only = read_only
        self._session = ServerSession()
        self._loop = asyncio.get_running_loop()
        self._places: dict[int, _ClientPlace] = {}
        self._former: set[int] = set()
        self._outbox: deque[bytes] = deque()
        self._ready: deque[_ClientPlace] = deque()
        self._due: dict[int, _ClientPlace] = {}
        self._rest = memoryview(b"")
        self._drained = asyncio.Event()
        self._drained.set()
        self._reason: Reason | None = None
        self._broken = False
        self._left = False

    async def run(self) -> Reason:
        """Serve until the client leaves or is dismissed; gives the reason."""
        greet = self._loop.call_later(_HELLO_DEADLINE, self._hello_due)
        try:
            await self._receive()
        except ProtocolError as error:
            self.dismiss(_reason(Cause.PROTOCOL_ERROR, Phase.CLIENT, str(error)))
        except OSError:
            self._broken = True
        except Exception:  # noqa: BLE001  # the failure boundary of a client
            self.fail()
        finally:
            greet.cancel()
            self._leave_all()
        reason = self._reason or _reason(Cause.DETACHED, Phase.CLIENT)
        await self._say_goodbye(reason)
        return reason

    def dismiss(self, reason: Reason) -> None:
        """End the connection for this reason; the first one counts. The client is told by a goodbye."""
        if self._reason is None:
            self._reason = reason
            self._drained.set()
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RD)

    def fail(self) -> None:
        """End the connection because of the bug that is being handled."""
        _log.exception("a bug while serving a client")
        self.dismiss(_reason(Cause.INTERNAL_ERROR, Phase.SERVER))

    # Requests.

    async def _receive(self) -> None:
        while data := await self._loop.sock_recv(self._socket, _READ):
            for request in self._session.receive(data):
                self._carry_out(request)
            if len(self._outbox) > _ANSWERS and self._reason is None and not self._broken:
                self._drained.clear()
                await self._drained.wait()
            if self._reason is not None:
                return

    def _carry_out(self, request: messages.ClientMessage | Input) -> None:
        match request:
            case Input():
                self._type(request)
            case messages.ClientHello():
                self._answer(self._greeting)
            case messages.ListConsoles(id):
                self._once_surveyed(partial(self._list, id))
            case messages.Attach():
                self._attach(request)
            case messages.Detach(id, handle):
                place = self._places.get(handle)
                if place is not None and place.request is None:
                    self._detach(handle)
                self._answer(messages.Done(id))
            case messages.Flow(handle, paused):
                self._flow(handle, paused=paused)
            case messages.Watch(id):
                self._watch(id)
            case _:
                assert_never(request)

    def _answer(self, message: messages.ServerMessage) -> None:
        self._outbox.append(encode(message))
        self._pump()

    def _once_surveyed(self, answer: Callable[[], None]) -> None:
        """Answer once the hypervisors of a daemon that has just started are known; one that hangs is not waited for."""
        once = _Once(answer)
        self._loop.call_later(_SURVEY_DEADLINE, once)
        self._registry.when_surveyed(once)

    @_contained
    def _list(self, request: int) -> None:
        for console in self._registry:
            self._outbox.append(encode(messages.Console(request, console.info())))
        self._answer(messages.Done(request))

    def _attach(self, request: messages.Attach) -> None:
        try:
            self._registry.find(request.domain, request.device, request.uri)
        except NotFoundError:
            self._once_surveyed(partial(self._attach_now, request))
        else:
            self._attach_now(request)

    @_contained
    def _attach_now(self, request: messages.Attach) -> None:
        if self._left:
            return
        try:
            console = self._registry.find(request.domain, request.device, request.uri)
            start, missing = console.start_of(request.position)
        except NotFoundError as error:
            self._refuse(request.id, error.cause, str(error))
            return
        except ValueError as error:
            self._refuse(request.id, Cause.PROTOCOL_ERROR, str(error))
            return
        if console.handle in self._places:
            self._refuse(request.id, Cause.PROTOCOL_ERROR, "this connection has a place at that console already")
            return
        read_only = request.read_only or self._read_only
        cursor = Cursor(start.offset, start.mark, _not_yet)
        writer = Writer(_not_yet, Cause.ACCESS_DENIED if read_only else None)
        place = _ClientPlace(console, cursor, writer)
        cursor.wake = partial(self._wake, place)
        writer.changed = partial(self._tell_input, place)
        place.request = request.id
        self._places[console.handle] = place
        self._former.discard(console.handle)
        answer = partial(self._answer_attach, place, str(start), read_only=read_only, missing=missing)
        self._loop.call_later(_ATTACH_DEADLINE, answer)
        console.enter(place, time.time_ns())
        console.when_settled(answer)

    @_contained
    def _answer_attach(self, place: _ClientPlace, position: str, *, read_only: bool, missing: bool) -> None:
        console, request = place.console, place.request
        if request is None or self._places.get(console.handle) is not place:
            return
        place.request = None
        self._outbox.append(
            encode(messages.Place(request, console.info(), position, read_only, missing, console.why_not))
        )
        self._wake(place)

    def _refuse(self, request: int, cause: Cause, text: str) -> None:
        self._answer(messages.Refused(request, replace(_reason(cause, Phase.CLIENT), text=text)))

    def _detach(self, handle: int) -> None:
        place = self._places.pop(handle, None)
        if place is None:
            return
        self._former.add(handle)
        self._due.pop(handle, None)
        if place in self._ready:
            self._ready.remove(place)
        place.console.leave(place, time.time_ns())

    def _flow(self, handle: int, *, paused: bool) -> None:
        place = self._places.get(handle)
        if place is None or place.paused is paused:
            return
        place.paused = paused
        if not paused:
            self._wake(place)

    def _type(self, frame: Input) -> None:
        place = self._places.get(frame.console)
        if place is not None:
            place.console.type(place, frame.attachment, frame.input_offset, frame.data)
        elif frame.console not in self._former:
            raise ProtocolError(f"input for console {frame.console}, where this client has no place")

    def _watch(self, request: int) -> None:
        for console in self._registry:
            event = messages.Event(
                event="appeared", at=rfc3339(time.time_ns()), console=console.id, offset=console.sequence.end
            )
            self._outbox.append(encode(event))
        self._answer(messages.Done(request))
        self._registry.watch(self._tell_event)

    # What is sent.

    @_contained
    def _tell_event(self, event: messages.Event) -> None:
        if len(self._outbox) >= _EVENTS:
            self.dismiss(_reason(Cause.TOO_SLOW, Phase.CLIENT, f"more than {_EVENTS} events wait"))
            return
        self._answer(event)

    @_contained
    def _tell_input(self, place: _ClientPlace) -> None:
        self._due[place.console.handle] = place
        self._pump()

    @_contained
    def _wake(self, place: _ClientPlace) -> None:
        """The place may have something to take."""
        if place.request is None and not place.paused and place not in self._ready:
            self._ready.append(place)
            self._pump()

    def _pump(self) -> None:
        """Send as long as there is something and the socket takes it."""
        if self._broken:
            self._outbox.clear()
        if self._rest or self._broken:
            return
        while (frame := self._next_frame()) is not None:
            try:
                sent = self._socket.send(frame)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._broken = True
                self._drained.set()
                return
            if sent < len(frame):
                self._rest = memoryview(frame)[sent:]
                self._loop.add_writer(self._socket, self._writable)
                return
            if not self._outbox:
                self._drained.set()
        self._drained.set()

    @_contained
    def _writable(self) -> None:
        try:
            self._rest = self._rest[self._socket.send(self._rest) :]
        except BlockingIOError:
            return
        except OSError:
            self._broken = True
            self._rest = memoryview(b"")
            self._drained.set()
        if not self._rest:
            self._loop.remove_writer(self._socket)
            self._pump()

    def _next_frame(self) -> bytes | None:
        """Answers go first, then the fate of input, then records, one frame a console in turn."""
        if self._outbox:
            return self._outbox.popleft()
        if self._due:
            handle, place = self._due.popitem()
            return encode(place.writer.account.status(handle))
        while self._ready:
            place = self._ready[0]
            frame = None if place.paused else place.console.sequence.take(place.cursor)
            if frame is not None:
                self._ready.rotate(-1)
                return frame
            self._ready.popleft()
            if not place.paused:
                place.console.sequence.park(place.cursor)
        return None

    # The end.

    def _hello_due(self) -> None:
        if self._session.greeting is None:
            self.dismiss(_reason(Cause.IDLE, Phase.CLIENT, f"no hello within {_HELLO_DEADLINE:.0f} s"))

    def _leave_all(self) -> None:
        self._left = True
        self._registry.unwatch(self._tell_event)
        for handle in tuple(self._places):
            self._detach(handle)

    async def _say_goodbye(self, reason: Reason) -> None:
        """Tell the client, if it reads; then close the connection."""
        try:
            if not self._broken and self._reason is not None:
                self._outbox.clear()
                self._drained.clear()
                self._answer(messages.Goodbye(reason))
                async with asyncio.timeout(_GOODBYE_DEADLINE):
                    await self._drained.wait()
        except TimeoutError:
            _log.info("a client does not read its goodbye", extra={"cause": reason.cause.value})
        finally:
            self._loop.remove_writer(self._socket)
            self._socket.close()


def _reason(cause: Cause, phase: Phase, detail: str = "") -> Reason:
    return Reason(cause=cause, text=sentence(cause, None, detail), phase=phase, at=rfc3339(time.time_ns()))


def _not_yet() -> None:
    """Replaced before anything can happen."""
