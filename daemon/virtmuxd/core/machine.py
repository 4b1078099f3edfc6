"""The life of one console as a state machine: what happened goes in, what to do comes out.

    absent    nobody wants the console, nobody holds it
    opening   it is being opened
    attached  virtmux holds it
    ending    it ended: its `ended` mark is reserved, the stream is being cleaned up, evidence is gathered
    waiting   it is wanted, and cannot be had until something happens (`waiting` says why)

`Machine.TABLE`, at the end, says what is done for which event in which state, and which states that may lead to. An
event without an entry is ignored, on purpose: whoever ends first wins, and late events change nothing. Before the table
is asked, every event adds to what is known (`_learn`). Marks are written to the console's sequence at once; all other
effects are returned, in order.

An end has one root cause. It is saved when it happens, together with the evidence of the incarnation that was attached;
from then on nothing replaces it, it is only explained.

The file is long, because the table is read together with what it names; what can be told by itself lies beside it:
`claim` (is the console wanted?), `incarnations` (which start of the guest?), `ending` and `evidence` (why did it
end?), `silence` (is it still served?).

Two things look like an end and need not be one. A stream that is served no more may have been taken by somebody else,
without a word from libvirt, or its guest may just take no input: opening it again tells, and where that succeeds there
was a break and no end. And a guest that is migrated to a hypervisor which this daemon serves too goes on there, with
its console.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

from msgspec import structs

from virtmux.backoff import Backoff
from virtmux.messages import State
from virtmux.reasons import CAUSES, Cause, ConsoleId, LibvirtEvent, Phase, Reason, Retry, sentence
from virtmux.records import Attached, Break, Ended, Note, rfc3339
from virtmuxd.core.claim import Claim
from virtmuxd.core.ending import DOUBT_S, DOUBTS, Ending
from virtmuxd.core.events import (
    Answered,
    Arrived,
    Begin,
    Cleaned,
    ClearTimer,
    Close,
    Command,
    Demand,
    Down,
    Duty,
    Elapsed,
    End,
    Event,
    Explain,
    Failed,
    Fenced,
    Hold,
    Incoming,
    Lent,
    Move,
    Noted,
    Open,
    Opened,
    OpenFailed,
    Paused,
    Policy,
    PolicySet,
    Query,
    Reclaimed,
    Released,
    Remember,
    Renamed,
    Resumed,
    SetTimer,
    ShuttingDown,
    Spoke,
    Started,
    Stopped,
    Timer,
    Timing,
    TurnedBack,
    Undefined,
    Unplugged,
    Up,
    Wait,
)
from virtmuxd.core.evidence import (
    GUEST_ENDS,
    Evidence,
    Failure,
    Verdict,
    assume,
    classify,
    has_lost_its_pty,
    is_starting,
    opening_cause,
    stopped_cause,
)
from virtmuxd.core.incarnations import Incarnations
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.silence import Silence

#: What an end announces: waiting for one of these causes is no news after it, and makes no mark.
_ANNOUNCED: dict[Cause, frozenset[Cause]] = {
    Cause.CONSOLE_TAKEN_OVER: frozenset({Cause.CONSOLE_BUSY}),
    Cause.DEVICE_REMOVED: frozenset({Cause.CONSOLE_MISSING}),
    Cause.GUEST_UNDEFINED: frozenset({Cause.GUEST_NOT_RUNNING}),
    Cause.HYPERVISOR_LOST: frozenset({Cause.HYPERVISOR_TIMEOUT}),
    Cause.HYPERVISOR_TIMEOUT: frozenset({Cause.HYPERVISOR_LOST}),
} | dict.fromkeys(GUEST_ENDS, frozenset({Cause.GUEST_NOT_RUNNING}))

#: An attachment that lasted this long (ns) was a success: asking for the console starts over at short intervals.
_LASTING = 10 * 10**9

#: So long (ns) after the hypervisor has come back a console that is busy may be so by our own former stream, or that of
#: a former daemon, which libvirt has not given up yet.
_EAGER = 2 * 10**9

#: So many tries at a PTY that cannot be opened are made without a word, in under a second: its guest may be ending.
_SOON_GONE = 3

#: Where it may lead to that a console is sought.
_SOUGHT = (State.ABSENT, State.OPENING, State.WAITING)


@dataclass(slots=True)
class _Journey:
    """A migration to a hypervisor that this daemon serves."""

    uri: str
    arrived: Arrived | None = None
    told: bool = False


class Transition(NamedTuple):
    """An entry of the table: what is done, and the states that it may lead to, besides the one it starts from."""

    action: Callable[[Any, Any], None]
    to: tuple[State, ...] = ()


class Machine:
    """The state of one console. Not thread-safe; `handle` is called from the loop, in the order of the events."""

    def __init__(
        self,
        sequence: Sequence,
        *,
        identify: Callable[[int], ConsoleId],
        policy: Policy,
        backoff: Backoff,
        known: Evidence,
        unheld_since: int | None,
        timing: Timing,
        released_until: int | None = None,
        exclusive: bool = True,
    ) -> None:
        """Start absent.

        Args:
            identify: the ConsoleId for an incarnation number.
            known: the newest incarnation that is known of, number 0 if none.
            unheld_since: when a former daemon lost hold of the console, if one ever had it.
            released_until: as a former daemon was asked; see `Claim`.
            exclusive: whether libvirt lets one client alone have the console.
        """
        self.state = State.ABSENT
        self.since: int | None = None
        self.claim = Claim(policy, timing, released_until)
        self.silence = Silence(exclusive=exclusive, after_s=timing.probe_after)
        self.attachment = 0
        #: The breaks there were, and how long (ns) together.
        self.breaks = 0
        self.broken = 0
        self.waiting: Reason | None = None
        #: Why the hypervisor cannot be had; None where it can.
        self._down: Down | None = Down(0, Cause.HYPERVISOR_LOST)
        self._incarnations = Incarnations(known)
        self._held = known
        self._sequence = sequence
        self._identify = identify
        self._backoff = backoff
        self._timing = timing
        self._exclusive = exclusive
        self._input_held = False
        #: Whether the console may be taken by force, once: until it is decided if it can be had.
        self._may_force = False
        self._journey: _Journey | None = None
        self._unheld_since = unheld_since
        #: Since when the guest runs where it was migrated to; 0 where it was not.
        self._arrived_at = 0
        #: Whether the last attachment lasted until the guest ended, or left by migration, and it is not back yet.
        self._held_to_the_end = False
        self._undefined_by: Undefined | None = None
        #: Since when the hypervisor answers.
        self._back_since = 0
        self._attached_at = 0
        self._marked: Cause | None = None
        self._ending: Ending | None = None
        self._effects: list[Command | Duty] = []

    @property
    def available(self) -> bool:
        """Whether the hypervisor answers, as far as is known."""
        return self._down is None

    @property
    def newest(self) -> Evidence:
        """The newest incarnation of the domain that is known of."""
        return self._incarnations.newest

    @property
    def running_id(self) -> int:
        """libvirt's id of the running domain, -1 where it does not run."""
        return self.newest.running_id if self.newest.running else -1

    @property
    def paused(self) -> bool:
        """Whether the guest is there and its CPUs are stopped."""
        return self.newest.running and self.newest.paused

    @property
    def decided(self) -> bool:
        """Whether it is decided if the console can be had."""
        return self.state not in (State.OPENING, State.ENDING)

    def handle(self, event: Event) -> list[Command | Duty]:
        """Take an event, give what is to be done about it, in order."""
        self._effects = []
        known = self.newest.number, self.running_id
        before = self.state
        self._learn(event)
        transition = self.TABLE.get((self.state, type(event)))
        if transition is not None:
            transition.action(self, event)
        self._hold_input()
        if self.decided:
            self._may_force = False
        if (self.newest.number, self.running_id) != known:
            self._effects.append(Remember(self.newest.number, self.running_id))
        if self.state is not before or self.since is None:
            self.since = event.at
        return self._effects

    def conclude(self) -> list[Command | Duty]:
        """The daemon stops: an end that is still being explained is told with what is known. Gives the same."""
        self._effects = []
        if self._ending is not None:
            self._decide(self._ending, self._ending.last_word)
        return self._effects

    def _hold_input(self) -> None:
        held = self.state is State.ATTACHED and self._held.paused
        if held is not self._input_held:
            self._input_held = held
            self._effects.append(Hold(held))

    # What is known, whatever the state.

    def _learn(self, event: Event) -> None:
        match event:
            case Up(at):
                self._down = self._undefined_by = None
                self._back_since = at
            case Started():
                self._down = self._undefined_by = None
            case Down():
                self._down = event
                if self._journey is None:  # the next start that is seen need not be the next
                    self._held_to_the_end = False
            case Undefined() if self._journey is None and (event.gone or not self.newest.running):
                self._undefined_by = event  # else it goes on without a definition, or elsewhere
            case Incoming(uri=uri):
                self._journey = _Journey(uri)
            case Demand(force=True):
                self._may_force = self._exclusive
            case Arrived() if self._journey is not None:
                self._journey.arrived = event
            case _:
                pass  # it concerns the claim, the incarnation, or the state alone
        self._effects += self.claim.learn(event, held=self.state is not State.ABSENT)
        if self._incarnations.learn(event):
            self._backoff.reset()
            if self._held_to_the_end:  # a guest that did not run has said nothing
                self._unheld_since, self._held_to_the_end = event.at, False
        if isinstance(event, Opened):
            self._held = self._incarnations.opened(event.running_id)

    # Towards an attachment.

    @property
    def _has_moved(self) -> bool:
        """Whether the guest runs where it was migrated to, and does not run here, as far as anybody can tell."""
        arrived = self._journey is not None and self._journey.arrived is not None
        return arrived and not (self.newest.running and self.available)

    def _follow_guest(self, at: int) -> None:
        """Go where the guest has gone."""
        journey = self._journey
        if self._has_moved and journey is not None and journey.arrived is not None:
            self._journey = self._down = None
            self._arrived_at = journey.arrived.at
            if self._held_to_the_end:
                self._unheld_since = self._arrived_at
            self._incarnations.moved(journey.arrived.running_id, paused=journey.arrived.paused)
            self._effects += [Move(), *self.claim.timers(at)]

    def _seek(self, event: Event) -> None:
        self._seek_at(event.at)

    def _seek_at(self, at: int) -> None:
        """Open the console if that makes sense now, else say what is waited for."""
        self._follow_guest(at)
        newest, claim = self.newest, self.claim
        if claim.demanded and claim.why_not is not None:
            failure = Failure(Phase.SERVER, at)
            self._wait(Cause.CONSOLE_RELEASED, failure, after_s=claim.left_s(at))
        elif not claim.laid:
            self._enter(State.ABSENT)
        elif self._down is not None:
            self._wait(self._down.cause, Failure(Phase.CONNECTION, at, self._down.error))
        elif newest.running and newest.device_removed is not None:
            self._wait(Cause.CONSOLE_MISSING, Failure(Phase.LIFECYCLE, at), event=newest.device_removed)
        elif newest.running:
            self._enter(State.OPENING)
            self._open()
        elif self._undefined_by is not None:
            self._undefined(self._undefined_by)
        else:
            self._wait(Cause.GUEST_NOT_RUNNING, Failure(Phase.LIFECYCLE, at), event=newest.stopped)

    def _open(self, *, force: bool = False) -> None:
        self._incarnations.opening()
        self._effects.append(Open(force))

    def _opened(self, event: Opened) -> None:
        unheld = self._held.started_at if self._unheld_since is None else self._unheld_since
        since = event.at if event.since is None else max(event.since, self._arrived_at)
        clock_was_set_back = event.since is None and unheld is not None and unheld > since
        if unheld is not None and (unheld < since or clock_was_set_back):
            self._sequence.mark(self._break(event.at, unheld, since))
        self._attach(event)

    def _break(self, at: int, since: int, until: int) -> Break:
        since = min(since, until)  # the clock may have been set back
        self.breaks += 1
        self.broken += until - since
        return Break(rfc3339(at), rfc3339(since), rfc3339(until))

    def _attach(self, event: Opened) -> None:
        self._marked = None
        self._attached_at = event.at
        self.attachment += 1
        self._enter(State.ATTACHED)
        self._effects.append(Begin(event.at, self.attachment, event.shared))
        self._sequence.mark(Attached(rfc3339(event.at), self.attachment, self._held.number))
        self.silence.begin(event.at, shared=event.shared)
        self._release(event)

    def _opening_failed(self, event: OpenFailed) -> None:
        if not self.claim.laid or self._has_moved:
            self._seek(event)
            return
        cause = event.cause or (opening_cause(event.error) if event.error else Cause.INTERNAL_ERROR)
        failure = Failure(Phase.OPEN, event.at, event.error, cause)
        if cause is Cause.GUEST_NOT_RUNNING and not self.newest.running:
            self._wait(cause, failure, event=self.newest.stopped)
        elif self.available and not self.newest.running:
            self._seek(event)  # it ended meanwhile, and that is the better reason
        elif CAUSES[cause].retry and self.available:
            self._retry(cause, failure)
        else:
            self._wait(cause, failure)

    def _retry(self, cause: Cause, failure: Failure) -> None:
        """Ask again for a console that should be there: at once by force, where a person said so; else later."""
        if cause is Cause.CONSOLE_BUSY and self._may_force:
            self._may_force = False
            self._enter(State.OPENING)
            self._open(force=True)
        else:
            self._retry_later(cause, failure)

    def _retry_later(self, cause: Cause, failure: Failure) -> None:
        """At growing intervals; but often where it is our own former stream that holds it. Of that nothing is said, nor
        of a guest that is just being started, or ending."""
        ours = self._unheld_since is not None and 0 <= failure.at - self._back_since < _EAGER
        eager = ours and cause is Cause.CONSOLE_BUSY
        ending = has_lost_its_pty(failure.error) and self._backoff.attempts < _SOON_GONE
        seconds = self._timing.eager if eager else self._backoff.next()
        self._wait(cause, failure, after_s=seconds, news=not (eager or ending or is_starting(failure.error)))
        self._effects.append(SetTimer(Timer.RETRY, seconds))

    def _wait(
        self,
        cause: Cause,
        failure: Failure,
        *,
        event: LibvirtEvent | None = None,
        after_s: float | None = None,
        news: bool = True,
    ) -> None:
        """Wait for `cause` to pass; `failure` is what it was seen by. `news`: whether it may be worth a mark."""
        self.waiting = self._reason(Verdict(cause, event), failure, self.newest, after_s=after_s)
        if self.state is State.WAITING:
            self._effects.append(ClearTimer(Timer.RETRY))
        else:
            self._enter(State.WAITING)
            self._effects.append(Wait(failure.at, self.waiting))
        if news:
            self._mark_news(cause, failure, event)

    def _mark_news(self, cause: Cause, failure: Failure, event: LibvirtEvent | None) -> None:
        """An end that no attachment had: a failed opening, or what happens while the console waits.

        No news is what the last mark announced, and that a guest does not run when somebody asks for it first.
        """
        if self._marked is None and failure.phase is not Phase.OPEN:
            self._marked = cause
        elif cause is not self._marked and cause not in _ANNOUNCED.get(self._marked or cause, ()):
            known = stopped_cause(event) if event is not None else None
            self._mark_end(Verdict(known or cause, event), failure)

    def _mark_end(self, verdict: Verdict, failure: Failure) -> None:
        """Tell an end that is none of an attachment."""
        self._marked = verdict.cause
        reason = self._reason(verdict, failure, self.newest)
        self._sequence.mark(Ended(reason.at, None, reason))

    # While waiting.

    def _demanded_again(self, event: Demand) -> None:
        """Somebody came or went: who comes gets a fresh answer, which does not make the next try come later."""
        if event.present and self.waiting is not None and self.waiting.retry.after_s is not None:
            self._backoff.take_back()
        if event.present or not self.claim.laid:
            self._seek(event)

    def _stay_lost(self, event: Down) -> None:
        """The hypervisor is gone too; a guest that does not run, or a policy, is still the better reason."""
        better = (Cause.GUEST_NOT_RUNNING, Cause.CONSOLE_RELEASED)
        if self._journey is not None and self._journey.arrived is not None:
            self._seek(event)
        elif self.waiting is not None and self.waiting.cause not in better:
            self._wait(event.cause, Failure(Phase.CONNECTION, event.at, event.error))

    def _undefined(self, event: Undefined) -> None:
        if self._undefined_by is None:
            return
        self._undefined_by = None
        if self._marked is not Cause.GUEST_UNDEFINED:
            self._mark_end(Verdict(Cause.GUEST_UNDEFINED, event.event), Failure(Phase.LIFECYCLE, event.at))
        self._enter(State.ABSENT)

    # While attached.

    def _noted(self, event: Noted) -> None:
        self._note(event.at, event.note, event.detail)

    def _renamed(self, event: Renamed) -> None:
        self._note(event.at, "renamed", f"{event.old} to {event.new}")

    def _paused(self, event: Paused) -> None:
        self._note(event.at, event.note, event.detail)

    def _resumed(self, event: Resumed) -> None:
        self._note(event.at, "resumed", event.detail)
        self.silence.watch()  # no probe could be sent behind input that waited

    def _migrating(self, event: Incoming) -> None:
        if self._journey is not None:
            self._journey.told = True
        self._note(event.at, "migrating", event.uri)

    def _turned_back(self, event: TurnedBack) -> None:
        journey, self._journey = self._journey, None
        if journey is not None and journey.told:
            self._note(event.at, "migration-failed", event.uri)

    def _note(self, at: int, note: str, detail: str | None) -> None:
        self._sequence.mark(Note(rfc3339(at), note, detail))

    def _spoke(self, event: Spoke) -> None:
        self._effects += self.silence.spoke(event.at)

    def _fenced(self, event: Fenced) -> None:
        self.silence.fenced(event.at)

    def _elapsed(self, event: Elapsed) -> None:
        if event.timer is Timer.PROBE:
            self._effects += self.silence.elapsed(event.at)
        else:
            self._release(event)

    def _failed(self, event: Failed) -> None:
        self._end(event.failure)

    def _lost(self, event: Down) -> None:
        self._end(Failure(Phase.CONNECTION, event.at, event.error, event.cause))

    def _release(self, event: Event) -> None:
        if not self.claim.laid:
            self._end(Failure(Phase.SERVER, event.at, cause=Cause.CONSOLE_RELEASED))

    def _end(self, failure: Failure) -> None:
        """Save the root cause and reserve its mark at this offset; then clean up and look for evidence."""
        self._enter(State.ENDING)
        self.silence.end()
        self._unheld_since = self.silence.served_at if failure.stalled else failure.at
        self._held_to_the_end = False
        if not 0 <= failure.at - self._attached_at <= _LASTING:  # the clock may have been set back
            self._backoff.reset()
        provisional = self._reason(classify(failure, self._held) or assume(failure, self._held), failure, self._held)
        mark = self._sequence.reserve(Ended(provisional.at, self.attachment, provisional))
        self._ending = Ending(failure, self._held, self.attachment, mark)
        self._effects += [End(failure.at), Close(), SetTimer(Timer.EVIDENCE, self._timing.evidence)]
        self._judge(failure.at)

    # While ending.

    def _informed(self, event: Event) -> None:
        """More evidence."""
        if isinstance(event, Down):
            self._being_ended().lost(event)
        self._judge(event.at)

    def _cleaned(self, event: Cleaned) -> None:
        """The stream is gone. What nothing explains is put to the test: can the console be opened again?"""
        ending = self._being_ended()
        ending.cleaned = True
        ending.later_errors += event.errors
        if ending.needs_test:
            ending.reopening = True
            self._open()
        self._proceed(event.at)

    def _reopened(self, event: Opened) -> None:
        """It can: nobody took it. The mark is completed before the new attachment brings anything."""
        ending = self._being_ended()
        self._ending = None
        if ending.verdict is None and ending.failure.stalled:
            self._false_alarm(ending, event)
        else:
            self._decide(ending, ending.last_word)
            self._opened(event)

    def _false_alarm(self, ending: Ending, event: Opened) -> None:
        """It was no end, the console was only cut and opened again. Output may be missing, from when it was surely
        served last: somebody may have taken the console without a word, and left."""
        self.silence.trusted = False
        self._effects += [ClearTimer(Timer.EVIDENCE), Explain(Cause.STREAM_ENDED)]
        self._sequence.complete(ending.mark, self._break(event.at, self._unheld_since or event.at, event.at))
        self._attach(event)

    def _reopening_failed(self, event: OpenFailed) -> None:
        """It cannot: where somebody else holds it, they took it. Else the first error goes on to wait for evidence."""
        ending = self._being_ended()
        verdict = ending.test_failed(event)
        if verdict == Verdict(Cause.CONSOLE_TAKEN_OVER) and ending.may_wait and ending.doubts < DOUBTS:
            ending.doubts += 1
            self._effects.append(SetTimer(Timer.RETRY, DOUBT_S))
            return
        ending.reopening, ending.reopening_failed = False, True
        if verdict is not None:
            self._decide(ending, verdict)
        elif ending.asked:
            self._give_up()
        self._proceed(event.at)

    def _due(self, event: Elapsed) -> None:
        match event.timer:
            case Timer.RETRY if self._being_ended().may_wait:
                self._open()
            case Timer.EVIDENCE:
                self._evidence_due(event.at)
            case _:
                pass  # it concerns the claim

    def _evidence_due(self, at: int) -> None:
        """No event has come in time: ask. libvirt answers late where it is busy ending the domain, for example with a
        hook; where it does not answer in time, go by what is known."""
        ending = self._being_ended()
        if ending.verdict is not None:
            return
        if not ending.asked:
            ending.asked = True
            self._effects += [Query(ending.attachment), SetTimer(Timer.EVIDENCE, self._timing.answer)]
        elif not ending.may_wait:
            self._decide(ending, ending.last_word)
            self._proceed(at)

    def _answered(self, event: Answered) -> None:
        ending = self._being_ended()
        if event.attachment == ending.attachment:
            ending.evidence.stopped = ending.evidence.stopped or event.stopped
            self._give_up()
            self._proceed(event.at)

    def _give_up(self) -> None:
        """Decide by what is known; but what can still be put to the test is."""
        ending = self._being_ended()
        if ending.explained is not None or not ending.failure.testable or ending.reopening_failed:
            self._decide(ending, ending.last_word)

    def _judge(self, at: int) -> None:
        ending = self._being_ended()
        verdict = ending.explained
        if verdict is not None:
            self._decide(ending, verdict)
            self._proceed(at)

    def _decide(self, ending: Ending, verdict: Verdict) -> None:
        """Complete the mark. The first decision stands."""
        if ending.verdict is not None:
            return
        ending.verdict = verdict
        self._marked = verdict.cause
        was_held = verdict.cause in GUEST_ENDS and not ending.failure.stalled
        self._held_to_the_end = was_held and self.newest.number == ending.evidence.number
        self._effects += [ClearTimer(Timer.EVIDENCE), Explain(verdict.cause)]
        reason = self._reason(verdict, ending.failure, ending.evidence)
        reason = structs.replace(reason, offset=ending.mark.offset, later_errors=tuple(ending.later_errors))
        self._sequence.complete(ending.mark, Ended(reason.at, ending.attachment, reason))

    def _proceed(self, at: int) -> None:
        """Go on once the end is over: at once to a new incarnation, after an interval to the same."""
        ending = self._ending
        if ending is None or ending.verdict is None or not ending.over:
            return
        self._ending = None
        cause = ending.verdict.cause
        same = self.newest is ending.evidence and self.newest.running and self.newest.device_removed is None
        if same and self.claim.laid and self.available and cause is not Cause.CONSOLE_RELEASED:
            if cause is Cause.CONSOLE_TAKEN_OVER:
                cause = Cause.CONSOLE_BUSY
            failure = replace(ending.failure, at=at)
            if CAUSES[cause].retry:
                self._retry(cause, failure)
            else:
                self._wait(cause, failure)
        else:
            self._seek_at(at)

    # Shared.

    def _being_ended(self) -> Ending:
        if self._ending is None:
            raise AssertionError("ending without an end")
        return self._ending

    def _enter(self, state: State) -> None:
        if self.state is State.WAITING:
            self._effects.append(ClearTimer(Timer.RETRY))
        if self.state is State.ATTACHED:
            self._effects.append(ClearTimer(Timer.PROBE))
        if state is not State.WAITING:
            self.waiting = None
        self.state = state

    def _reason(
        self, verdict: Verdict, failure: Failure, evidence: Evidence, *, after_s: float | None = None
    ) -> Reason:
        console = self._identify(evidence.number)
        moved_to = self._journey.uri if self._journey is not None and verdict.cause is Cause.GUEST_MIGRATED else None
        return Reason(
            cause=verdict.cause,
            text=sentence(verdict.cause, console, self._detail(verdict.cause, moved_to)),
            phase=failure.phase,
            console=console,
            offset=self._sequence.end,
            at=rfc3339(failure.at),
            error=failure.error,
            event=verdict.event,
            retry=Retry(self.claim.returns and CAUSES[verdict.cause].retry, after_s),
            moved_to=moved_to,
        )

    def _detail(self, cause: Cause, moved_to: str | None) -> str:
        match cause:
            case Cause.GUEST_MIGRATED:
                return f"it goes on at {moved_to}" if moved_to else "virtmux does not know where to"
            case Cause.CONSOLE_RELEASED:
                return self.claim.why_not or ""
            case _:
                return ""

    #: What is done for an event, by state, and where that may lead. No entry: nothing. So, for example, a STARTED event
    #: changes nothing while an old attachment has not ended, and the loss of the hypervisor nothing while opening: the
    #: opening will tell. The diagram in docs/console-life.md is drawn from this.
    TABLE: ClassVar[dict[tuple[State, type[Event]], Transition]] = {
        (State.ABSENT, Demand): Transition(_seek, _SOUGHT),
        (State.ABSENT, Up): Transition(_seek, _SOUGHT),
        (State.ABSENT, Started): Transition(_seek, _SOUGHT),
        (State.ABSENT, Arrived): Transition(_seek, _SOUGHT),
        (State.ABSENT, Stopped): Transition(_seek, _SOUGHT),
        (State.ABSENT, Renamed): Transition(_renamed),
        (State.ABSENT, Reclaimed): Transition(_seek, _SOUGHT),
        (State.ABSENT, Lent): Transition(_seek, _SOUGHT),
        (State.ABSENT, PolicySet): Transition(_seek, _SOUGHT),
        (State.ABSENT, Elapsed): Transition(_seek, _SOUGHT),
        (State.OPENING, Opened): Transition(_opened, (State.ATTACHED, State.ENDING)),
        (State.OPENING, OpenFailed): Transition(_opening_failed, (State.WAITING, State.ABSENT, State.OPENING)),
        (State.ATTACHED, Failed): Transition(_failed, (State.ENDING,)),
        (State.ATTACHED, Down): Transition(_lost, (State.ENDING,)),
        (State.ATTACHED, Noted): Transition(_noted),
        (State.ATTACHED, Paused): Transition(_paused),
        (State.ATTACHED, Resumed): Transition(_resumed),
        (State.ATTACHED, Incoming): Transition(_migrating),
        (State.ATTACHED, TurnedBack): Transition(_turned_back),
        (State.ENDING, TurnedBack): Transition(_turned_back),
        (State.OPENING, TurnedBack): Transition(_turned_back),
        (State.WAITING, TurnedBack): Transition(_turned_back),
        (State.ABSENT, TurnedBack): Transition(_turned_back),
        (State.ATTACHED, Spoke): Transition(_spoke),
        (State.ATTACHED, Fenced): Transition(_fenced),
        (State.ATTACHED, Released): Transition(_release, (State.ENDING,)),
        (State.ATTACHED, Lent): Transition(_release, (State.ENDING,)),
        (State.ATTACHED, PolicySet): Transition(_release, (State.ENDING,)),
        (State.ATTACHED, Elapsed): Transition(_elapsed, (State.ENDING,)),
        (State.ENDING, Stopped): Transition(_informed, _SOUGHT),
        (State.ENDING, ShuttingDown): Transition(_informed),
        (State.ENDING, Unplugged): Transition(_informed, _SOUGHT),
        (State.ENDING, Down): Transition(_informed, _SOUGHT),
        (State.ENDING, Up): Transition(_informed, _SOUGHT),
        (State.ENDING, Cleaned): Transition(_cleaned, _SOUGHT),
        (State.ENDING, Opened): Transition(_reopened, (State.ATTACHED,)),
        (State.ENDING, OpenFailed): Transition(_reopening_failed, _SOUGHT),
        (State.ENDING, Elapsed): Transition(_due, _SOUGHT),
        (State.ENDING, Answered): Transition(_answered, _SOUGHT),
        (State.WAITING, Demand): Transition(_demanded_again, _SOUGHT),
        (State.WAITING, Up): Transition(_seek, _SOUGHT),
        (State.WAITING, Down): Transition(_stay_lost, _SOUGHT),
        (State.WAITING, Started): Transition(_seek, _SOUGHT),
        (State.WAITING, Stopped): Transition(_seek, _SOUGHT),
        (State.WAITING, Undefined): Transition(_undefined, (State.ABSENT,)),
        (State.WAITING, Arrived): Transition(_seek, _SOUGHT),
        (State.WAITING, Renamed): Transition(_renamed),
        (State.WAITING, Released): Transition(_seek, _SOUGHT),
        (State.WAITING, Reclaimed): Transition(_seek, _SOUGHT),
        (State.WAITING, Lent): Transition(_seek, _SOUGHT),
        (State.WAITING, PolicySet): Transition(_seek, _SOUGHT),
        (State.WAITING, Elapsed): Transition(_seek, _SOUGHT),
    }
