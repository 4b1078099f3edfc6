"""The life of one console as a state machine: what happened goes in, what to do comes out.

    absent    nobody wants the console, nobody holds it
    opening   it is being opened
    attached  virtmux holds it
    ending    it ended: its `ended` mark is reserved, the stream is being cleaned up, evidence is gathered
    waiting   it is wanted, and cannot be had until something happens (`waiting` says why)

`Machine.TABLE`, at the end, says what is done for which event in which state. An event without an entry is ignored,
on purpose: whoever ends first wins, and late events change nothing. Before the table is asked, every event adds to what
is known (`_learn`). Marks are written to the console's sequence at once; all other effects are returned as commands.

An end has one root cause. It is saved when it happens, together with the evidence of the incarnation that was attached;
from then on nothing replaces it, it is only explained.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from virtmux.messages import State
from virtmux.reasons import CAUSES, Cause, ConsoleId, LibvirtEvent, Phase, Reason, Retry, SavedError, sentence
from virtmux.records import Attached, Break, Ended, Note, rfc3339
from virtmuxd.core.backoff import Backoff
from virtmuxd.core.events import (
    Answered,
    Cleaned,
    ClearTimer,
    Close,
    Command,
    Demand,
    Down,
    Elapsed,
    Event,
    Failed,
    Noted,
    Open,
    Opened,
    OpenFailed,
    Policy,
    Query,
    SetTimer,
    Started,
    Stopped,
    Timer,
    Timing,
    Undefined,
    Unplugged,
    Up,
    time_of,
)
from virtmuxd.core.evidence import STOPPED_CAUSES, Evidence, Failure, Verdict, assume, classify, opening_cause
from virtmuxd.core.sequence import Sequence, StoredMark

_GUEST_ENDS = frozenset(STOPPED_CAUSES.values())

#: What an end announces: waiting for one of these causes is no news after it, and makes no mark.
_ANNOUNCED: dict[Cause, frozenset[Cause]] = {
    Cause.CONSOLE_TAKEN_OVER: frozenset({Cause.CONSOLE_BUSY}),
    Cause.HYPERVISOR_LOST: frozenset({Cause.HYPERVISOR_TIMEOUT}),
    Cause.HYPERVISOR_TIMEOUT: frozenset({Cause.HYPERVISOR_LOST}),
} | dict.fromkeys(_GUEST_ENDS, frozenset({Cause.GUEST_NOT_RUNNING}))

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
    cleaned: bool = False
    probing: bool = False

    @property
    def decided(self) -> bool:
        return not self.mark.reserved


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
        unheld_since: int | None = None,
        timing: Timing | None = None,
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
        self.available = False
        self.newest = known
        self._told = known
        self._former = known
        self._held = known
        self._sequence = sequence
        self._identify = identify
        self._backoff = backoff
        self._timing = timing or Timing()
        self._demanded = False
        self._lingering = False
        self._unheld_since = unheld_since
        self._undefined_by: Undefined | None = None
        self._attached_at = 0
        self._marked: Cause | None = None
        self._ending: _Ending | None = None
        self._commands: list[Command] = []

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
    def settled(self) -> bool:
        """Whether it is decided if the console can be had."""
        return self.state not in (State.OPENING, State.ENDING)

    def handle(self, event: Event) -> list[Command]:
        """Take an event, give what is to be done about it, in order."""
        self._commands = []
        self._learn(event)
        action = self.TABLE.get((self.state, type(event)))
        before = self.state
        if action is not None:
            action(self, event)
        if self.state is not before or self.since is None:
            self.since = time_of(event)
        return self._commands

    # What is known, whatever the state.

    def _learn(self, event: Event) -> None:
        match event:
            case Demand():
                self._demand(event)
            case Up():
                self.available = True
                self._undefined_by = None
                self._found(event)
            case Down():
                self.available = False
            case Started():
                self._undefined_by = None
                self._begin(event.running_id, event.at)
            case Stopped():
                self._told.stopped = self._told.stopped or event.event
            case Unplugged():
                self._told.device_removed = self._told.device_removed or event.event
            case Opened():
                self._held = self._opened_one(event.running_id)
            case Undefined() if not self.newest.running:  # else it goes on without a definition
                self._undefined_by = event
            case Elapsed(timer=Timer.LINGER):
                self._lingering = False
            case _:
                pass

    def _demand(self, event: Demand) -> None:
        ceased = self._demanded and not event.present
        self._demanded = event.present
        self._lingering = ceased and self.policy is Policy.ON_DEMAND and self.state is not State.ABSENT
        if self._lingering:
            self._commands.append(SetTimer(Timer.LINGER, self._timing.linger))
        elif event.present:
            self._commands.append(ClearTimer(Timer.LINGER))

    def _found(self, event: Up) -> None:
        """How the domain stands after a time without events; the running id of one that stopped means nothing now."""
        if event.running_id < 0:
            if self.newest.running:
                self.newest.stopped = event.stopped or LibvirtEvent("SHUTOFF", None)
            self.newest.running_id = -1
        elif event.running_id != self.newest.running_id or self.newest.stopped is not None:
            self.newest = Evidence(self.newest.number + 1, event.running_id)
        self._told = self.newest

    def _begin(self, running_id: int, at: int) -> None:
        """The events have reached the start of an incarnation.

        Openings and queries may be ahead of them: then the newest incarnation is known already, what stopped before
        was not it, and those before it were over before anybody could see them.
        """
        if running_id == self.newest.running_id:
            self.newest.stopped = None
            self._told = self.newest
        elif self._told is not self.newest:
            self._told = Evidence(self.newest.number, running_id)
        else:
            self._former = self.newest
            self._told = self.newest = Evidence(self.newest.number + 1, running_id, at)
            self._backoff.reset()

    def _opened_one(self, running_id: int) -> Evidence:
        """The incarnation that was opened: the newest, or one ahead of the events, or one that they say is over."""
        if running_id == self._former.running_id != self.newest.running_id:
            return self._former
        if running_id != self.newest.running_id:
            self._former, self.newest = self.newest, Evidence(self.newest.number + 1, running_id)
        return self.newest

    # Towards an attachment.

    def _seek(self, event: Event) -> None:
        """Open the console if that makes sense now, else say what is waited for."""
        at = time_of(event)
        if not self.wanted and not (self.policy is Policy.NEVER and self._demanded):
            self._enter(State.ABSENT)
        elif self.policy is Policy.NEVER:
            self._wait(Failure(Phase.SERVER, at, lost=Cause.CONSOLE_RELEASED), detail="its attach policy is 'never'")
        elif not self.available:
            self._wait(Failure(Phase.CONNECTION, at, lost=Cause.HYPERVISOR_LOST))
        elif self.newest.running:
            self._enter(State.OPENING)
            self._commands.append(Open())
        elif self._undefined_by is not None:
            self._undefined(self._undefined_by)
        else:
            self._wait(Failure(Phase.LIFECYCLE, at, lost=Cause.GUEST_NOT_RUNNING), event=self.newest.stopped)

    def _opened(self, event: Opened) -> None:
        self._marked = None
        self._attached_at = event.at
        self.attachment += 1
        self._enter(State.ATTACHED)
        unheld = [at for at in (self._unheld_since, self._held.started_at) if at is not None]
        if unheld:
            self._sequence.mark(Break(rfc3339(event.at), rfc3339(max(unheld)), rfc3339(event.at)))
        self._sequence.mark(Attached(rfc3339(event.at), self.attachment, self._held.number))
        if not self.wanted:
            self._release(event)

    def _opening_failed(self, event: OpenFailed) -> None:
        cause = opening_cause(event.error) if event.error else event.cause or Cause.INTERNAL_ERROR
        failure = Failure(Phase.OPEN, event.at, event.error, cause)
        if CAUSES[cause].retry and self.available and self.newest.running:
            self._retry(failure)
        else:
            self._wait(failure, event=self.newest.stopped if cause is Cause.GUEST_NOT_RUNNING else None)

    def _retry(self, failure: Failure) -> None:
        """Ask again for a console that should be there, at growing intervals."""
        seconds = self._backoff.next()
        self._wait(failure, after_s=seconds)
        self._commands.append(SetTimer(Timer.RETRY, seconds))

    def _wait(
        self, failure: Failure, *, event: LibvirtEvent | None = None, after_s: float | None = None, detail: str = ""
    ) -> None:
        """Wait, for the cause in `failure.lost`. News make an `ended` mark that no attachment had.

        No news is what the last mark announced, and a guest that simply does not run when somebody asks.
        """
        cause = failure.lost or assume(failure).cause
        self.waiting = self._reason(Verdict(cause, event), failure, after_s=after_s, detail=detail)
        self._enter(State.WAITING)
        if self._marked is None and failure.phase is not Phase.OPEN:
            self._marked = cause
        if cause is self._marked or cause in _ANNOUNCED.get(self._marked or cause, ()):
            return
        reason = self.waiting
        if event is not None:
            reason = self._reason(Verdict(STOPPED_CAUSES.get(event.detail or "", cause), event), failure)
        self._marked = reason.cause
        self._sequence.mark(Ended(reason.at, None, reason))

    # While waiting.

    def _demanded_again(self, event: Demand) -> None:
        """Somebody came or went: who comes gets a fresh answer."""
        if event.present or not self.wanted:
            self._seek(event)

    def _stay_lost(self, event: Down) -> None:
        """The hypervisor is gone too; a guest that does not run is still the better reason."""
        if self.waiting is not None and self.waiting.cause is not Cause.GUEST_NOT_RUNNING:
            self._wait(Failure(Phase.CONNECTION, event.at, event.error, event.cause))

    def _undefined(self, event: Undefined) -> None:
        if self._undefined_by is None:
            return
        self._undefined_by = None
        failure = Failure(Phase.LIFECYCLE, event.at, lost=Cause.GUEST_UNDEFINED)
        self._sequence.mark(
            Ended(rfc3339(event.at), None, self._reason(Verdict(Cause.GUEST_UNDEFINED, event.event), failure))
        )
        self._marked = Cause.GUEST_UNDEFINED
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
            self._end(Failure(Phase.SERVER, time_of(event), lost=Cause.CONSOLE_RELEASED))

    def _end(self, failure: Failure) -> None:
        """Save the root cause and reserve its mark at this offset; then clean up and look for evidence."""
        self._enter(State.ENDING)
        self._unheld_since = failure.at
        if failure.at - self._attached_at > _LASTING:
            self._backoff.reset()
        provisional = self._reason(classify(failure, self._held) or assume(failure), failure, evidence=self._held)
        mark = self._sequence.reserve(Ended(provisional.at, self.attachment, provisional))
        self._ending = _Ending(failure, self._held, self.attachment, mark)
        self._commands += [Close(), SetTimer(Timer.EVIDENCE, self._timing.evidence)]
        self._judge(failure.at)

    # While ending.

    def _informed(self, event: Event) -> None:
        """More evidence."""
        ending = self._being_ended()
        if isinstance(event, Down) and not ending.decided:
            ending.failure = replace(ending.failure, lost=event.cause)
        self._judge(time_of(event))

    def _cleaned(self, event: Cleaned) -> None:
        """The stream is gone. An error that nothing explains is put to the test: can the console be opened again?"""
        ending = self._being_ended()
        ending.cleaned = True
        ending.later_errors += event.errors
        ending.probing = not ending.decided and ending.failure.error is not None
        if ending.probing:
            self._commands.append(Open())
        self._proceed(event.at)

    def _probed(self, event: Opened) -> None:
        """It can: nobody took it. What the new attachment brings queues behind the mark, if that is still open."""
        ending = self._being_ended()
        self._decide(assume(ending.failure))
        self._ending = None
        self._opened(event)

    def _probe_failed(self, event: OpenFailed) -> None:
        """It cannot: where somebody else holds it, they took it. Else the first error goes on to wait for evidence."""
        ending = self._being_ended()
        ending.probing = False
        if event.error is not None:
            ending.later_errors.append(event.error)
            if opening_cause(event.error) is Cause.CONSOLE_BUSY:
                self._decide(Verdict(Cause.CONSOLE_TAKEN_OVER))
        self._proceed(event.at)

    def _evidence_due(self, event: Elapsed) -> None:
        if event.timer is Timer.EVIDENCE and not self._being_ended().decided:
            self._commands.append(Query(self.attachment))

    def _answered(self, event: Answered) -> None:
        ending = self._being_ended()
        if event.attachment != ending.attachment:
            return
        ending.evidence.stopped = ending.evidence.stopped or event.stopped
        self._decide(classify(ending.failure, ending.evidence) or assume(ending.failure))
        self._proceed(event.at)

    def _judge(self, at: int) -> None:
        ending = self._being_ended()
        verdict = classify(ending.failure, ending.evidence)
        if verdict is not None:
            self._decide(verdict)
            self._proceed(at)

    def _decide(self, verdict: Verdict) -> None:
        """Complete the mark. The first decision stands."""
        ending = self._being_ended()
        if ending.decided:
            return
        reason = self._reason(verdict, ending.failure, later_errors=tuple(ending.later_errors), mark=ending.mark)
        self._marked = verdict.cause
        self._commands.append(ClearTimer(Timer.EVIDENCE))
        self._sequence.complete(ending.mark, Ended(reason.at, ending.attachment, reason))

    def _proceed(self, at: int) -> None:
        """Go on once the end is over: at once to a new incarnation, after an interval to the same."""
        ending = self._ending
        if ending is None or not (ending.decided and ending.cleaned) or ending.probing:
            return
        self._ending = None
        same = self.newest is ending.evidence and self.newest.running
        if same and self.wanted and self.available and self._marked is not Cause.CONSOLE_RELEASED:
            cause = Cause.CONSOLE_BUSY if self._marked is Cause.CONSOLE_TAKEN_OVER else self._marked
            self._retry(replace(ending.failure, at=at, lost=cause))
        else:
            self._seek(Cleaned(at))

    # Shared.

    def _being_ended(self) -> _Ending:
        if self._ending is None:
            raise AssertionError("ending without an end")
        return self._ending

    def _enter(self, state: State) -> None:
        if self.state is State.WAITING and state is not State.WAITING:
            self._commands.append(ClearTimer(Timer.RETRY))
        if state is not State.WAITING:
            self.waiting = None
        self.state = state

    def _reason(
        self,
        verdict: Verdict,
        failure: Failure,
        *,
        after_s: float | None = None,
        later_errors: tuple[SavedError, ...] = (),
        mark: StoredMark | None = None,
        detail: str = "",
        evidence: Evidence | None = None,
    ) -> Reason:
        if evidence is None:
            evidence = self._ending.evidence if self._ending else self.newest
        console = self._identify(evidence.number)
        return Reason(
            cause=verdict.cause,
            text=sentence(verdict.cause, console, detail),
            phase=failure.phase,
            console=console,
            offset=mark.offset if mark else self._sequence.end,
            at=rfc3339(failure.at),
            error=failure.error,
            event=verdict.event,
            later_errors=later_errors,
            retry=Retry(self.wanted and CAUSES[verdict.cause].retry, after_s),
        )

    #: What is done for an event, by state. No entry: nothing.
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
        (State.ENDING, Opened): _probed,
        (State.ENDING, OpenFailed): _probe_failed,
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
