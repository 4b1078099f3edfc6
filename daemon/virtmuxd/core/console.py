"""One console: its identity, its records, its life, its input and the company of those who have a place at it.

Here the edges meet. The hypervisor side, its `Holder`, brings output and events and carries out the commands that they
lead to; the service side takes places in the `company`, types there, and reads the `sequence`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from virtmux import messages
from virtmux.backoff import Backoff
from virtmux.messages import ConsoleInfo, State
from virtmux.reasons import Cause, ConsoleId, Phase, Reason, sentence
from virtmux.records import rfc3339
from virtmuxd.core.company import Company
from virtmuxd.core.console_key import ConsoleKey, Naming
from virtmuxd.core.effects import Begin, Effect, End, Explain, Hold, Keep, Move, Probe, Remember, Wait
from virtmuxd.core.events import Event, Fenced, Incoming, Policy, PolicySet, Renamed, Spoke, Timing, TurnedBack
from virtmuxd.core.evidence import Evidence
from virtmuxd.core.holder import Destination, Holder
from virtmuxd.core.inputs import Batch, Inputs
from virtmuxd.core.later import Later
from virtmuxd.core.machine import Machine
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.settling import Settling
from virtmuxd.core.store import Recorder, Store, StoredMark
from virtmuxd.core.tally import ConsoleTally


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
        later: Later,
        kept: str = "memory",
    ) -> None:
        """`tell` is told what happens, for those who watch; `relocate` is called when the console's key becomes
        another. `new_token` makes what nobody can guess, for `Roles`. `kept` says where the records are, as long as
        nobody records."""
        self.key, self.naming, self.handle = key, naming, handle
        self.tell = tell
        #: Whether the hypervisor has it, and whether those who watch know that it has not.
        self.present, self._told_vanished = False, True
        self.sequence = Sequence(handle, store, self._tell_mark)
        self.inputs = Inputs()
        self.company = Company(
            self.sequence, self.inputs, new_token, later, demand=self.handle_event, send_input=self._send_input
        )
        #: Who writes the records down, if anybody does.
        self.recorder: Recorder | None = None
        self._kept = kept
        self._store = store
        self._relocate = relocate
        self._later = later
        self._letting_out = False
        self._settling = Settling(self.inputs, later, self._send_input)
        self._when_decided: list[Callable[[], None]] = []
        self._holder: Holder | None = None
        self._destination: Destination | None = None
        self.machine = self._make_machine(policy, timing, backoff)
        self.tally = ConsoleTally(self.sequence, self.machine, self.inputs, self.company)

    def _make_machine(self, policy: Policy, timing: Timing, backoff: Backoff) -> Machine:
        """One that goes on from what a former daemon has left in the store."""
        return Machine(
            self.sequence,
            identify=self.identify,
            policy=policy,
            backoff=backoff,
            known=Evidence(*self._store.incarnation),
            unheld_since=self._store.held_until,
            timing=timing,
            released_until=self._store.released_until,
            exclusive=self.key.exclusive,
        )

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
            clients=len(self.company),
            attachment=self.machine.attachment if self.machine.state is State.ATTACHED else None,
            position=str(self.sequence.position),
            last_output=None if spoke_at is None else rfc3339(spoke_at),
            last_end=last_end.reason if last_end else None,
            exclusive=self.key.exclusive,
            paused=self.machine.paused,
            policy=self.machine.claim.policy,
            released=self.machine.claim.released,
            journal=self._kept if self.recorder is None else self.recorder.state,
        )

    @property
    def unheld(self) -> bool:
        """Whether it is to be held and its guest runs, and it is not attached."""
        machine = self.machine
        wanted = machine.claim.laid and machine.available and machine.newest.running
        return wanted and machine.state is not State.ATTACHED

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
            for place in self.company:
                place.renamed()
        if self.present:
            return False
        self.present, self._told_vanished = True, False
        self.tell(self.event("appeared", at))
        return True

    def vanish(self, at: int) -> None:
        """The hypervisor has it no more. It stays until its attachment is over, and for those at a place of it."""
        self.present = False
        self._tell_vanished(at)

    def _tell_vanished(self, at: int) -> None:
        if not self.present and not self._told_vanished and self._idle:
            self._told_vanished = True
            self.tell(self.event("vanished", at))

    @property
    def forsaken(self) -> bool:
        """Whether it has vanished, and nobody holds it, has a place at it or has it let go."""
        return self._told_vanished and not self.company and not self.machine.claim.lent and self._idle

    @property
    def occupied(self) -> bool:
        """Whether it is held, sought or waited for."""
        return bool(self.company) or not self._idle

    @property
    def unplugged(self) -> bool:
        """Whether its device was removed from the guest that runs, as far as is known."""
        return self.machine.newest.device_removed is not None

    @property
    def _idle(self) -> bool:
        """Whether nothing is held, and nothing under way."""
        return self.machine.state in (State.ABSENT, State.WAITING)

    def handle_event(self, event: Event) -> None:
        """Take what happened, and see to what follows from it."""
        with self._contained():
            for effect in self.machine.handle(event):
                self._see_to(effect)
            self._tell_vanished(event.at)
            if self.forsaken and self._holder is not None:
                self._holder.retire()
        if self.machine.decided:
            answers, self._when_decided = self._when_decided, []
            for answer in answers:
                answer()

    @contextmanager
    def _contained(self) -> Iterator[None]:
        """A bug in what the console does itself ends at its failure boundary, which is with its holder: whoever
        brings an event is not concerned. Where nobody holds it, it is theirs."""
        try:
            yield
        except Exception:
            if self._holder is None:
                raise
            self._holder.report_bug()

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
                self.tell(self.event("waiting", at, reason))
            case _:  # a command: mypy says so
                if self._holder is not None:
                    self._holder.carry_out(effect)

    def expect(self, destination: Destination, at: int) -> None:
        """The guest is being migrated there; `Arrived` tells that it is."""
        self._destination = destination
        self.handle_event(Incoming(at, destination.naming.uri))

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
        """libvirt took what `inputs` gave, and answered its fence, if it had one."""
        self.inputs.sent(batch)
        self._settling.sent(batch)
        if batch.fence and batch.attachment == self.machine.attachment:
            self.handle_event(Fenced(at))

    def _send_input(self) -> None:
        if self._holder is not None:
            self._holder.send_input()

    def close(self, at: int) -> None:
        """The daemon stops in order, or forgets the console: record it, and let go of the store."""
        if self.machine.state is State.ATTACHED:
            self._store.let_go(at)
        with self._contained():
            for effect in self.machine.conclude():
                self._see_to(effect)
        self.sequence.limit(0)
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
            self.tell(self.event("vanished", at))

    def _send_away(self, why: str, at: int) -> None:
        text = sentence(Cause.EVICTED, detail=why)
        reason = Reason(cause=Cause.EVICTED, text=text, phase=Phase.SERVER, at=rfc3339(at), console=self.id)
        self.company.evict_all(reason, at)

    def set_policy(self, policy: Policy, linger: float, at: int) -> None:
        """Hold the console as the policy says from now on."""
        claim = self.machine.claim
        if (policy, linger) != (claim.policy, claim.linger):
            self.handle_event(PolicySet(at, policy, linger))

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
        begin, end = span or (self.sequence.end, None)
        return messages.Event(
            event=kind, at=rfc3339(at), console=self.id, offset=begin, to_offset=end, reason=reason, detail=detail
        )

    def _tell_mark(self, mark: StoredMark) -> None:
        self.tell(messages.event_of(self.id, mark.offset, mark.number, mark.record))
