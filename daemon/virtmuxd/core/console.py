"""One console: its identity, its records, its life, its input and the clients that have a place at it.

Here the edges meet. The hypervisor side brings output and events and carries out the commands that they lead to; the
service side takes places, types, and reads.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, assert_never

from virtmux import messages
from virtmux.backoff import Backoff
from virtmux.messages import ConsoleInfo, State
from virtmux.people import Companion, Person
from virtmux.reasons import Cause, ConsoleId, Phase, Reason, sentence
from virtmux.records import rfc3339
from virtmuxd.core.claim import FOREVER
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.effects import (
    Begin,
    ClearTimer,
    Close,
    Command,
    Effect,
    End,
    Explain,
    Hold,
    Keep,
    Move,
    Open,
    Probe,
    Query,
    Remember,
    SetTimer,
    Wait,
)
from virtmuxd.core.events import (
    Arrived,
    Demand,
    Event,
    Fenced,
    Incoming,
    Lent,
    Policy,
    PolicySet,
    Reclaimed,
    Released,
    Renamed,
    Spoke,
    Timing,
    TurnedBack,
)
from virtmuxd.core.evidence import Evidence
from virtmuxd.core.hypervisors import is_exclusive
from virtmuxd.core.inputs import Batch, Inputs, Writer
from virtmuxd.core.machine import Machine
from virtmuxd.core.roles import NO_WISH, Change, Roles, Seat, Wish
from virtmuxd.core.sequence import Sequence, Store, StoredMark
from virtmuxd.core.tally import ConsoleTally

#: Unsettled input waits for a pause before it gets its fence: there is a look every so many seconds, and after so many
#: looks it gets one anyway.
_LOOK_S, _LOOKS = 0.1, 10
#: Where more than so many have a place, who is there is told every so many seconds, and not at each change: that is as
#: many messages as there are places.
_CROWD, _CROWD_S = 32, 0.25


class ConsoleKey(NamedTuple):
    """The identity of a console: hypervisor (driver, instance and host UUID), domain UUID, device alias."""

    hypervisor: str
    uuid: str
    device: str

    @property
    def exclusive(self) -> bool:
        """Whether libvirt lets one client alone have the console."""
        return is_exclusive(self.hypervisor)


@dataclass(slots=True)
class Naming:
    """Ways to find a console that may change, and what its XML says. `index` is its order within the domain."""

    uri: str
    domain: str
    backend: str
    index: int


class Holder(Protocol):
    """The hypervisor side of a console."""

    def carry_out(self, command: Command) -> None:
        """Begin to carry out a command; what comes of it is told by an event."""

    def send_input(self) -> None:
        """Input waits."""

    def retire(self) -> None:
        """The console has vanished, and nobody has a place at it."""

    def depart(self) -> None:
        """The console went to another hypervisor, with its guest."""

    def report_bug(self) -> None:
        """Called while an exception is handled: log it, and end what it may have left half done."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a console goes with its migrating guest. `settle` is called when it goes there."""

    key: ConsoleKey
    naming: Naming
    holder: Holder
    settle: Callable[[], None]


class Recorder(Protocol):
    """Who writes the console's records down."""

    @property
    def state(self) -> str:
        """`disk`, or `failing` where that does not take them now."""

    @property
    def lag(self) -> int:
        """How many bytes are not written yet, as far as is known."""

    def rename(self, domain: str, at: int) -> None:
        """The domain has another name."""

    def move(self, key: ConsoleKey, at: int) -> None:
        """The console went to another hypervisor."""

    def close(self, at: int) -> None:
        """The console's last records are there, and its store is about to be let go of."""

    def forget(self, then: Callable[[], None]) -> None:
        """Delete what was written; call when that is done."""


class Place(Seat):
    """A client's place at one console: where it reads, and whether and what it types. The console is held for it, if
    it `holds`.

    `ended` is called where the place is taken away by somebody else than its client.
    """

    def __init__(
        self,
        cursor: Cursor,
        writer: Writer,
        ended: Callable[[Reason], None],
        *,
        who: Person,
        holds: bool = True,
        since: int = 0,
    ) -> None:
        """`writer` has a refusal where the client may only watch. `since`: a time (ns)."""
        super().__init__(who, read_only=writer.refusal is not None, since=since)
        self.cursor = cursor
        self.writer = writer
        self.ended = ended
        self.holds = holds

    def renamed(self) -> None:
        """The domain has another name, so that other rules may be for it."""


