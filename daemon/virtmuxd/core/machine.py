"""The life of one console as a state machine: what happened goes in, what to do comes out.

    absent    nobody wants the console, nobody holds it
    opening   it is being opened
    attached  virtmux holds it
    ending    it ended: its `ended` mark is reserved, the stream is being cleaned up, evidence is gathered
    waiting   it is wanted, and cannot be had until something happens (`waiting` says why)

`Machine.TABLE`, at the end, says what is done for which event in which state. An event without an entry is ignored,
on purpose: whoever ends first wins, and late events change nothing. Before the table is asked, every event adds to what
is known (`_learn`). Marks are written to the console's sequence at once; all other effects are returned, in order.

An end has one root cause. It is saved when it happens, together with the evidence of the incarnation that was attached;
from then on nothing replaces it, it is only explained.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from virtmux.backoff import Backoff
from virtmux.messages import State
from virtmux.reasons import CAUSES, Cause, ConsoleId, LibvirtEvent, Phase, Reason, Retry, SavedError, sentence
from virtmux.records import Attached, Break, Ended, Note, rfc3339
from virtmuxd.core.events import (
    Answered,
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
    Noted,
    Open,
    Opened,
    OpenFailed,
    Policy,
    Query,
    Remember,
    SetTimer,
    Started,
    Stopped,
    Timer,
    Timing,
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
    opening_cause,
    stopped_cause,
)
from virtmuxd.core.incarnations import Incarnations
from virtmuxd.core.sequence import Sequence, StoredMark

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


@dataclass(slots=True)
class _Ending:
    """An end under way. It is over once it is decided (its mark complete) and the stream cleaned up."""

    failure: Failure
    evidence: Evidence
    attachment: int
    mark: StoredMark
    later_errors: list[SavedError] = field(default_factory=list)
    verdict: Verdict | None = None
    cleaned: bool = False
    asked: bool = False
    reopening: bool = False
    reopened: bool = False


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
    ) -> None:
        """Start absent.

        Args:
            identify: the ConsoleId for an incarnation number.
            known: the newest incarnation that is known of, number 0 if none.
            unheld_since: when a former daemon lost hold of the console, if one ever had it.
        """
        self.state = State.ABSENT
        self.since: int | None = None
        self.policy = policy
        self.attachment = 0
        self.waiting: Reason | None = None
        #: Why the hypervisor cannot be had; None where it can.
        self._down: Down | None = Down(0, Cause.HYPERVISOR_LOST)
        self._incarnations = Incarnations(known)
        self._held = known
        self._sequence = sequence
        self._identify = identify
        self._backoff = backoff
        self._timing = timing
        self._demanded = False
        self._lingering = False
        self._unheld_since = unheld_since
        self._undefined_by: Undefined | None = None
        self._attached_at = 0
        self._marked: Cause | None = None
        self._ending: _Ending | None = None
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
    def wanted(self) -> bool:
        """Whether the console shall be held, if it can be."""
        match self.policy:
            case Policy.ALWAYS:
                return True
            case Policy.NEVER:
                return False
            case Policy.ON_DEMAND:
                return self._demanded or self._lingering

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
        action = self.TABLE.get((self.state, type(event)))
        if action is not None:
            action(self, event)
        if (self.newest.number, self.running_id) != known:
            self._effects.append(Remember(self.newest.number, self.running_id))
        if self.state is not before or self.since is None:
            self.since = event.at
        return self._effects

    # What is known, whatever the state.

    def _learn(self, event: Event) -> None:
        match event:
            case Demand():
                self._demand(event)
            case Up() | Started():
                self._down = None
                self._undefined_by = None
            case Down():
                self._down = event
            case Undefined() if event.gone or not self.newest.running:  # else it goes on without a definition
                self._undefined_by = event
            case Elapsed(timer=Timer.LINGER):
                self._lingering = False
            case _:
                pass  # it concerns the incarnation, or the state alone
        self._learn_of_incarnation(event)

    def _learn_of_incarnation(self, event: Event) -> None:
        match event:
            case Up():
                self._incarnations.found(event.running_id, event.stopped)
            case Started():
                if self._incarnations.started(event.running_id, event.at):
                    self._backoff.reset()
            case Stopped():
                self._incarnations.stopped(event.event)
            case Unplugged():
                self._incarnations.unplugged(event.event)
            case Opened():
                self._held = self._incarnations.opened(event.running_id)
            case OpenFailed():
                self._incarnations.opening_failed()
            case Undefined() if event.gone:
                self._incarnations.found(-1, None)
            case _:
                pass  # it says nothing about the domain

    def _demand(self, event: Demand) -> None:
        ceased = self._demanded and not event.present
        self._demanded = event.present
        self._lingering = ceased and self.policy is Policy.ON_DEMAND and self.state is not State.ABSENT
        if self._lingering:
            self._effects.append(SetTimer(Timer.LINGER, self._timing.linger))
        elif event.present:
            self._effects.append(ClearTimer(Timer.LINGER))

    # Towards an attachment.

    def _seek(self, event: Event) -> None:
        """Open the console if that makes sense now, else say what is waited for."""
        newest, at = self.newest, event.at
        if self.policy is Policy.NEVER and self._demanded:
            detail = "its attach policy is 'never'"
            self._wait(Cause.CONSOLE_RELEASED, Failure(Phase.SERVER, at), detail=detail)
        elif not self.wanted:
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

    def _open(self) -> None:
        self._incarnations.opening()
        self._effects.append(Open())

    def _opened(self, event: Opened) -> None:
        self._marked = None
        self._attached_at = event.at
        self.attachment += 1
        self._enter(State.ATTACHED)
        self._effects.append(Begin(event.at, self.attachment))
        unheld = [at for at in (self._unheld_since, self._held.started_at) if at is not None]
        if unheld:
            self._sequence.mark(Break(rfc3339(event.at), rfc3339(max(unheld)), rfc3339(event.at)))
        self._sequence.mark(Attached(rfc3339(event.at), self.attachment, self._held.number))
        if not self.wanted:
            self._release(event)

    def _opening_failed(self, event: OpenFailed) -> None:
        if not self.wanted:
            self._enter(State.ABSENT)
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
        """Ask again for a console that should be there, at growing intervals."""
        seconds = self._backoff.next()
        self._wait(cause, failure, after_s=seconds)
        self._effects.append(SetTimer(Timer.RETRY, seconds))

    def _wait(
        self,
        cause: Cause,
        failure: Failure,
        *,
        event: LibvirtEvent | None = None,
        after_s: float | None = None,
        detail: str = "",
    ) -> None:
        """Wait for `cause` to pass; `failure` is what it was seen by."""
        self.waiting = self._reason(Verdict(cause, event), failure, self.newest, after_s=after_s, detail=detail)
        if self.state is State.WAITING:
            self._effects.append(ClearTimer(Timer.RETRY))
        else:
            self._enter(State.WAITING)
            self._effects.append(Wait(failure.at, self.waiting))
        self._mark_news(cause, failure, event)

    def _mark_news(self, cause: Cause, failure: Failure, event: LibvirtEvent | None) -> None:
        """An end that no attachment had: a failed opening, or what happens while the console waits.

        No news is what the last mark announced, and that a guest does not run when somebody asks for it first.
        """
        if self._marked is None and failure.phase is not Phase.OPEN:
            self._marked = cause
        elif cause is not self._marked and cause not in _ANNOUNCED.get(self._marked or cause, ()):
            self._marked = (stopped_cause(event) if event is not None else None) or cause
            reason = self._reason(Verdict(self._marked, event), failure, self.newest)
            self._sequence.mark(Ended(reason.at, None, reason))

    # While waiting.

    def _demanded_again(self, event: Demand) -> None:
        """Somebody came or went: who comes gets a fresh answer, which does not make the next try come later."""
        if event.present and self.waiting is not None and self.waiting.retry.after_s is not None:
            self._backoff.take_back()
        if event.present or not self.wanted:
            self._seek(event)

    def _stay_lost(self, event: Down) -> None:
        """The hypervisor is gone too; a guest that does not run, or a policy, is still the better reason."""
        better = (Cause.GUEST_NOT_RUNNING, Cause.CONSOLE_RELEASED)
        if self.waiting is not None and self.waiting.cause not in better:
            self._wait(event.cause, Failure(Phase.CONNECTION, event.at, event.error))

    def _undefined(self, event: Undefined) -> None:
        if self._undefined_by is None:
            return
        self._undefined_by = None
        if self._marked is not Cause.GUEST_UNDEFINED:
            self._marked = Cause.GUEST_UNDEFINED
            verdict = Verdict(Cause.GUEST_UNDEFINED, event.event)
            reason = self._reason(verdict, Failure(Phase.LIFECYCLE, event.at), self.newest)
            self._sequence.mark(Ended(reason.at, None, reason))
        self._enter(State.ABSENT)

    # While attached.

    def _noted(self, event: Noted) -> None:
        self._sequence.mark(Note(rfc3339(event.at), event.note, event.detail))

    def _failed(self, event: Failed) -> None:
        self._end(event.failure)

    def _lost(self, event: Down) -> None:
        self._end(Failure(Phase.CONNECTION, event.at, event.error, event.cause))

    def _release(self, event: Event) -> None:
        if not self.wanted:
            self._end(Failure(Phase.SERVER, event.at, cause=Cause.CONSOLE_RELEASED))

    def _end(self, failure: Failure) -> None:
        """Save the root cause and reserve its mark at this offset; then clean up and look for evidence."""
        self._enter(State.ENDING)
        self._unheld_since = failure.at
        if failure.at - self._attached_at > _LASTING:
            self._backoff.reset()
        provisional = self._reason(classify(failure, self._held) or assume(failure), failure, self._held)
        mark = self._sequence.reserve(Ended(provisional.at, self.attachment, provisional))
        self._ending = _Ending(failure, self._held, self.attachment, mark)
        self._effects += [End(failure.at), Close(), SetTimer(Timer.EVIDENCE, self._timing.evidence)]
        self._judge(failure.at)

    # While ending.

    def _informed(self, event: Event) -> None:
        """More evidence. The loss of the hypervisor explains an end that said nothing; an error speaks for itself."""
        ending = self._being_ended()
        if isinstance(event, Down) and ending.verdict is None and ending.failure.error is None:
            ending.failure = replace(ending.failure, cause=event.cause, error=event.error)
        self._judge(event.at)

    def _cleaned(self, event: Cleaned) -> None:
        """The stream is gone. An error that nothing explains is put to the test: can the console be opened again?"""
        ending = self._being_ended()
        ending.cleaned = True
        ending.later_errors += event.errors
        if ending.verdict is None and ending.failure.error is not None:
            ending.reopening = True
            self._open()
        self._proceed(event.at)

    def _reopened(self, event: Opened) -> None:
        """It can: nobody took it. What the new attachment brings queues behind the mark, if that is still open."""
        ending = self._being_ended()
        self._decide(assume(ending.failure))
        self._ending = None
        self._opened(event)

    def _reopening_failed(self, event: OpenFailed) -> None:
        """It cannot: where somebody else holds it, they took it. Else the first error goes on to wait for evidence."""
        ending = self._being_ended()
        ending.reopening, ending.reopened = False, True
        if event.error is not None:
            ending.later_errors.append(event.error)
        if event.error is not None and opening_cause(event.error) is Cause.CONSOLE_BUSY:
            self._decide(Verdict(Cause.CONSOLE_TAKEN_OVER))
        elif ending.asked:
            self._give_up()
        self._proceed(event.at)

    def _evidence_due(self, event: Elapsed) -> None:
        """No event has come in time: ask; and where nobody answers in time, go by what the stream said."""
        ending = self._being_ended()
        if event.timer is not Timer.EVIDENCE or ending.verdict is not None:
            return
        if ending.asked:
            self._decide(classify(ending.failure, ending.evidence) or assume(ending.failure))
            self._proceed(event.at)
        else:
            ending.asked = True
            self._effects += [Query(ending.attachment), SetTimer(Timer.EVIDENCE, self._timing.evidence)]

    def _answered(self, event: Answered) -> None:
        ending = self._being_ended()
        if event.attachment == ending.attachment:
            ending.evidence.stopped = ending.evidence.stopped or event.stopped
            self._give_up()
            self._proceed(event.at)

    def _give_up(self) -> None:
        """Decide by what is known; but an error that can still be put to the test is."""
        ending = self._being_ended()
        verdict = classify(ending.failure, ending.evidence)
        if verdict is not None or ending.failure.error is None or ending.reopened:
            self._decide(verdict or assume(ending.failure))

    def _judge(self, at: int) -> None:
        ending = self._being_ended()
        verdict = classify(ending.failure, ending.evidence)
        if verdict is not None:
            self._decide(verdict)
            self._proceed(at)

    def _decide(self, verdict: Verdict) -> None:
        """Complete the mark. The first decision stands."""
        ending = self._being_ended()
        if ending.verdict is not None:
            return
        ending.verdict = verdict
        self._marked = verdict.cause
        self._effects += [ClearTimer(Timer.EVIDENCE), Explain(verdict.cause)]
        later_errors = tuple(ending.later_errors)
        reason = self._reason(verdict, ending.failure, ending.evidence, offset=ending.mark.offset, errors=later_errors)
        self._sequence.complete(ending.mark, Ended(reason.at, ending.attachment, reason))

    def _proceed(self, at: int) -> None:
        """Go on once the end is over: at once to a new incarnation, after an interval to the same."""
        ending = self._ending
        if ending is None or ending.verdict is None or not ending.cleaned or ending.reopening:
            return
        self._ending = None
        cause = ending.verdict.cause
        same = self.newest is ending.evidence and self.newest.running and self.newest.device_removed is None
        if same and self.wanted and self.available and cause is not Cause.CONSOLE_RELEASED:
            if cause is Cause.CONSOLE_TAKEN_OVER:
                cause = Cause.CONSOLE_BUSY
            failure = replace(ending.failure, at=at)
            if CAUSES[cause].retry:
                self._retry(cause, failure)
            else:
                self._wait(cause, failure)
        else:
            self._seek(Cleaned(at))

    # Shared.

    def _being_ended(self) -> _Ending:
        if self._ending is None:
            raise AssertionError("ending without an end")
        return self._ending

    def _enter(self, state: State) -> None:
        if self.state is State.WAITING:
            self._effects.append(ClearTimer(Timer.RETRY))
        if state is not State.WAITING:
            self.waiting = None
        self.state = state

    def _reason(
        self,
        verdict: Verdict,
        failure: Failure,
        evidence: Evidence,
        *,
        offset: int | None = None,
        after_s: float | None = None,
        errors: tuple[SavedError, ...] = (),
        detail: str = "",
    ) -> Reason:
        console = self._identify(evidence.number)
        return Reason(
            cause=verdict.cause,
            text=sentence(verdict.cause, console, detail),
            phase=failure.phase,
            console=console,
            offset=self._sequence.end if offset is None else offset,
            at=rfc3339(failure.at),
            error=failure.error,
            event=verdict.event,
            later_errors=errors,
            retry=Retry(self.wanted and CAUSES[verdict.cause].retry, after_s),
        )

    #: What is done for an event, by state. No entry: nothing. So, for example, a STARTED event changes nothing while an
    #: old attachment has not ended, and the loss of the hypervisor nothing while opening: the opening will tell.
    TABLE: ClassVar[dict[tuple[State, type[Event]], Callable[[Any, Any], None]]] = {
        (State.ABSENT, Demand): _seek,
        (State.ABSENT, Up): _seek,
        (State.ABSENT, Started): _seek,
        (State.OPENING, Opened): _opened,
        (State.OPENING, OpenFailed): _opening_failed,
        (State.ATTACHED, Failed): _failed,
        (State.ATTACHED, Down): _lost,
        (State.ATTACHED, Noted): _noted,
        (State.ATTACHED, Elapsed): _release,
        (State.ENDING, Stopped): _informed,
        (State.ENDING, Unplugged): _informed,
        (State.ENDING, Down): _informed,
        (State.ENDING, Up): _informed,
        (State.ENDING, Cleaned): _cleaned,
        (State.ENDING, Opened): _reopened,
        (State.ENDING, OpenFailed): _reopening_failed,
        (State.ENDING, Elapsed): _evidence_due,
        (State.ENDING, Answered): _answered,
        (State.WAITING, Demand): _demanded_again,
        (State.WAITING, Up): _seek,
        (State.WAITING, Down): _stay_lost,
        (State.WAITING, Started): _seek,
        (State.WAITING, Stopped): _seek,
        (State.WAITING, Undefined): _undefined,
        (State.WAITING, Elapsed): _seek,
    }
