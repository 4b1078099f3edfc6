"""The end of one attachment, from its failure until its cause is decided and the stream cleaned up."""

from dataclasses import dataclass, field, replace

from virtmux.reasons import Cause, SavedError
from virtmuxd.core.events import Down, OpenFailed
from virtmuxd.core.evidence import Evidence, Failure, Verdict, assume, classify, is_ours, opening_cause
from virtmuxd.core.store import StoredMark

#: How often a console that is busy after a silent end is asked for again, and after how many seconds each, before
#: somebody else is said to hold it: at first it may be our own dead stream, which libvirtd has not given up yet.
DOUBTS = 3
DOUBT_S = 0.3


@dataclass(slots=True)
class Ending:
    """See the module. `failure` is the root cause, which nothing replaces; it is only explained."""

    failure: Failure
    evidence: Evidence
    attachment: int
    mark: StoredMark
    later_errors: list[SavedError] = field(default_factory=list)
    verdict: Verdict | None = None
    cleaned: bool = False
    #: Whether libvirt was asked how the domain stands.
    asked: bool = False
    #: Whether the console is being opened again, to put the failure to the test.
    reopening: bool = False
    reopening_failed: bool = False
    doubts: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing about it is under way any more."""
        return self.verdict is not None and self.cleaned and not self.reopening

    @property
    def explained(self) -> Verdict | None:
        """What the evidence says so far."""
        return classify(self.failure, self.evidence)

    @property
    def last_word(self) -> Verdict:
        """What is said where nothing more will come."""
        return self.explained or assume(self.failure, self.evidence)

    @property
    def needs_test(self) -> bool:
        """Whether opening the console again may tell more than is known."""
        return self.verdict is None and self.failure.testable

    @property
    def may_wait(self) -> bool:
        """Whether the test under way is waited for, which has a deadline of its own."""
        return self.failure.stalled and self.reopening

    def lost(self, event: Down) -> None:
        """The hypervisor is lost. That explains an end that said nothing; an error speaks for itself."""
        if self.verdict is None and self.failure.error is None:
            self.failure = replace(self.failure, cause=event.cause, error=event.error)

    def test_failed(self, event: OpenFailed) -> Verdict | None:
        """The console could not be opened again; gives what that means, None where it means nothing."""
        if event.error is not None and event.error not in self.later_errors:
            self.later_errors.append(event.error)
        cause = event.cause or (opening_cause(event.error) if event.error is not None else None)
        if cause is Cause.CONSOLE_BUSY:
            return Verdict(Cause.CONSOLE_TAKEN_OVER)
        if is_ours(event.error):
            return None
        if self.failure.stalled and cause in (Cause.HYPERVISOR_LOST, Cause.HYPERVISOR_TIMEOUT):
            return self.explained or Verdict(cause)
        return None
