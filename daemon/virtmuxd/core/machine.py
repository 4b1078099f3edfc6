"""The life of one console as a state machine: what happened goes in, what to do comes out.

    absent    nobody wants the console, nobody holds it
    opening   it is being opened
    attached  virtmux holds it
    ending    it ended: its `ended` mark is reserved, the stream is being cleaned up, evidence is gathered
    waiting   it is wanted, and cannot be had until something happens (`waiting` says why)

`TABLE` says what is done for which event in which state, and which states that may lead to: which of them, depends on
what else is known (`Life`). Before the table is asked, every event adds to that (`Machine._learn`). After it, what is
known may hold input, or bound a stream whose guest is gone: for that an event needs no entry. Marks are written to the
console's sequence at once; all other effects are returned, in order.

An event without an entry changes no state and writes no mark, on purpose: whoever ends first wins, and late events
change nothing. So, for example, a STARTED event changes nothing while an old attachment has not ended, and the loss of
the hypervisor nothing while opening: the opening will tell.

An end has one root cause. It is saved when it happens, together with the evidence of the incarnation that was attached;
from then on nothing replaces it, it is only explained.

Two things look like an end and need not be one. A stream that is served no more may have been taken by somebody else,
without a word from libvirt, or its guest may just take no input: opening it again tells, and where that succeeds there
was a break and no end. And a guest that is migrated to a hypervisor which this daemon serves too goes on there, with
its console. One thing is an end and does not look like one: the guest is gone and the stream stays, for it is one of
somebody else's terminal.

What is done is in modules named for it: `seeking` (towards an attachment), `holding`, `explaining` (why did it end?),
`noting`. What they rest on lies beside them: `claim` (is the console wanted?), `incarnations` (which start of the
guest?), `ending` and `evidence` (how is a cause found?), `silence` (is it still served?), `breaks` (since when has
nobody held it?).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from virtmux.backoff import Backoff
from virtmux.messages import State
from virtmux.reasons import ConsoleId
from virtmuxd.core import explaining, holding, noting, seeking
from virtmuxd.core.breaks import Breaks
from virtmuxd.core.claim import Claim
from virtmuxd.core.effects import ClearTimer, Effect, Hold, Remember, SetTimer
from virtmuxd.core.events import (
    Answered,
    Arrived,
    Cleaned,
    Demand,
    Down,
    Elapsed,
    Event,
    Failed,
    Fenced,
    Incoming,
    Lent,
    Noted,
    Opened,
    OpenFailed,
    Paused,
    Policy,
    PolicySet,
    Reclaimed,
    Released,
    Renamed,
    Resumed,
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
)
from virtmuxd.core.evidence import Evidence
from virtmuxd.core.incarnations import Incarnations
from virtmuxd.core.life import Journey, Life
from virtmuxd.core.sequence import Sequence
from virtmuxd.core.silence import Silence


class Transition(NamedTuple):
    """An entry of the table: what is done, and the states that it may lead to, besides the one it starts from."""

    action: Callable[[Life, Any], None]
    to: tuple[State, ...] = ()


#: Where it may lead to that a console is sought.
_SOUGHT = (State.ABSENT, State.OPENING, State.WAITING)

#: The diagram in docs/console-life.md is drawn from this.
TABLE: dict[tuple[State, type[Event]], Transition] = {
    # Absent: is there a claim to it now?
    (State.ABSENT, Demand): Transition(seeking.seek, _SOUGHT),
    (State.ABSENT, Up): Transition(seeking.seek, _SOUGHT),
    (State.ABSENT, Started): Transition(seeking.seek, _SOUGHT),
    (State.ABSENT, Arrived): Transition(seeking.seek, _SOUGHT),
    (State.ABSENT, Stopped): Transition(seeking.seek, _SOUGHT),
    (State.ABSENT, Reclaimed): Transition(seeking.seek, _SOUGHT),
    (State.ABSENT, Lent): Transition(seeking.seek, _SOUGHT),
    (State.ABSENT, PolicySet): Transition(seeking.seek, _SOUGHT),
    (State.ABSENT, Elapsed): Transition(seeking.seek, _SOUGHT),
    (State.ABSENT, Renamed): Transition(noting.renamed),
    (State.ABSENT, TurnedBack): Transition(noting.turned_back),
    # Opening: what has come of it.
    (State.OPENING, Opened): Transition(holding.opened, (State.ATTACHED, State.ENDING)),
    (State.OPENING, OpenFailed): Transition(seeking.opening_failed, (State.WAITING, State.ABSENT, State.OPENING)),
    (State.OPENING, TurnedBack): Transition(noting.turned_back),
    # Attached: what may end it, what says that it is served, and what is noted.
    (State.ATTACHED, Failed): Transition(holding.failed, (State.ENDING,)),
    (State.ATTACHED, Down): Transition(holding.hypervisor_lost, (State.ENDING,)),
    (State.ATTACHED, Released): Transition(holding.release, (State.ENDING,)),
    (State.ATTACHED, Lent): Transition(holding.release, (State.ENDING,)),
    (State.ATTACHED, PolicySet): Transition(holding.release, (State.ENDING,)),
    (State.ATTACHED, Elapsed): Transition(holding.elapsed, (State.ENDING,)),
    (State.ATTACHED, Spoke): Transition(holding.spoke),
    (State.ATTACHED, Fenced): Transition(holding.fenced),
    (State.ATTACHED, Noted): Transition(noting.noted),
    (State.ATTACHED, Paused): Transition(noting.paused),
    (State.ATTACHED, Resumed): Transition(noting.resumed),
    (State.ATTACHED, Incoming): Transition(noting.migrating),
    (State.ATTACHED, TurnedBack): Transition(noting.turned_back),
    # Ending: what may explain it, and how far its end has come.
    (State.ENDING, Stopped): Transition(explaining.explain, _SOUGHT),
    (State.ENDING, ShuttingDown): Transition(explaining.explain),
    (State.ENDING, Unplugged): Transition(explaining.explain, _SOUGHT),
    (State.ENDING, Down): Transition(explaining.explain, _SOUGHT),
    (State.ENDING, Up): Transition(explaining.explain, _SOUGHT),
    (State.ENDING, Cleaned): Transition(explaining.explain, _SOUGHT),
    (State.ENDING, Opened): Transition(holding.reopened, (State.ATTACHED,)),
    (State.ENDING, OpenFailed): Transition(explaining.explain, _SOUGHT),
    (State.ENDING, Elapsed): Transition(explaining.explain, _SOUGHT),
    (State.ENDING, Answered): Transition(explaining.explain, _SOUGHT),
    (State.ENDING, TurnedBack): Transition(noting.turned_back),
    # Waiting: whatever may make a difference.
    (State.WAITING, Demand): Transition(seeking.demanded_again, _SOUGHT),
    (State.WAITING, Up): Transition(seeking.seek, _SOUGHT),
    (State.WAITING, Down): Transition(seeking.hypervisor_lost, _SOUGHT),
    (State.WAITING, Started): Transition(seeking.seek, _SOUGHT),
    (State.WAITING, Stopped): Transition(seeking.seek, _SOUGHT),
    (State.WAITING, Undefined): Transition(seeking.undefined, (State.ABSENT,)),
    (State.WAITING, Arrived): Transition(seeking.seek, _SOUGHT),
    (State.WAITING, Released): Transition(seeking.seek, _SOUGHT),
    (State.WAITING, Reclaimed): Transition(seeking.seek, _SOUGHT),
    (State.WAITING, Lent): Transition(seeking.seek, _SOUGHT),
    (State.WAITING, PolicySet): Transition(seeking.seek, _SOUGHT),
    (State.WAITING, Elapsed): Transition(seeking.seek, _SOUGHT),
    (State.WAITING, Renamed): Transition(noting.renamed),
    (State.WAITING, TurnedBack): Transition(noting.turned_back),
}


class Machine(Life):
    """The life of one console, taken on by `handle`. Not thread-safe: it is called from the loop, in the order of the
    events."""

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
        super().__init__(
            sequence=sequence,
            identify=identify,
            claim=Claim(policy, timing, released_until),
            silence=Silence(exclusive=exclusive, after_s=timing.probe_after),
            incarnations=Incarnations(known),
            breaks=Breaks(unheld_since),
            backoff=backoff,
            timing=timing,
            exclusive=exclusive,
            held=known,
        )

    def handle(self, event: Event) -> list[Effect]:
        """Take an event, give what is to be done about it, in order."""
        self.effects = []
        known = self.newest.number, self.running_id
        before = self.state
        self._learn(event)
        transition = TABLE.get((self.state, type(event)))
        if transition is not None:
            transition.action(self, event)
        self._hold_input()
        self._bound_stream(event.at)
        if self.decided:
            self.may_force = False
        if (self.newest.number, self.running_id) != known:
            self.effects.append(Remember(self.newest.number, self.running_id))
        if self.state is not before or self.since is None:
            self.since = event.at
        return self.effects

    def conclude(self) -> list[Effect]:
        """The daemon stops: an end that is still being explained is told with what is known. Gives the same."""
        self.effects = []
        if self.ending is not None:
            explaining.conclude(self, self.ending)
        return self.effects

    def _learn(self, event: Event) -> None:
        """Add to what is known, whatever the state."""
        match event:
            case Up(at):
                self.down = self.undefined_by = None
                self.back_since = at
            case Started():
                self.down = self.undefined_by = None
            case Down():
                self.down = event
                if self.journey is None:
                    self.breaks.lose_sight()
            case Undefined() if self.journey is None and (event.gone or not self.newest.running):
                self.undefined_by = event  # else it goes on without a definition, or elsewhere
            case Incoming(uri=uri):
                self.journey = Journey(uri)
            case Demand(force=True):
                self.may_force = self.exclusive
            case Arrived() if self.journey is not None:
                self.journey.arrived = event
            case _:
                pass  # it concerns the claim, the incarnation, or the state alone
        self.effects += self.claim.learn(event, held=self.state is not State.ABSENT)
        if self.incarnations.learn(event):
            self.backoff.reset()
            self.pty_lost = 0
            self.breaks.guest_started(event.at)
        if isinstance(event, Opened):
            self.held = self.incarnations.opened(event.running_id)
            self.pty_lost = 0

    def _hold_input(self) -> None:
        """A paused guest takes no input, and nothing is typed into a stream that has outlived its guest."""
        held = self.is_outlived or (self.state is State.ATTACHED and self.held.paused)
        if held is not self.input_held:
            self.input_held = held
            self.effects.append(Hold(held))

    def _bound_stream(self, at: int) -> None:
        """A stream ends soon after its guest. One that does not may be one of somebody else's terminal, and would never
        end: it is given so long (docs/libvirt.md, "Errors of an opening")."""
        if self.is_outlived and self.outlived_since is None:
            self.outlived_since = at
            self.effects.append(SetTimer(Timer.OUTLIVED, self.timing.outlived))
        elif not self.is_outlived and self.outlived_since is not None:
            self.outlived_since = None
            self.effects.append(ClearTimer(Timer.OUTLIVED))
