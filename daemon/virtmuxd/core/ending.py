"""The end of one attachment, from its failure until its cause is decided and the stream cleaned up.

It looks for a cause in this order: the evidence of the incarnation that was attached; for an error that nothing
explains, whether the console can be opened again; after a while, an answer to how the domain stands; at last, what the
stream itself said.
"""

from dataclasses import dataclass, field, replace

from virtmux.reasons import Cause, SavedError
from virtmuxd.core.effects import Command, Open, Query, SetTimer
from virtmuxd.core.events import Answered, Cleaned, Down, Elapsed, Event, OpenFailed, Timer
from virtmuxd.core.evidence import Evidence, Failure, Verdict, assume, classify, is_ours, opening_cause
from virtmuxd.core.store import StoredMark

#: How often a console that is busy after a silent end is asked for again, and after how many seconds each, before
#: somebody else is said to hold it: at first it may be our own dead stream, which libvirtd has not given up yet.
DOUBTS = 3
DOUBT_S = 0.3


@dataclass(slots=True)
class Ending:
    """See the module. `failure` is the root cause, which nothing replaces; it is only explained, by `verdict`, and the
    first verdict stands. An answer to how the domain stands is waited for `answer_s` seconds."""

    failure: Failure
    evidence: Evidence
    attachment: int
    mark: StoredMark
    answer_s: float
    later_errors: list[SavedError] = field(default_factory=list)
    verdict: Verdict | None = None
    #: Whether the mark has got its reason.
    told: bool = False
    _cleaned: bool = False
    #: Whether libvirt was asked how the domain stands.
    _asked: bool = False
    #: Whether the console is being opened again, to put the failure to the test.
    _reopening: bool = False
    _reopening_failed: bool = False
    _doubts: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing about it is under way any more."""
        return self.verdict is not None and self._cleaned and not self._reopening

    @property
    def false_alarm(self) -> bool:
        """Whether it was no end, now that the console could be opened again: its stream was only said to be dead."""
        return self.verdict is None and self.failure.stalled

    @property
    def last_word(self) -> Verdict:
        """What is said where nothing more will come."""
        return self._explained or assume(self.failure, self.evidence)

    @property
    def _explained(self) -> Verdict | None:
        """What the evidence says so far."""
        return classify(self.failure, self.evidence)

    @property
    def _may_wait(self) -> bool:
        """Whether the test under way is waited for, which has a deadline of its own."""
        return self.failure.stalled and self._reopening

    def decide(self, verdict: Verdict | None) -> None:
        """This is the cause, where there is one and none was found before."""
        self.verdict = self.verdict or verdict

    def judge(self) -> None:
        """Decide, if the evidence allows it."""
        self.decide(self._explained)

    def learn(self, event: Event) -> list[Command]:
        """Take what may explain it; gives what is to be done to learn more. What events say of the domain is in
        `evidence` by then."""
        match event:
            case Cleaned(errors=errors):
                return self._clean_up(errors)
            case OpenFailed():
                return self._fail_test(event)
            case Elapsed(timer=Timer.RETRY):
                return [Open()] if self._may_wait else []
            case Elapsed(timer=Timer.EVIDENCE):
                return self._lack_evidence()
            case Answered():
                self._take_answer(event)
            case Down():
                self._lose_hypervisor(event)
            case _:
                self.judge()
        return []

    def _lose_hypervisor(self, event: Down) -> None:
        """That explains an end that said nothing; an error speaks for itself."""
        if self.verdict is None and self.failure.error is None:
            self.failure = replace(self.failure, cause=event.cause, error=event.error)
        self.judge()

    def _clean_up(self, errors: tuple[SavedError, ...]) -> list[Command]:
        """The stream is gone. What nothing explains is put to the test: can the console be opened again?"""
        self._cleaned = True
        self.later_errors += errors
        if self.verdict is not None or not self.failure.testable:
            return []
        self._reopening = True
        return [Open()]

    def _fail_test(self, event: OpenFailed) -> list[Command]:
        """It cannot: where somebody else holds it, they took it. Else the first error goes on to wait for evidence."""
        verdict = self._verdict_of_test(event)
        if verdict == Verdict(Cause.CONSOLE_TAKEN_OVER) and self._may_wait and self._doubts < DOUBTS:
            self._doubts += 1
            return [SetTimer(Timer.RETRY, DOUBT_S)]
        self._reopening, self._reopening_failed = False, True
        self.decide(verdict)
        if self._asked:
            self._give_up()
        return []

    def _verdict_of_test(self, event: OpenFailed) -> Verdict | None:
        """What it means that the console could not be opened again; None where it means nothing."""
        if event.error is not None and event.error not in self.later_errors:
            self.later_errors.append(event.error)
        cause = event.cause or (opening_cause(event.error) if event.error is not None else None)
        if cause is Cause.CONSOLE_BUSY:
            return Verdict(Cause.CONSOLE_TAKEN_OVER)
        if is_ours(event.error):
            return None
        if self.failure.stalled and cause in (Cause.HYPERVISOR_LOST, Cause.HYPERVISOR_TIMEOUT):
            return self._explained or Verdict(cause)
        return None

    def _lack_evidence(self) -> list[Command]:
        """No event has come in time: ask. libvirt answers late where it is busy ending the domain, for example with a
        hook; where it does not answer in time, go by what is known."""
        if self.verdict is None and not self._asked:
            self._asked = True
            return [Query(self.attachment), SetTimer(Timer.EVIDENCE, self.answer_s)]
        if not self._may_wait:
            self.decide(self.last_word)
        return []

    def _take_answer(self, event: Answered) -> None:
        if event.attachment == self.attachment:
            self.evidence.stopped = self.evidence.stopped or event.stopped
            self._give_up()

    def _give_up(self) -> None:
        """Decide by what is known; but what can still be put to the test is."""
        if self._explained is not None or not self.failure.testable or self._reopening_failed:
            self.decide(self.last_word)
