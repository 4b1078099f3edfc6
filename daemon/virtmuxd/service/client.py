"""One client: what it asks for, and its places at consoles. This is the failure boundary of a client."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import assert_never

from msgspec.structs import replace

from virtmux import messages
from virtmux.people import ClientInfo, Person
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, ConsoleId, Phase, Reason
from virtmux.records import Position, rfc3339
from virtmux.session import DaemonSession
from virtmux.wire import Input, ProtocolError
from virtmuxd.core.access import Right
from virtmuxd.core.past import PastConsole
from virtmuxd.core.registry import NotFoundError
from virtmuxd.core.start import is_offset
from virtmuxd.service.answers import refused
from virtmuxd.service.audit import Audit
from virtmuxd.service.contained import contained
from virtmuxd.service.errand_requests import ErrandRequests
from virtmuxd.service.hall import Hall
from virtmuxd.service.intake import Intake
from virtmuxd.service.library import Named
from virtmuxd.service.outgoing import MAX_EVENTS, Outgoing
from virtmuxd.service.peer import Peer
from virtmuxd.service.people_requests import PeopleRequests
from virtmuxd.service.places import Places
from virtmuxd.service.releases import Releases
from virtmuxd.service.rights import Rights
from virtmuxd.service.statistics_requests import StatisticsRequests
from virtmuxd.service.stored_requests import NOTHING_STORED, StoredRequests
from virtmuxd.service.survey import Survey

_log = logging.getLogger(__name__)
_OfConsole = messages.Attach | messages.Release | messages.Reclaim

#: Seconds within which a goodbye is read, and a new daemon has looked round for a list.
_GOODBYE_DEADLINE = 2.0
_LIST_DEADLINE = 2.0
#: What is still done for a client that is gone: its input, up to a detach, and what others are concerned with. Nobody
#: would hear the answer to anything else.
_EVEN_IF_GONE = (
    Input | messages.Detach | messages.Release | messages.Reclaim | messages.Forget | messages.Kick | messages.Guest
)
#: Pieces of input that are taken in one turn of the loop; whatever else is asked for has a turn of its own.
_QUICK = 32


class Client:
    """See the module. `run` serves the connection to its end; `dismiss` ends it from this side."""

    def __init__(
        self, connection: socket.socket, who: Person, peer: Peer, hall: Hall, audit: Audit, *, read_only: bool
    ) -> None:
        self.has_ended = False
        self.who = who
        self._socket = connection
        self._audit = audit
        self._since = time.time_ns()
        self._registry = hall.registry
        self._library = hall.library
        self._survey = Survey(hall.registry)
        self._greeting = hall.greeting()
        self._limits = hall.limits
        self._read_only = read_only
        self._rights = Rights(lambda: hall.access, who, peer.groups, audit, read_only=read_only)
        self._outgoing = Outgoing(connection, self._hang_up, self._watch_lag, self.fail)
        window = self._greeting.limits.input_window
        self._places = Places(
            self, who, self._outgoing, self._rights, hall.proofs, limits=hall.limits, window=window, audit=audit
        )
        self._stored = StoredRequests(
            self,
            hall.library,
            self._answer,
            self._outgoing.promise,
            self._rights,
            audit=audit,
            answer_in_turn=self._answer_in_turn,
        )
        self._releases = Releases(self, self._answer, self._rights, audit)
        self._people = PeopleRequests(
            who, hall.clients, self._answer, self._rights, audit, answer_in_turn=self._answer_in_turn
        )
        self._errands = ErrandRequests(
            self, hall.registry, self._answer, self._rights, survey=self._survey, audit=audit
        )
        self._statistics = StatisticsRequests(
            self, hall.measurements, self._answer, self._outgoing.promise, self._rights
        )
        self._intake = Intake(connection, hall.limits, window=window)
        self._session = DaemonSession(self._greeting.limits)
        self._loop = asyncio.get_running_loop()
        self._reason: Reason | None = None

    async def run(self) -> Reason:
        """Serve until the client leaves or is dismissed; gives the reason."""
        handshake = self._limits.rules.handshake
        hello_due = self._loop.call_later(handshake, self._hello_due, handshake)
        try:
            self._outgoing.answer(self._greeting)
            self.review()
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
            self._intake.stop_watching()
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
        _log.exception("a bug while serving a client", extra=self._audit.facts)
        self.dismiss(reason_now(Cause.INTERNAL_ERROR, phase=Phase.SERVER))

    @contained
    def review(self) -> None:
        """Take away what the rules in force do not allow."""
        self._places.review()
        self._releases.review()
        if not self._rights.are_any:
            self.dismiss(self._rights.nothing())

    @property
    def consoles(self) -> list[ConsoleId]:
        """Where it has places."""
        return self._places.consoles

    def info(self, sees: Callable[[ConsoleId], bool]) -> ClientInfo:
        """The client as `who` shows it to somebody who `sees` some consoles."""
        greeting = self._session.greeting
        places, more = self._places.infos(sees)
        return ClientInfo(
            who=self.who,
            since=rfc3339(self._since),
            software=greeting.software if greeting is not None else "",
            read_only=self._read_only,
            places=places,
            more=more,
        )

    @property
    def active_at(self) -> float:
        """When something was sent or received last, in the loop's time."""
        return max(self._intake.active_at, self._outgoing.active_at)

    def _watch_lag(self) -> None:
        self._places.watch_lag()

    def _hang_up(self) -> None:
        """Receive no more, which ends `run`."""
        self._outgoing.stop_waiting()
        self._intake.stop()

    # Requests.

    async def _receive(self) -> None:
        """Carry out what comes, one thing after the other; others have their turn in between."""
        while data := await self._intake.read():
            for number, request in enumerate(self._session.receive(data)):
                if self._reason is not None:
                    return
                is_wanted = isinstance(request, _EVEN_IF_GONE) or not self._outgoing.is_broken
                if is_wanted:
                    self._carry_out(request)
                    await self._outgoing.room_for_answers()
                is_quick = isinstance(request, Input) or not is_wanted
                if not is_quick or number % _QUICK == 0:
                    await asyncio.sleep(0)

    def _carry_out(self, request: messages.ClientMessage | Input) -> None:
        match request:
            case Input():
                self._places.type(request)
            case messages.ClientHello(features=features):
                self._places.knows = frozenset(features)
            case messages.ListConsoles(id):
                self._survey.once_made(partial(self._list, id), _LIST_DEADLINE)
            case messages.Attach() | messages.Release() | messages.Reclaim():
                self._when_found(request)
            case messages.Detach(id, handle):
                self._places.detach(handle)
                self._outgoing.answer(messages.Done(id))
            case messages.Flow(handle, paused):
                self._places.flow(handle, paused=paused)
            case messages.Confirm(handle):
                self._places.confirm(handle)
            case messages.Watch(id):
                self._watch(id)
            case messages.Histories() | messages.Marks() | messages.Forget():
                self._stored.carry_out(request)
            case messages.Who() | messages.Kick() | messages.Status() | messages.OpenMetrics():
                self._carry_out_of_daemon(request)
            case messages.Guest() | messages.Domains():
                self._errands.carry_out(request)
            case _:
                assert_never(request)

    def _carry_out_of_daemon(
        self, request: messages.Who | messages.Kick | messages.Status | messages.OpenMetrics
    ) -> None:
        """What is asked of the daemon itself: who is there, and what it measures."""
        if isinstance(request, messages.Who | messages.Kick):
            self._people.carry_out(request)
        else:
            self._statistics.carry_out(request)

    @contained
    def _list(self, request: int) -> None:
        hypervisors = [messages.Hypervisor(request, info) for info in self._registry.hypervisors()]
        consoles = (
            messages.Console(request, console.info())
            for console in self._registry
            if console.present and self._rights.sees(console.id)
        )
        self._answer_in_turn(chain(hypervisors, consoles, [messages.Done(request)]))

    def _when_found(self, request: _OfConsole) -> None:
        """Carry out what is asked of a console: at once, or, where it is not known, once that is sure."""
        if isinstance(request, messages.Attach) and not request.hold and self._attach_past(request):
            return
        try:
            self._registry.find(request.domain, request.device, request.uri)
        except NotFoundError:
            self._survey.once_current(partial(self._find, request))
        else:
            self._find(request)

    @contained
    def _find(self, request: _OfConsole) -> None:
        if not self._knows(request):
            self._outgoing.answer(messages.Refused(request.id, self._rights.denied(Right.WATCH, request.domain, {})))
            return
        try:
            console = self._registry.find(request.domain, request.device, request.uri)
        except NotFoundError as error:
            reason = error.reason or reason_now(Cause.CONSOLE_MISSING)
            self._outgoing.answer(messages.Refused(request.id, replace(reason, text=str(error))))
            return
        match request:
            case messages.Attach():
                self._places.attach(request, console)
            case messages.Release() | messages.Reclaim():
                self._releases.carry_out(request, console)

    def _knows(self, request: _OfConsole) -> bool:
        """Whether the client may be told if there is such a domain."""
        if Right.WATCH in self._rights.on(request.domain):
            return True
        return any(self._rights.sees(each.id) for each in self._registry.find_all(request.domain, None, request.uri))

    def _attach_past(self, request: messages.Attach) -> bool:
        """Attach at a history that no console has now; False where the position is in none such."""
        if request.position is None or is_offset(request.position):
            return False
        try:
            history = Position.parse(request.position).history
        except ValueError as error:
            self._refuse(request.id, Cause.PROTOCOL_ERROR, str(error))
            return True
        named = Named(request.domain, request.device, request.uri)
        if any(console.sequence.position.history == history for console in self._registry.find_all(*named)):
            return False
        self._library.open(named, history, self._outgoing.promise(partial(self._opened, request)))
        return True

    @contained
    def _opened(self, request: messages.Attach, console: PastConsole | None) -> None:
        if console is not None:
            self._places.attach(request, console)
        else:
            self._refuse(request.id, Cause.CONSOLE_MISSING, NOTHING_STORED)

    def _refuse(self, request: int, cause: Cause, text: str) -> None:
        self._outgoing.answer(refused(request, cause, text))

    @contained
    def _answer(self, *said: messages.DaemonMessage) -> None:
        self._outgoing.answer(*said)

    @contained
    def _answer_in_turn(self, said: Iterator[messages.DaemonMessage]) -> None:
        self._outgoing.answer_in_turn(said)

    def _watch(self, request: int) -> None:
        now = time.time_ns()
        appeared = (console.event("appeared", now) for console in self._registry if self._rights.sees(console.id))
        self._outgoing.answer(*appeared, messages.Done(request))
        self._registry.watch(self._tell_event)

    # What the consoles tell.

    @contained
    def _tell_event(self, event: messages.Event) -> None:
        if self._rights.sees(event.console) and not self._outgoing.tell(event):
            self.dismiss(reason_now(Cause.TOO_SLOW, f"more than {MAX_EVENTS} events wait"))

    # The end.

    def _hello_due(self, seconds: float) -> None:
        if self._session.greeting is None:
            self.dismiss(reason_now(Cause.IDLE, f"no hello within {seconds:g} s"))

    def _end(self) -> None:
        self.has_ended = True
        self._registry.unwatch(self._tell_event)
        self._places.end(self._reason)
        self._releases.end()

    async def _say_goodbye(self) -> None:
        """Tell the client, if it reads; then close the connection."""
        try:
            if self._reason is not None:
                async with asyncio.timeout(_GOODBYE_DEADLINE):
                    await self._outgoing.say_last(messages.Goodbye(self._reason))
        except TimeoutError:
            _log.info("a client does not read its goodbye", extra=self._audit.facts)
        finally:
            self._outgoing.close()
            self._socket.close()
