"""The places that one client has at consoles: how they begin, what is typed and told there, and how they end."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from virtmux import messages
from virtmux.people import Person, PlaceInfo, Role
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, ConsoleId, Reason
from virtmux.records import rfc3339
from virtmux.wire import Input, ProtocolError
from virtmuxd.core.access import Right
from virtmuxd.core.console import Console
from virtmuxd.core.limits import LimitsInForce
from virtmuxd.core.log_fields import of_console
from virtmuxd.core.past import PastConsole
from virtmuxd.core.roles import KEPT, TakenError, Wish
from virtmuxd.core.start import Start
from virtmuxd.core.writer import Writer
from virtmuxd.service.answers import person, refused
from virtmuxd.service.audit import Audit
from virtmuxd.service.client_place import ClientPlace
from virtmuxd.service.contained import Boundary, Contained, contained
from virtmuxd.service.once import Once
from virtmuxd.service.outgoing import Outgoing
from virtmuxd.service.proofs import Proofs
from virtmuxd.service.rights import Rights

#: Seconds within which an attach is answered.
_ATTACH_DEADLINE = 15.0
#: Seconds for the archive to say where a replay begins; then it begins with what is nearer.
_START_DEADLINE = 10.0
#: Seconds between two looks at how far a client lags.
_LAG_CHECK = 1.0
#: Places that a client may have at stored histories: for each the daemon has an index in memory, some MiB.
MAX_PAST = 8
#: Why a client is sent away that is to do nothing more: what it typed before and waits goes no further.
_SENT_AWAY = frozenset({Cause.EVICTED, Cause.ACCESS_DENIED})
#: So many places of a client are told to those who ask who is there.
_MAX_LISTED = 100


class Places(Contained):
    """See the module. `client` is whose failure boundary this is in."""

    def __init__(
        self,
        client: Boundary,
        who: Person,
        outgoing: Outgoing,
        rights: Rights,
        proofs: Proofs,
        *,
        limits: LimitsInForce,
        window: int,
        audit: Audit,
    ) -> None:
        """`window`: so much input may be on its way from each place."""
        super().__init__(client)
        self.who = who
        self._audit = audit
        #: The features that the client knows.
        self.knows: frozenset[str] = frozenset()
        self._outgoing = outgoing
        self._rights = rights
        self._proofs = proofs
        self._limits = limits
        self._window = window
        self._loop = asyncio.get_running_loop()
        self._places: dict[int, ClientPlace] = {}
        self._former: set[int] = set()
        self._lag_check: asyncio.TimerHandle | None = None

    @property
    def consoles(self) -> list[ConsoleId]:
        """Where there are places."""
        return [place.console.id for place in self._places.values()]

    def infos(self, sees: Callable[[ConsoleId], bool]) -> tuple[list[PlaceInfo], int]:
        """The places that somebody `sees`, some of them by name, and how many more there are."""
        seen = [place for place in self._places.values() if sees(place.console.id)]
        shown = seen[:_MAX_LISTED]
        listed = [PlaceInfo(place.console.id, place.role, rfc3339(place.since)) for place in shown]
        return listed, len(seen) - len(listed)

    # A place begins.

    def attach(self, request: messages.Attach, console: Console | PastConsole) -> None:
        """Give the client a place at a console, or refuse it."""
        rights = self._rights.at(console.id)
        missing = _needed_to_attach(request, console) - rights
        if missing:
            self._outgoing.answer(messages.Refused(request.id, self._denied(missing, console)))
            return
        why_not = self._why_not(request, console)
        if why_not is not None:
            self._refuse(request.id, Cause.PROTOCOL_ERROR, why_not)
            return
        place = self._make(request, console, types=not request.read_only and Right.TYPE in rights)
        owner = console.company.owner_but(request.token)
        try:
            self._find_start(place, rights)
            alone = request.exclusive and place.role.types and Right.EXCLUSIVE in rights
            wish = Wish(alone, request.steal and Right.STEAL in rights, request.token)
            console.company.enter(place, place.since, wish, force=request.force)
        except ValueError as error:
            self._refuse(request.id, Cause.PROTOCOL_ERROR, str(error))
            return
        except TakenError as taken:
            text = f"{person(taken.by)} has the console of {console.id.domain} alone; --steal takes it over"
            self._refuse(request.id, Cause.CONSOLE_BUSY, text)
            return
        self._places[console.handle] = place
        self._former.discard(console.handle)
        self._record(place, owner)
        if place.start is None:
            self._loop.call_later(_START_DEADLINE, self._start, place, Start(console.sequence.nearest))
        if request.hold and isinstance(console, Console):
            console.when_decided(Once(partial(self._decided, place), _ATTACH_DEADLINE))
        else:
            self._answer_attach(place)

    def _make(self, request: messages.Attach, console: Console | PastConsole, *, types: bool) -> ClientPlace:
        """A place that nobody has yet."""
        refusal = None if types else Cause.ACCESS_DENIED
        return ClientPlace(
            request,
            console,
            self._outgoing,
            Writer(partial(self._tell_input, console.handle), refusal, window=self._window),
            ended=partial(self._lose_place, console.handle),
            review=self.review,
            who=self.who,
            knows=self.knows,
            audit=self._audit,
        )

    def _record(self, place: ClientPlace, owner: Person | None) -> None:
        """The place has begun, where `owner` had the console alone."""
        console = place.console
        place.audit.began(place.role)
        if owner is not None and place.role is Role.EXCLUSIVE:
            self._audit.stole(console.id, owner)
        if place.request.force:
            self._audit.forced(console.id)

    def _why_not(self, request: messages.Attach, console: Console | PastConsole) -> str | None:
        """What is wrong with a request, if anything."""
        if console.handle in self._places:
            return "this connection has a place at that console already"
        most = self._limits.rules.consoles_per_client
        if len(self._places) >= most:
            return f"this connection has {most} places, the most that limits.consoles_per_client allows"
        past = [place for place in self._places.values() if isinstance(place.console, PastConsole)]
        if isinstance(console, PastConsole) and len(past) >= MAX_PAST:
            return f"this connection has {MAX_PAST} places at stored histories, the most that one may have"
        if request.exclusive and request.read_only:
            return "a place that is read-only cannot be exclusive"
        return None

    def _find_start(self, place: ClientPlace, rights: frozenset[Right]) -> None:
        history = place.reads_from.history
        place.reads_from = self._proofs.since(place.request.proof, self.who.uid, history) or place.reads_from
        place.find_start(partial(self._start, place), reads_all=Right.HISTORY in rights)

    def _denied(self, missing: set[Right], console: Console | PastConsole) -> Reason:
        right = next(each for each in Right if each in missing)
        denied = self._rights.denied(right, console.id.domain, of_console(console.id))
        return replace(denied, console=console.id)

    @contained
    def _start(self, place: ClientPlace, start: Start) -> None:
        """It was found out where the place starts."""
        if place.start is None:
            reads_all = isinstance(place.console, PastConsole) or Right.HISTORY in self._rights.at(place.console.id)
            place.begin(start if reads_all else place.limited(start))
            self._answer_attach(place)

    @contained
    def _decided(self, place: ClientPlace) -> None:
        place.decided = True
        self._answer_attach(place)

    def _answer_attach(self, place: ClientPlace) -> None:
        if self._places.get(place.console.handle) is not place:
            return
        answer = place.answer(partial(self._proofs.prove, self.who.uid))
        if answer is None:
            return
        self._outgoing.answer(answer)
        place.answered = True
        place.tell_company()
        place.feed.flow(paused=False)

    def _refuse(self, request: int, cause: Cause, text: str) -> None:
        self._outgoing.answer(refused(request, cause, text))

    # While it lasts.

    def flow(self, handle: int, *, paused: bool) -> None:
        """Hold the records of a place back, or let them go on."""
        place = self._places.get(handle)
        if place is not None and place.answered:
            place.feed.flow(paused=paused)
            if paused:
                self.watch_lag()

    def confirm(self, handle: int) -> None:
        """Find out the fate of what was typed at a place."""
        place = self._places.get(handle)
        if place is not None:
            place.console.company.confirm(place)

    def type(self, frame: Input) -> None:
        """Take input.

        Raises:
            ProtocolError: the client never had a place there, or as `Company.type`.
        """
        place = self._places.get(frame.console)
        if place is not None:
            place.console.company.type(place, frame.attachment, frame.input_offset, frame.data)
            if place.role.types:
                place.audit.typed(len(frame.data))
            else:
                self._tell_refused(place)
        elif frame.console not in self._former:
            raise ProtocolError(f"input for console {frame.console}, where this client has no place")

    def _tell_refused(self, place: ClientPlace) -> None:
        if not place.was_refused:
            place.was_refused = True
            if Right.TYPE not in self._rights.at(place.console.id):
                self._denied({Right.TYPE}, place.console)

    @contained
    def _tell_input(self, handle: int) -> None:
        place = self._places.get(handle)
        if place is not None and place.answered:  # else it has typed nothing yet
            self._outgoing.tell_status(handle, place.writer.account)

    def watch_lag(self) -> None:
        """Records wait for the client: look after a while whether it lags too far, as long as any do."""
        if self._lag_check is None:
            self._lag_check = self._loop.call_later(_LAG_CHECK, self._check_lag)

    @contained
    def _check_lag(self) -> None:
        self._lag_check = None
        for place in tuple(self._places.values()):
            why = place.feed.sequence.too_slow(place.feed.cursor) if place.answered else None
            if why is not None and isinstance(place.console, Console):
                reason = reason_now(Cause.TOO_SLOW, why, console=place.console.id)
                place.console.company.evict(place, reason, time.time_ns())
        if any(place.answered and not place.feed.is_level for place in self._places.values()):
            self.watch_lag()

    @contained
    def review(self) -> None:
        """Other rules are in force, or the rules are for another name: see what each place still may do."""
        for place in tuple(self._places.values()):
            rights = self._rights.at(place.console.id)
            missing = _needed_to_stay(place.console) - rights
            if not missing and place.reads_history and Right.HISTORY not in rights:
                missing = {Right.HISTORY}
            if missing:
                self._take_away(place, self._denied(missing, place.console))
            elif not place.request.read_only:
                place.console.company.permit(place, types=Right.TYPE in rights, alone=Right.EXCLUSIVE in rights)

    def _take_away(self, place: ClientPlace, reason: Reason) -> None:
        if isinstance(place.console, Console):
            place.console.company.evict(place, reason, time.time_ns())
        else:
            place.console.company.leave(place, time.time_ns())
            self._lose_place(place.console.handle, reason)

    # Its end.

    def detach(self, handle: int) -> None:
        """Give a place up. It does not withdraw an attach that is not answered yet."""
        place = self._places.get(handle)
        if place is not None and place.answered:
            self._leave(place, Cause.DETACHED)

    @contained
    def _lose_place(self, handle: int, reason: Reason) -> None:
        """The place was taken away by somebody else."""
        place = self._places.pop(handle)
        self._remember(place)
        self._outgoing.remove(handle, place.feed)
        place.audit.ended(reason.cause)
        ended = messages.PlaceEnded(handle, reason) if place.answered else messages.Refused(place.request.id, reason)
        self._outgoing.answer(ended)

    def end(self, reason: Reason | None) -> None:
        """The client is not connected any more. Without a `reason` it was lost, and may come back for what it had
        exclusively."""
        if self._lag_check is not None:
            self._lag_check.cancel()
        for place in tuple(self._places.values()):
            self._leave(place, Cause.DETACHED if reason is None else reason.cause, lost=reason is None)

    def _leave(self, place: ClientPlace, cause: Cause, *, lost: bool = False) -> None:
        handle = place.console.handle
        del self._places[handle]
        self._remember(place)
        if cause in _SENT_AWAY and isinstance(place.console, Console):
            place.console.company.refuse(place, cause)
        self._outgoing.remove(handle, place.feed)
        place.console.company.leave(place, time.time_ns(), lost=lost)
        place.audit.ended(cause)
        if lost and place.token is not None:
            self._loop.call_later(KEPT, place.console.company.expire, place.token)

    def _remember(self, place: ClientPlace) -> None:
        """Its client may still send input. To what is only stored none is ever sent, and each place there has a handle
        of its own."""
        if isinstance(place.console, Console):
            self._former.add(place.console.handle)


def _needed_to_stay(console: Console | PastConsole) -> set[Right]:
    """The rights without which there is no place."""
    return {Right.WATCH, Right.HISTORY} if isinstance(console, PastConsole) else {Right.WATCH}


def _needed_to_attach(request: messages.Attach, console: Console | PastConsole) -> set[Right]:
    """The rights without which a place is not given as it was asked for."""
    needed = _needed_to_stay(console)
    if request.force:
        needed.add(Right.FORCE)
    if request.exclusive and request.token is None:  # who comes back with a token is given a place in any case
        needed |= {Right.TYPE, Right.EXCLUSIVE}
        needed |= {Right.STEAL} if request.steal else set()
    return needed