class Console:
    """See the module."""

    def __init__(
        self,
        key: ConsoleKey,
        naming: Naming,
        handle: int,
        store: Store,
        *,
        policy: Policy,
        timing: Timing,
        backoff: Backoff,
        tell: Callable[[messages.Event], None],
        relocate: Callable[[ConsoleKey, ConsoleKey], None],
        new_token: Callable[[], str],
        later: Callable[[float, Callable[[int], None]], object],
        kept: str = "memory",
    ) -> None:
        """`tell` is told what happens, for those who watch; `relocate` is called when the console's key becomes
        another. `new_token` makes what nobody can guess, for `Roles`. `later` calls, after so many seconds, with the
        time (ns). `kept` says where the records are, as long as nobody records."""
        self.key = key
        self.naming = naming
        self.handle = handle
        #: Whether the hypervisor has it.
        self.present = False
        self.sequence = Sequence(handle, store, self._tell_mark)
        self.sequence.recover()
        self.inputs = Inputs()
        #: Who writes the records down, if anybody does.
        self.recorder: Recorder | None = None
        self._kept = kept
        self._store = store
        self._tell = tell
        self._relocate = relocate
        self._later = later
        self._letting_out = False
        #: How many looks for a pause are left (0: nobody looks), and whether input was sent since the last.
        self._looks, self._sent_since = 0, False
        #: Whether it is to be told who is there.
        self._company_due = False
        self._told_vanished = True
        self._roles: Roles[Place] = Roles(new_token)
        self._when_decided: list[Callable[[], None]] = []
        self._holder: Holder | None = None
        self._destination: Destination | None = None
        number, running_id = store.incarnation
        self.machine = Machine(
            self.sequence,
            identify=self.identify,
            policy=policy,
            backoff=backoff,
            known=Evidence(number, running_id),
            unheld_since=store.held_until,
            timing=timing,
            released_until=store.released_until,
            exclusive=key.exclusive,
        )
        self.tally = ConsoleTally(self.sequence, self.machine, self.inputs, self._cursors)

    # Identity.

    def identify(self, incarnation: int) -> ConsoleId:
        """The console's id in an incarnation."""
        return ConsoleId(
            self.key.hypervisor, self.naming.uri, self.naming.domain, self.key.uuid, self.key.device, incarnation
        )

    @property
    def id(self) -> ConsoleId:
        """The console's id now."""
        return self.identify(self.machine.newest.number)

    def info(self) -> ConsoleInfo:
        """The console as `list` shows it."""
        last_end, spoke_at = self.sequence.last_end, self.machine.silence.spoke_at
        return ConsoleInfo(
            console=self.handle,
            id=self.id,
            state=self.machine.state,
            since=rfc3339(self.machine.since or 0),
            running=self.machine.newest.running,
            backend=self.naming.backend,
            clients=self.clients,
            attachment=self.machine.attachment if self.machine.state is State.ATTACHED else None,
            position=str(self.sequence.position),
            last_output=None if spoke_at is None else rfc3339(spoke_at),
            last_end=last_end.reason if last_end else None,
            exclusive=self.key.exclusive,
            paused=self.machine.paused,
            policy=self.machine.claim.policy,
            released=self._released,
            journal=self._kept if self.recorder is None else self.recorder.state,
        )

    @property
    def _released(self) -> str | None:
        claim = self.machine.claim
        if claim.lent:
            return "while-in-use"
        if claim.released_until is None:
            return None
        return "until-reclaimed" if claim.released_until == FOREVER else rfc3339(claim.released_until)

    # What is measured.

    @property
    def unheld(self) -> bool:
        """Whether it is to be held and its guest runs, and it is not attached."""
        machine = self.machine
        wanted = machine.claim.laid and machine.available and machine.newest.running
        return wanted and machine.state is not State.ATTACHED

    @property
    def clients(self) -> int:
        """How many have a place at it."""
        return len(self._roles)

    @property
    def lag(self) -> int:
        """By how many bytes the place that is furthest behind lags."""
        return max((cursor.behind(self.sequence.end) for cursor in self._cursors()), default=0)

    def _cursors(self) -> Iterable[Cursor]:
        return (place.cursor for place in self._roles)

    # From the hypervisor side.

    def hold_by(self, holder: Holder) -> None:
        """Have commands carried out, and input sent, by `holder` from now on."""
        self._holder = holder

    def appear(self, naming: Naming, at: int) -> bool:
        """The hypervisor has it, under these names; gives whether that is news."""
        former, self.naming = self.naming, naming
        if former.domain != naming.domain:
            self.handle_event(Renamed(at, former.domain, naming.domain))
            if self.recorder is not None:
                self.recorder.rename(naming.domain, at)
            for place in self._roles:
                place.renamed()
        if self.present:
            return False
        self.present, self._told_vanished = True, False
        self._tell(self.event("appeared", at))
        return True

    def vanish(self, at: int) -> None:
        """The hypervisor has it no more. It stays until its attachment is over, and for those at a place of it."""
        self.present = False
        self._tell_vanished(at)

    def _tell_vanished(self, at: int) -> None:
        if not self.present and not self._told_vanished and self._idle:
            self._told_vanished = True
            self._tell(self.event("vanished", at))

    @property
    def forsaken(self) -> bool:
        """Whether it has vanished, and nobody holds it, has a place at it or has it let go."""
        return self._told_vanished and not self._roles and not self.machine.claim.lent and self._idle

    @property
    def occupied(self) -> bool:
        """Whether it is held, sought or waited for."""
        return bool(self._roles) or not self._idle

    @property
    def unplugged(self) -> bool:
        """Whether its device was removed from the guest that runs, as far as is known."""
        return self.machine.newest.device_removed is not None

    @property
    def _idle(self) -> bool:
        """Whether nothing is held, and nothing under way."""
        return self.machine.state in (State.ABSENT, State.WAITING)

    def handle_event(self, event: Event) -> None:
        """Take what happened, and see to what follows from it. This is the failure boundary of a console."""
        try:
            for effect in self.machine.handle(event):
                self._see_to(effect)
            self._tell_vanished(event.at)
            if self.forsaken and self._holder is not None:
                self._holder.retire()
        except Exception:
            if self._holder is None:
                raise
            self._holder.report_bug()
        if self.machine.decided:
            answers, self._when_decided = self._when_decided, []
            for answer in answers:
                answer()

    def _see_to(self, effect: Effect) -> None:
        match effect:
            case Begin(at, attachment, shared):
                self._store.hold(at)
                self.inputs.start(attachment, shared=shared)
            case End(at):
                self._store.let_go(at)
                self.inputs.end()
            case Explain(cause):
                self.inputs.explain(cause)
            case Hold(held):
                self.inputs.hold(held=held)
                self._send_input()
            case Probe():
                self.inputs.probe()
                self._send_input()
            case Remember(number, running_id):
                self._store.remember(number, running_id)
            case Keep(until):
                self._store.release(until)
            case Move():
                self._move()
            case Wait(at, reason):
                self._tell(self.event("waiting", at, reason))
            case Open() | Close() | Query() | SetTimer() | ClearTimer():
                if self._holder is not None:
                    self._holder.carry_out(effect)
            case _:
                assert_never(effect)

    def expect(self, destination: Destination, at: int) -> None:
        """The guest is being migrated there."""
        self._destination = destination
        self.handle_event(Incoming(at, destination.naming.uri))

    def arrived(self, at: int, running_id: int, *, paused: bool) -> None:
        """It runs there now, or is paused there as it was here."""
        self.handle_event(Arrived(at, running_id, paused))

    def turned_back(self, at: int) -> None:
        """It does not go there."""
        if self._destination is not None:
            uri, self._destination = self._destination.naming.uri, None
            self.handle_event(TurnedBack(at, uri))

    def _move(self) -> None:
        destination, self._destination = self._destination, None
        if destination is not None:
            former, former_holder = self.key, self._holder
            destination.settle()
            self.key, self.naming, self._holder = destination.key, destination.naming, destination.holder
            self._relocate(former, self.key)
            if former_holder is not None:
                former_holder.depart()

    def receive(self, pieces: Iterable[bytes], at: int) -> None:
        """Append output that arrived together, and let the readers have it."""
        size = 0
        for piece in pieces:
            self.sequence.append(piece, at)
            size += len(piece)
        self.machine.silence.spoke_at = at
        wait = self.sequence.publish()
        if wait is not None:
            self._let_out_in(wait)
        if self.machine.silence.unwatched:
            self.handle_event(Spoke(at))
        if self.inputs.heard(size):
            self._send_input()

    def limit_delivery(self, rate: int) -> None:
        """Let readers have so many bytes of output a second, as it comes; 0: all."""
        self.sequence.limit(rate)

    def _let_out_in(self, seconds: float) -> None:
        """Some output is held back."""
        if not self._letting_out:
            self._letting_out = True
            self._later(seconds, self._let_out)

    def _let_out(self, at: int) -> None:
        self._letting_out = False
        wait = self.sequence.let_out(at)
        if wait is not None:
            self._let_out_in(wait)

    def sent(self, batch: Batch, at: int) -> None:
        """libvirt took what `inputs` gave, and answered its fence, if it had one. For input that is unsettled one is
        asked for, once there is a pause."""
        self.inputs.sent(batch)
        self._sent_since = self._sent_since or bool(batch.packets)
        if self.inputs.unsettled and not self._looks:
            self._looks, self._sent_since = _LOOKS, False
            self._later(_LOOK_S, self._settle)
        if batch.fence and batch.attachment == self.machine.attachment:
            self.handle_event(Fenced(at))

    def _settle(self, _at: int) -> None:
        """Ask for a fence if nothing was sent since the last look, or if this was the last one; else look again."""
        self._looks -= 1
        if self._looks and self._sent_since and self.inputs.unsettled:
            self._sent_since = False
            self._later(_LOOK_S, self._settle)
            return
        self._looks = 0
        if self.inputs.unsettled:
            self.inputs.ask()
            self._send_input()

    def _send_input(self) -> None:
        if self._holder is not None:
            self._holder.send_input()

    def close(self, at: int) -> None:
        """The daemon stops in order, or forgets the console: record it, and let go of the store."""
        if self.machine.state is State.ATTACHED:
            self._store.let_go(at)
        for effect in self.machine.conclude():
            self._see_to(effect)
        self.limit_delivery(0)
        if self.recorder is not None:
            self.recorder.close(at)
        self.tally.close()
        self._store.close(at)

    def forget(self, then: Callable[[], None]) -> None:
        """Hold nothing of what was recorded so far, and delete what was written of it; call when that is done."""
        self.sequence.forget()
        if self.recorder is not None:
            self.recorder.forget(then)
        else:
            then()

    # From the service side.

    def enter(self, place: Place, at: int, wish: Wish = NO_WISH, *, force: bool = False) -> None:
        """Give a client its place, in the role that it may have. If the place holds the console, that is opened where
        it was not and the policy allows it; with `force` it is taken, once, from another libvirt client that has it.

        Raises:
            TakenError: as `Roles.enter`; there is no place.
        """
        self._change_roles(self._roles.enter(place, wish))
        self._set_writer(place)
        self._tell_company(place)
        if place.holds:
            self.handle_event(Demand(at, present=True, force=force))

    def leave(self, place: Place, at: int, *, lost: bool = False) -> None:
        """Take a client's place away; what it typed before goes its way. An exclusive one that was `lost` with its
        connection keeps its right until `expire`."""
        self.sequence.leave(place.cursor)
        self.inputs.forget(place.writer)
        self._change_roles(self._roles.leave(place, lost=lost))
        self.tally.leave(place.cursor)
        self._tell_company(place)
        if place.holds and not any(each.holds for each in self._roles):
            self.handle_event(Demand(at, present=False))

    def permit(self, place: Place, *, types: bool, alone: bool) -> None:
        """What the client may do has changed: whether it may type, and whether that `alone`."""
        changes = self._roles.permit(place, types=types, alone=alone)
        self._change_roles(changes)
        if changes:
            self._tell_company()

    def expire(self, token: str) -> None:
        """Who had the console exclusively, by this token, has not come back in time."""
        changes = self._roles.expire(token)
        self._change_roles(changes)
        if changes:
            self._tell_company()

    def owner_but(self, token: str | None) -> Person | None:
        """As `Roles.owner_but`."""
        return self._roles.owner_but(token)

    def others(self, place: Place) -> tuple[list[Companion], int]:
        """Who else has a place, some of them by name, and how many more there are."""
        return self._roles.others(place)

    def _change_roles(self, changes: list[Change[Place]]) -> None:
        for seat, by in changes:
            self._set_writer(seat)
            seat.tell_role(by)

    def _set_writer(self, place: Place) -> None:
        if place.role.types:
            self.inputs.permit(place.writer)
        else:
            self.inputs.refuse(place.writer, Cause.ACCESS_DENIED)
            self._send_input()

    def _tell_company(self, newcomer: Place | None = None) -> None:
        """All others learn that somebody has come or gone, or may do something else now."""
        if len(self._roles) > _CROWD:
            if not self._company_due:
                self._company_due = True
                self._later(_CROWD_S, self._tell_crowd)
            return
        for seat in self._roles:
            if seat is not newcomer:
                seat.tell_company()

    def _tell_crowd(self, _at: int) -> None:
        self._company_due = False
        for seat in self._roles:
            seat.tell_company()

    def type(self, place: Place, attachment: int, input_offset: int, data: bytes) -> None:
        """Take input from a client.

        Raises:
            ProtocolError: as `Inputs.offer`.
        """
        self.inputs.offer(place.writer, attachment, input_offset, data)
        self._send_input()

    def refuse(self, place: Place, cause: Cause) -> None:
        """What the client typed and is not on its way goes no further, nor what it types."""
        self.inputs.refuse(place.writer, cause)
        self._send_input()

    def refuse_those_who_left(self) -> None:
        """The same of clients that have left: nobody knows any more who they were, and whether they still may type."""
        self.inputs.refuse_those_who_left()
        self._send_input()

    def confirm(self, place: Place) -> None:
        """Find out the fate of what the client typed so far, and tell it."""
        if place.writer.account.pending:
            self.inputs.ask()
            self._send_input()

    def evict(self, place: Place, reason: Reason, at: int) -> None:
        """Take a client's place away; what it typed and is not on its way goes no further."""
        if place in self._roles:
            self.refuse(place, reason.cause)
            self.tally.evict()
            self.leave(place, at)
            place.ended(reason)

    def make_room(self, at: int) -> None:
        """A guest was migrated here and brought its own console along: whoever waits at this one is sent away."""
        self._send_away("the guest was migrated here with its console; attach again", at)
        self.vanish(at)
        self.close(at)

    def abandon(self, at: int) -> None:
        """The daemon serves its hypervisor no more: whoever is here is sent away. Close it once it is let go."""
        self._send_away(f"virtmuxd does not serve {self.naming.uri} any more", at)
        self.present, told, self._told_vanished = False, self._told_vanished, True
        if not told:
            self._tell(self.event("vanished", at))

    def _send_away(self, why: str, at: int) -> None:
        text = sentence(Cause.EVICTED, self.id, why)
        reason = Reason(cause=Cause.EVICTED, text=text, phase=Phase.SERVER, at=rfc3339(at), console=self.id)
        for place in self._roles:
            self.evict(place, reason, at)

    def set_policy(self, policy: Policy, linger: float, at: int) -> None:
        """Hold the console as the policy says from now on."""
        claim = self.machine.claim
        if (policy, linger) != (claim.policy, claim.linger):
            self.handle_event(PolicySet(at, policy, linger))

    def release(self, at: int, until: int | None) -> None:
        """Let the console go, until a time (ns) or until it is reclaimed; over restarts too."""
        self.handle_event(Released(at, until))

    def reclaim(self, at: int) -> None:
        """Take it back."""
        self.handle_event(Reclaimed(at))

    def step_aside(self, at: int) -> None:
        """Let it go until `step_back` was called as often."""
        self.handle_event(Lent(at, lent=True))

    def step_back(self, at: int) -> None:
        """See `step_aside`."""
        self.handle_event(Lent(at, lent=False))

    def when_decided(self, answer: Callable[[], None]) -> None:
        """Call once it is decided whether the console can be had: now, or later."""
        if self.machine.decided:
            answer()
        else:
            self._when_decided.append(answer)

    @property
    def why_not(self) -> Reason | None:
        """Why the console is not attached: what it waits for, or how it ended last."""
        if self.machine.state is State.ATTACHED:
            return None
        last_end = self.sequence.last_end
        return self.machine.waiting or (last_end.reason if last_end is not None else None)

    # To those who watch.

    def event(
        self,
        kind: str,
        at: int,
        reason: Reason | None = None,
        *,
        detail: str | None = None,
        span: tuple[int, int] | None = None,
    ) -> messages.Event:
        """An event that is no mark; it concerns a `span` of offsets, or happens at the end of the output."""
        offset, to_offset = span or (self.sequence.end, None)
        return messages.Event(
            event=kind,
            at=rfc3339(at),
            console=self.id,
            offset=offset,
            to_offset=to_offset,
            reason=reason,
            detail=detail,
        )

    def tell(self, event: messages.Event) -> None:
        """Tell those who watch."""
        self._tell(event)

    def _tell_mark(self, mark: StoredMark) -> None:
        self._tell(messages.event_of(self.id, mark.offset, mark.number, mark.record))
