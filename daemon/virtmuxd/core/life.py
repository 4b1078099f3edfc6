"""The life of one console as far as it has come: what is known, what was done, and the deeds of which every action of
its state machine is made. What is done when, `virtmuxd.core.machine` says."""

from collections.abc import Callable
from dataclasses import dataclass, field

from virtmux.backoff import Backoff
from virtmux.messages import State
from virtmux.reasons import CAUSES, Cause, ConsoleId, Reason, Retry, sentence
from virtmux.records import Ended, Note, rfc3339
from virtmuxd.core.breaks import Breaks
from virtmuxd.core.claim import Claim
from virtmuxd.core.effects import ClearTimer, Effect, Open
from virtmuxd.core.ending import Ending
from virtmuxd.core.events import Arrived, Down, Timer, Timing, Undefined
from virtmuxd.core.evidence import Evidence, Failure, Verdict
from virtmuxd.core.incarnations import Incarnations
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.silence import Silence

#: Before the hypervisor has answered for the first time.
_NOT_UP_YET = Down(0, Cause.HYPERVISOR_LOST)


@dataclass(slots=True)
class Journey:
    """A migration to a hypervisor that this daemon serves too. `told`: a note said that it began."""

    uri: str
    arrived: Arrived | None = None
    told: bool = False


@dataclass(slots=True, eq=False)
class Life:
    """See the module. Times in ns."""

    sequence: Sequence
    #: The ConsoleId for an incarnation number.
    identify: Callable[[int], ConsoleId]
    claim: Claim
    silence: Silence
    incarnations: Incarnations
    breaks: Breaks
    backoff: Backoff
    timing: Timing
    #: Whether libvirt lets one client alone have the console.
    exclusive: bool
    #: The incarnation that is attached, or was last.
    held: Evidence
    state: State = State.ABSENT
    #: Since when it is in this state; None before the first event.
    since: int | None = None
    #: Why it waits, in this state alone.
    waiting: Reason | None = None
    #: The number of the last attachment, which is how many there were; and since when that is.
    attachment: int = 0
    attached_at: int = 0
    #: The last end, until it is over.
    ending: Ending | None = None
    #: What the last `ended` mark said, or what is waited for without one.
    marked: Cause | None = None
    #: Why the hypervisor cannot be had; None where it can. And since when it answers.
    down: Down | None = _NOT_UP_YET
    back_since: int = 0
    #: So many openings in a row, of this incarnation, found a PTY that cannot be opened.
    pty_lost: int = 0
    #: Whether the console may be taken by force, once: until it is decided if it can be had.
    may_force: bool = False
    #: Whether input waits, for the guest is paused, or gone.
    input_held: bool = False
    #: Since when the guest is known to be gone, and the stream has yet to end.
    outlived_since: int | None = None
    #: The guest's definition is gone, and it does not run.
    undefined_by: Undefined | None = None
    journey: Journey | None = None
    #: What is to be done about the event that is being taken, in order.
    effects: list[Effect] = field(default_factory=list)

    # What is known.

    @property
    def newest(self) -> Evidence:
        """The newest incarnation of the domain that is known of."""
        return self.incarnations.newest

    @property
    def running_id(self) -> int:
        """libvirt's id of the running domain, -1 where it does not run."""
        return self.newest.running_id if self.newest.running else -1

    @property
    def is_outlived(self) -> bool:
        """Whether the console is attached for a start of the guest that is over, as far as is known."""
        is_over = self.held.stopped is not None or self.held.number != self.newest.number
        return is_over and self.state is State.ATTACHED

    @property
    def paused(self) -> bool:
        """Whether the guest is there and its CPUs are stopped."""
        return self.newest.running and self.newest.paused

    @property
    def available(self) -> bool:
        """Whether the hypervisor answers, as far as is known."""
        return self.down is None

    @property
    def decided(self) -> bool:
        """Whether it is decided if the console can be had."""
        return self.state not in (State.OPENING, State.ENDING)

    @property
    def has_arrived(self) -> bool:
        """Whether the guest is where it is being migrated to."""
        return self.journey is not None and self.journey.arrived is not None

    @property
    def has_moved(self) -> bool:
        """Whether it runs there, and does not run here, as far as anybody can tell."""
        return self.has_arrived and not (self.newest.running and self.available)

    # What can be done.

    def enter(self, state: State) -> None:
        """It is in this state from now on."""
        if self.state is State.WAITING:
            self.effects.append(ClearTimer(Timer.RETRY))
        if self.state is State.ATTACHED:
            self.effects.append(ClearTimer(Timer.PROBE))
        if state is not State.WAITING:
            self.waiting = None
        self.state = state

    def open(self, *, force: bool = False) -> None:
        """Open the console, whatever for."""
        self.incarnations.opening()
        self.effects.append(Open(force))

    def note(self, at: int, note: str, detail: str | None) -> None:
        """Tell something that ends nothing."""
        self.sequence.mark(Note(rfc3339(at), note, detail))

    def mark_end(self, verdict: Verdict, failure: Failure) -> None:
        """Tell an end that is none of an attachment."""
        self.marked = verdict.cause
        reason = self.reason(verdict, failure, self.newest)
        self.sequence.mark(Ended(reason.at, None, reason))

    def reason(self, verdict: Verdict, failure: Failure, evidence: Evidence, *, after_s: float | None = None) -> Reason:
        """What is told of an end of this incarnation, or of what is waited for: `verdict`, and the `failure` that it
        was seen by, at the end of the output."""
        console = self.identify(evidence.number)
        moved_to = self.journey.uri if self.journey is not None and verdict.cause is Cause.GUEST_MIGRATED else None
        return Reason(
            cause=verdict.cause,
            text=sentence(verdict.cause, console, self._detail(verdict.cause, moved_to)),
            phase=failure.phase,
            console=console,
            offset=self.sequence.end,
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


def is_soon(at: int, since: int, span: int) -> bool:
    """Whether `at` is less than `span` after `since`; no, where the clock was set back in between."""
    return 0 <= at - since < span
