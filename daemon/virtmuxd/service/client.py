"""One client: what it asks for, and its places at consoles. This is the failure boundary of a client."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Concatenate, ParamSpec, assert_never

from msgspec.structs import replace

from virtmux import messages
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Phase, Reason
from virtmux.session import ServerSession
from virtmux.wire import Input, ProtocolError
from virtmuxd.core.console import Console
from virtmuxd.core.cursor import Lag
from virtmuxd.core.inputs import Writer
from virtmuxd.core.past import PastConsole
from virtmuxd.core.registry import NotFoundError, Registry
from virtmuxd.core.start import Start
from virtmuxd.service.answers import refused
from virtmuxd.service.client_place import ClientPlace
from virtmuxd.service.library import Library, Named
from virtmuxd.service.once import Once
from virtmuxd.service.outgoing import MAX_ANSWERS, MAX_EVENTS, Feed, Outgoing
from virtmuxd.service.releases import Releases
from virtmuxd.service.stored_requests import NOTHING_STORED, StoredRequests

_log = logging.getLogger(__name__)
_Arguments = ParamSpec("_Arguments")
_OfConsole = messages.Attach | messages.Release | messages.Reclaim

_READ = 65536
#: Seconds within which a client greets, an attach is answered, a goodbye is read, a new daemon has looked round
#: for a list, and for a console that is not known.
_HELLO_DEADLINE = 10.0
_ATTACH_DEADLINE = 15.0
_GOODBYE_DEADLINE = 2.0
_LIST_DEADLINE = 2.0
_FIND_DEADLINE = 10.0
#: Seconds for the archive to say where a replay begins; then it begins with what is nearer.
_START_DEADLINE = 10.0
#: Seconds between two looks at how far a client lags.
_LAG_CHECK = 1.0
#: Characters of a position that name its history.
_HISTORY = 32
_SECOND = 10**9
#: Places that a client may have at stored histories: for each the daemon has an index in memory, some MiB.
MAX_PAST = 8


def _contained(
    method: Callable[Concatenate["Client", _Arguments], None],
) -> Callable[Concatenate["Client", _Arguments], None]:
    """For what others call: a bug in here ends this client, and not whoever called; after its end it does nothing."""

    def contained(self: "Client", /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        if self.has_ended:
            return
        try:
            method(self, *args, **kwargs)
        except Exception:  # noqa: BLE001  # the failure boundary of a client
            self.fail()

    return contained


class Client:
    """See the module. `run` serves the connection to its end; `dismiss` ends it from this side."""

    def __init__(
        self,
        connection: socket.socket,
        registry: Registry,
        library: Library,
        greeting: messages.ServerHello,
        *,
        read_only: bool,
    ) -> None:
        self.has_ended = False
        self._socket = connection
        self._registry = registry
        self._library = library
        self._outgoing = Outgoing(connection, self._hang_up, self._watch_lag)
        self._stored = StoredRequests(library, self._answer, self._outgoing.promise, read_only=read_only)
        self._releases = Releases(self._answer, read_only=read_only)
        self._greeting = greeting
        self._read_only = read_only
        self._session = ServerSession()
        self._loop = asyncio.get_running_loop()
        self._places: dict[int, ClientPlace] = {}
        self._former: set[int] = set()
        self._deferred = 0
        self._lag_check: asyncio.TimerHandle | None = None
        self._reason: Reason | None = None

    async def run(self) -> Reason:
        """Serve until the client leaves or is dismissed; gives the reason."""
        hello_due = self._loop.call_later(_HELLO_DEADLINE, self._hello_due)
        try:
            self._outgoing.answer(self._greeting)
            await self._receive()
        except ProtocolError as error:
            self.dismiss(reason_now(Cause.PROTOCOL_ERROR, str(error)))
        except OSError:
            self._outgoing.close()
        except asyncio.CancelledError:
            self._outgoing.close()
            raise
        except Exception:  # noqa: BLE001  # the failure boundary of a client
            self.fail()
        finally:
            hello_due.cancel()
            self._end()
        await self._say_goodbye()
        return self._reason or reason_now(Cause.DETACHED)

    def dismiss(self, reason: Reason) -> None:
        """End the connection for this reason; the first one counts. The client is told by a goodbye."""
        if self._reason is None:
            self._reason = reason
            self._hang_up()

    def fail(self) -> None:
        """End the connection because of the bug that is being handled."""
        _log.exception("a bug while serving a client")
        self.dismiss(reason_now(Cause.INTERNAL_ERROR, phase=Phase.SERVER))

    def _hang_up(self) -> None:
        """Receive no more, which ends `run`."""
        self._outgoing.stop_waiting()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    # Requests.

    async def _receive(self) -> None:
        while data := await self._loop.sock_recv(self._socket, _READ):
            for request in self._session.receive(data):
                if self._reason is not None:
                    return
                self._carry_out(request)
                await self._outgoing.room_for_answers()

    def _carry_out(self, request: messages.ClientMessage | Input) -> None:
        match request:
            case Input():
                self._type(request)
            case messages.ClientHello():
                pass  # greeted already
            case messages.ListConsoles(id):
                self._list_once_known(id)
            case messages.Attach() | messages.Release() | messages.Reclaim():
                self._when_found(request)
            case messages.Detach(id, handle):
                place = self._places.get(handle)
                if place is not None and place.answered:  # it does not withdraw an attach
                    self._detach(handle)
                self._outgoing.answer(messages.Done(id))
            case messages.Flow(handle, paused):
                self._flow(handle, paused=paused)
            case messages.Confirm(handle):
                self._confirm(handle)
            case messages.Watch(id):
                self._watch(id)
            case messages.Histories() | messages.Marks() if self._outgoing.is_broken:
                pass  # nobody is there to be told, and nobody is waited for any more
            case messages.Histories() | messages.Marks() | messages.Forget():
                self._stored.carry_out(request)
            case _:
                assert_never(request)

    def _once_surveyed(self, answer: Callable[[], None], seconds: float) -> None:
        """Answer once all hypervisors, and domains that have just changed, were looked at; or after so long."""
        if self._deferred >= MAX_ANSWERS:
            answer()
            return
        self._deferred += 1
        self._registry.when_surveyed(Once(partial(self._no_longer_deferred, answer), seconds))

    def _no_longer_deferred(self, answer: Callable[[], None]) -> None:
        self._deferred -= 1
        answer()

    def _list_once_known(self, request: int) -> None:
        if self._registry.is_new:
            self._once_surveyed(partial(self._list, request), _LIST_DEADLINE)
        else:
            self._list(request)

    @_contained
    def _list(self, request: int) -> None:
        hypervisors = (messages.Hypervisor(request, info) for info in self._registry.hypervisors())
        consoles = (messages.Console(request, console.info()) for console in self._registry)
        self._outgoing.answer(*hypervisors, *consoles, messages.Done(request))

    def _when_found(self, request: _OfConsole) -> None:
        """Carry out what is asked of a console: at once, or, where it is not known, once that is sure."""
        if isinstance(request, messages.Attach) and not request.hold and (history := self._past_history(request)):
            named = Named(request.domain, request.device, request.uri)
            self._library.open(named, history, self._outgoing.promise(partial(self._opened, request)))
            return
        try:
            self._registry.find(request.domain, request.device, request.uri)
        except NotFoundError:
            self._once_surveyed(partial(self._find, request), _FIND_DEADLINE)
        else:
            self._find(request)

    @_contained
    def _find(self, request: _OfConsole) -> None:
        try:
            console = self._registry.find(request.domain, request.device, request.uri)
        except NotFoundError as error:
            reason = error.reason or reason_now(Cause.CONSOLE_MISSING)
            self._outgoing.answer(messages.Refused(request.id, replace(reason, text=str(error))))
            return
        match request:
            case messages.Attach():
                self._attach(request, console)
            case messages.Release() | messages.Reclaim():
                self._releases.carry_out(request, console)

    def _past_history(self, request: messages.Attach) -> str | None:
        """The history of the position that is asked for, where that is another one than a console has now."""
        history = (request.position or "")[:_HISTORY]
        here = self._registry.find_all(request.domain, request.device, request.uri)
        if len(history) < _HISTORY or any(console.sequence.position.history == history for console in here):
            return None
        return history

    @_contained
    def _opened(self, request: messages.Attach, console: PastConsole | None) -> None:
        if console is not None:
            self._attach(request, console)
        else:
            self._refuse(request.id, Cause.CONSOLE_MISSING, NOTHING_STORED)

    def _attach(self, request: messages.Attach, console: Console | PastConsole) -> None:
        handle = console.handle
        if handle in self._places:
            self._refuse(request.id, Cause.PROTOCOL_ERROR, "this connection has a place at that console already")
            return
        past = [place for place in self._places.values() if isinstance(place.console, PastConsole)]
        if isinstance(console, PastConsole) and len(past) >= MAX_PAST:
            text = f"this connection has {MAX_PAST} places at stored histories, the most that one may have"
            self._refuse(request.id, Cause.PROTOCOL_ERROR, text)
            return
        writer = Writer(partial(self._tell_input, handle), self._may_not_type(request))
        feed = Feed(self._outgoing, console.sequence, lag=_lag(request.lag), timed=request.timed)
        place = ClientPlace(request, console, feed, writer, partial(self._lose_place, handle))
        try:
            place.find_start(partial(self._start, place))
        except ValueError as error:
            self._refuse(request.id, Cause.PROTOCOL_ERROR, str(error))
            return
        self._places[handle] = place
        self._former.discard(handle)
        console.enter(place, time.time_ns())
        if place.start is None:
            self._loop.call_later(_START_DEADLINE, self._start, place, Start(console.sequence.nearest))
        if request.hold and isinstance(console, Console):
            console.when_decided(Once(partial(self._decided, place), _ATTACH_DEADLINE))
        else:
            self._answer_attach(place)

    def _may_not_type(self, request: messages.Attach) -> Cause | None:
        return Cause.ACCESS_DENIED if request.read_only or self._read_only else None

    @_contained
    def _start(self, place: ClientPlace, start: Start) -> None:
        """It was found out where the place starts."""
        if place.start is None:
            place.begin(start)
            self._answer_attach(place)

    @_contained
    def _decided(self, place: ClientPlace) -> None:
        place.decided = True
        self._answer_attach(place)

    def _answer_attach(self, place: ClientPlace) -> None:
        answer = place.answer() if self._places.get(place.console.handle) is place else None
        if answer is None:
            return
        self._outgoing.answer(answer)
        place.answered = True
        place.feed.flow(paused=False)

    def _refuse(self, request: int, cause: Cause, text: str) -> None:
        self._outgoing.answer(refused(request, cause, text))

    @_contained
    def _answer(self, *said: messages.ServerMessage) -> None:
        self._outgoing.answer(*said)

    def _detach(self, handle: int) -> None:
        place = self._places.pop(handle, None)
        if place is not None:
            self._former.add(handle)
            self._outgoing.remove(handle, place.feed)
            place.console.leave(place, time.time_ns())

    @_contained
    def _lose_place(self, handle: int, reason: Reason) -> None:
        """The place was taken away by somebody else."""
        place = self._places.pop(handle)
        self._former.add(handle)
        self._outgoing.remove(handle, place.feed)
        ended = messages.PlaceEnded(handle, reason) if place.answered else messages.Refused(place.request.id, reason)
        self._outgoing.answer(ended)

    def _flow(self, handle: int, *, paused: bool) -> None:
        place = self._places.get(handle)
        if place is not None and place.answered:
            place.feed.flow(paused=paused)
            if paused:
                self._watch_lag()

    def _confirm(self, handle: int) -> None:
        place = self._places.get(handle)
        if place is not None:
            place.console.confirm(place)

    def _type(self, frame: Input) -> None:
        place = self._places.get(frame.console)
        if place is not None:
            place.console.type(place, frame.attachment, frame.input_offset, frame.data)
        elif frame.console not in self._former:
            raise ProtocolError(f"input for console {frame.console}, where this client has no place")

    def _watch(self, request: int) -> None:
        now = time.time_ns()
        appeared = (console.event("appeared", now) for console in self._registry)
        self._outgoing.answer(*appeared, messages.Done(request))
        self._registry.watch(self._tell_event)

    # What the consoles tell.

    @_contained
    def _tell_event(self, event: messages.Event) -> None:
        if not self._outgoing.tell(event):
            self.dismiss(reason_now(Cause.TOO_SLOW, f"more than {MAX_EVENTS} events wait"))

    @_contained
    def _tell_input(self, handle: int) -> None:
        place = self._places[handle]
        if place.answered:  # else it has typed nothing yet
            self._outgoing.tell_status(handle, place.writer.account)

    # Those who do not read.

    def _watch_lag(self) -> None:
        """Records wait for the client: look after a while whether it lags too far, as long as any do."""
        if self._lag_check is None:
            self._lag_check = self._loop.call_later(_LAG_CHECK, self._check_lag)

    @_contained
    def _check_lag(self) -> None:
        self._lag_check = None
        for place in tuple(self._places.values()):
            why = place.feed.sequence.too_slow(place.feed.cursor) if place.answered else None
            if why is not None and isinstance(place.console, Console):
                reason = reason_now(Cause.TOO_SLOW, why, console=place.console.id)
                place.console.evict(place, reason, time.time_ns())
        if any(place.answered and not place.feed.is_level for place in self._places.values()):
            self._watch_lag()

    # The end.

    def _hello_due(self) -> None:
        if self._session.greeting is None:
            self.dismiss(reason_now(Cause.IDLE, f"no hello within {_HELLO_DEADLINE:.0f} s"))

    def _end(self) -> None:
        self.has_ended = True
        if self._lag_check is not None:
            self._lag_check.cancel()
        self._registry.unwatch(self._tell_event)
        for handle in tuple(self._places):
            self._detach(handle)
        self._releases.end()

    async def _say_goodbye(self) -> None:
        """Tell the client, if it reads; then close the connection."""
        try:
            if self._reason is not None:
                async with asyncio.timeout(_GOODBYE_DEADLINE):
                    await self._outgoing.say_last(messages.Goodbye(self._reason))
        except TimeoutError:
            _log.info("a client does not read its goodbye")
        finally:
            self._outgoing.close()
            self._socket.close()


def _lag(lag: messages.Lag | None) -> Lag | None:
    return None if lag is None else Lag(lag.bytes, round(lag.seconds * _SECOND), lag.then == "leave")
