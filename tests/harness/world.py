"""A world at random around one console: a guest, hypervisors and clients do as they like, in any order that libvirt may
show it, and the console's state machine is fed what the daemon would see.

Long, because hypothesis has all the rules of a world in one class, and each is read together with what it leaves behind
for the others.
"""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from msgspec import structs

from tests.harness.life import BUSY, CONNECTION_LOST, NOT_RUNNING, PTY_CLOSED, SECOND, TAKEN_OVER, Life, at
from virtmux.reasons import Cause, LibvirtEvent, Phase, SavedError
from virtmuxd.core.effects import ClearTimer, Close, Move, Open, Query, SetTimer
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
    TurnedBack,
    Undefined,
    Unplugged,
    Up,
)
from virtmuxd.core.evidence import Failure
from virtmuxd.core.machine import TABLE

THERE = "qemu+ssh://other/system"
_FAILURES = st.sampled_from(["end", "error", "closed PTY", "connection", "connection error", "bug", "stall"])


class World(RuleBasedStateMachine):
    """The world, and the machine in it. No two moments, failures or ends are alike: what is mixed up shows."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        #: Which start of the guest each running id belongs to: a migration gives the same start another id.
        self.starts: list[int] = []
        self.running_id, self.running = -1, False
        self.ends: dict[int, str] = {}
        #: Whether it is being migrated, and its running id where it has arrived.
        self.leaving = False
        self.there: int | None = None
        self.undefined = False
        self.unplugged: set[int] = set()
        self.said = b""
        #: What libvirt has yet to tell.
        self.events: list[Event] = []
        self.be_served_by(Life())

    def be_served_by(self, life: Life) -> None:
        """A daemon begins: nothing is under way, nobody is there."""
        self.life = life
        self.up = False
        self.events.clear()
        self.leaving, self.there = False, None
        #: The running ids of all that was opened, and of what is open.
        self.opened: list[int] = []
        self.stream: int | None = None
        #: Whether that is one of somebody else's terminal, which does not end with the guest.
        self.is_anothers = False
        self.open_asked = self.close_asked = self.forced = False
        self.opening: Opened | OpenFailed | None = None
        self.queries: list[tuple[int, LibvirtEvent | None] | int] = []
        self.timers: set[Timer] = set()
        self.somebody = self.lent = False
        #: Whether somebody said that the console may be taken by force, and nothing has come of it.
        self.may_force = False

    @initialize(policy=st.sampled_from([Policy.ALWAYS, Policy.ON_DEMAND]), well=st.sampled_from([True, True, False]))
    def begin(self, policy: Policy, well: bool) -> None:
        self.life.machine.claim.policy = policy
        if well:
            self.all_goes_well()

    def moment(self) -> int:
        self.now += 1
        return at(self.now)

    def error(self, like: SavedError) -> SavedError:
        return structs.replace(like, message=f"{like.message} ({self.now})")

    def happen(self, event: Event) -> None:
        before, duties = self.life.state, len(self.life.duties)
        entry = TABLE.get((before, type(event)))
        commands = self.life.happen(event)
        assert self.life.state in (before, *(entry.to if entry is not None else ())), "as the table says"
        if Move() in self.life.duties[duties:]:
            self._move()
        for command in commands:
            match command:
                case Open(force):
                    assert not self.open_asked, "one opening at a time"
                    assert self.may_force or not force, "nothing is forced unless a person said so, and once"
                    assert self.life.machine.claim.laid or not force, "nor over a release"
                    self.open_asked, self.forced = True, force
                    self.may_force = self.may_force and not force
                case Close():
                    assert not self.close_asked, "one attachment at a time"
                    self.close_asked = True
                    self.stream, self.is_anothers = None, False
                case Query(attachment):
                    self.queries.append(attachment)
                case SetTimer(timer, seconds):
                    assert seconds >= 0
                    self.timers.add(timer)
                case ClearTimer(timer):
                    self.timers.discard(timer)

    def _move(self) -> None:
        """From now on the hypervisor where the guest has arrived is the console's."""
        assert self.there is not None, "nobody went there"
        assert (self.stream, self.open_asked, self.close_asked) == (None, False, False), "something is left behind"
        self.running_id, self.running, self.up = self.there, True, True
        self.leaving, self.there = False, None
        self.events, self.queries, self.timers = [], [], set()

    # The guest, and what libvirt says of it.

    @precondition(lambda self: not self.running and not self.leaving)
    @rule()
    def the_guest_starts(self) -> None:
        self.starts.append(max(self.starts, default=0) + 1)
        self.running_id, self.running, self.undefined = len(self.starts) - 1, True, False
        self.events.append(Started(self.moment(), self.running_id))

    @precondition(lambda self: self.running)
    @rule(detail=st.sampled_from(["SHUTDOWN", "DESTROYED", "CRASHED", "SAVED", "FAILED"]))
    def the_guest_stops(self, detail: str) -> None:
        self.running = False
        self.ends[self.running_id] = detail
        self.events.append(Stopped(self.moment(), LibvirtEvent(f"STOPPED {self.running_id}", detail)))

    @precondition(lambda self: self._is_live)
    @rule(detail=st.sampled_from(["SHUTDOWN", "FAILED"]))
    def the_guest_stops_and_its_stream_is_of_anothers_terminal(self, detail: str) -> None:
        self.is_anothers = True
        self.the_guest_stops(detail)

    @precondition(lambda self: self.running)
    @rule(what=st.sampled_from(["paused", "resumed", "rebooted", "powered off"]))
    def something_happens_to_the_guest(self, what: str) -> None:
        now = self.moment()
        events: dict[str, Event] = {
            "paused": Paused(now),
            "resumed": Resumed(now),
            "rebooted": Noted(now, "rebooted"),
            "powered off": ShuttingDown(now, LibvirtEvent(f"SHUTDOWN {self.running_id}", "GUEST")),
        }
        self.events.append(events[what])

    @precondition(lambda self: self.stream is not None)
    @rule()
    def the_guest_speaks(self) -> None:
        word, now = b"word %d\n" % self.now, self.moment()
        self.said += word
        self.life.sequence.append(word, now)
        self.life.sequence.publish()
        self.life.machine.silence.spoke_at = now
        if self.life.machine.silence.unwatched:
            self.happen(Spoke(now))

    @precondition(lambda self: self.up and self.running and not self.events)
    @rule()
    def the_device_is_unplugged(self) -> None:
        self.unplugged.add(self.running_id)
        self.happen(Unplugged(self.moment(), LibvirtEvent(f"DEVICE_REMOVED {self.running_id}", "serial0")))

    @rule()
    def the_guest_is_undefined(self) -> None:
        self.undefined = True
        self.events.append(Undefined(self.moment(), LibvirtEvent("UNDEFINED", "REMOVED")))

    @precondition(lambda self: self.up and self.undefined and not self.running and not self.events)
    @rule()
    def the_guest_is_seen_to_be_gone(self) -> None:
        self.happen(Undefined(self.moment(), LibvirtEvent("UNDEFINED", None), gone=True))

    @precondition(lambda self: self.up and not self.running)
    @rule()
    def the_guest_is_renamed(self) -> None:
        self.happen(Renamed(self.moment(), "web1", "web2"))

    @precondition(lambda self: self.up and self.running and not self.leaving and not self.events)
    @rule()
    def the_guest_leaves(self) -> None:
        """That takes so long that what was before is told."""
        self.leaving = True
        self.happen(Incoming(self.moment(), THERE))

    @precondition(lambda self: self.leaving and self.running)
    @rule()
    def the_guest_arrives(self) -> None:
        self.the_guest_stops("MIGRATED")
        self.starts.append(self.starts[self.running_id])
        self.there = len(self.starts) - 1
        self.happen(Arrived(self.moment(), self.there))

    @precondition(lambda self: self.leaving)
    @rule()
    def the_guest_is_lost_on_its_way_or_goes_on_here(self) -> None:
        self.leaving, self.there = False, None
        self.happen(TurnedBack(self.moment(), THERE))

    # The hypervisor.

    @precondition(lambda self: self.events and self.up)
    @rule()
    def an_event_is_told(self) -> None:
        self.happen(self.events.pop(0))

    @precondition(lambda self: self.up)
    @rule(cause=st.sampled_from([Cause.HYPERVISOR_LOST, Cause.HYPERVISOR_TIMEOUT]), error=st.booleans())
    def the_hypervisor_goes(self, cause: Cause, error: bool) -> None:
        self.up = False
        self.happen(Down(self.moment(), cause, self.error(CONNECTION_LOST) if error else None))

    @precondition(lambda self: not self.up)
    @rule()
    def the_hypervisor_comes(self) -> None:
        self.up, self.undefined = True, False
        self.events.clear()
        stopped = None if self.running else LibvirtEvent("SHUTOFF", self.ends.get(self.running_id))
        self.happen(Up(self.moment(), self.running_id if self.running else -1, stopped))

    # The stream. What fails after it was given up comes late.

    @precondition(lambda self: self.opened)
    @rule(kind=_FAILURES)
    def the_stream_fails(self, kind: str) -> None:
        now = self.moment()
        failures = {
            "end": Failure(Phase.RECEIVE, now),
            "error": Failure(Phase.RECEIVE, now, self.error(TAKEN_OVER)),
            "closed PTY": Failure(Phase.RECEIVE, now, self.error(PTY_CLOSED)),
            "connection": Failure(Phase.CONNECTION, now, cause=Cause.HYPERVISOR_LOST),
            "connection error": Failure(Phase.SEND, now, self.error(CONNECTION_LOST)),
            "bug": Failure(Phase.SERVER, now, cause=Cause.INTERNAL_ERROR),
            "stall": Failure(Phase.SEND, now, stalled=True),
        }
        self.happen(Failed(failures[kind]))

    @precondition(lambda self: self.stream is not None and self.up)
    @rule(kinds=st.lists(_FAILURES, min_size=1, max_size=3), error=st.booleans())
    def one_failure_brings_the_next(self, kinds: list[str], error: bool) -> None:
        for kind in kinds:
            self.the_stream_fails(kind)
        self.the_hypervisor_goes(Cause.HYPERVISOR_LOST, error)

    @precondition(lambda self: self.stream is not None)
    @rule()
    def a_fence_is_answered(self) -> None:
        self.happen(Fenced(self.moment()))

    # What was asked for. Answers lag behind what they say.

    @precondition(lambda self: self.open_asked and self.opening is None)
    @rule(outcome=st.sampled_from(["fine", "fine", "busy", "lost", "late"]))
    def the_opening_is_made(self, outcome: str) -> None:
        answers: dict[str, Opened | OpenFailed] = {
            "lost": OpenFailed(0, CONNECTION_LOST),
            "late": OpenFailed(0, cause=Cause.HYPERVISOR_TIMEOUT),
        }
        if self.running:
            opened = Opened(0, self.running_id)
            answers |= {"fine": opened, "busy": opened if self.forced else OpenFailed(0, BUSY)}
        self.opening = answers.get(outcome, OpenFailed(0, NOT_RUNNING))

    @precondition(lambda self: self.opening)
    @rule(is_anothers=st.booleans())
    def the_opening_is_answered(self, is_anothers: bool = False) -> None:
        """Where the guest has ended meanwhile, it may be one of somebody else's terminal."""
        assert self.opening is not None
        answer, self.opening, self.open_asked = self.opening, None, False
        if isinstance(answer, Opened):
            self.stream = answer.running_id
            self.opened.append(answer.running_id)
            self.is_anothers = is_anothers and not self._is_live
        self.happen(replace(answer, at=self.moment()))

    @precondition(lambda self: self.close_asked)
    @rule(error=st.booleans())
    def the_stream_is_cleaned_up(self, error: bool) -> None:
        self.close_asked = False
        self.happen(Cleaned(self.moment(), (self.error(CONNECTION_LOST),) if error else ()))

    @precondition(lambda self: self.queries)
    @rule(answers=st.booleans())
    def the_state_is_looked_at(self, answers: bool) -> None:
        stopped = LibvirtEvent("SHUTOFF", self.ends.get(self.running_id)) if answers and not self.running else None
        self.queries = [(query, stopped) if isinstance(query, int) else query for query in self.queries]

    @precondition(lambda self: self.queries)
    @rule()
    def a_query_is_answered(self) -> None:
        self.the_state_is_looked_at(answers=True)
        query = self.queries.pop(0)
        assert not isinstance(query, int)
        self.happen(Answered(self.moment(), *query))

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def a_timer_runs_out(self, data: st.DataObject) -> None:
        timer = data.draw(st.sampled_from(sorted(self.timers)))
        self.timers.discard(timer)
        self.happen(Elapsed(self.moment(), timer))

    # Clients.

    @rule(force=st.booleans())
    def somebody_comes(self, force: bool = False) -> None:
        self.somebody = True
        self.may_force = self.may_force or force
        self.happen(Demand(self.moment(), present=True, force=force))
        self.may_force = self.may_force and not self.life.machine.decided

    @precondition(lambda self: self.somebody)
    @rule()
    def the_last_one_goes(self) -> None:
        self.somebody = False
        self.happen(Demand(self.moment(), present=False))

    @precondition(lambda self: self.life.machine.claim.released_until is None)
    @rule(seconds=st.sampled_from([None, 5, 500]))
    def the_console_is_released(self, seconds: int | None) -> None:
        now = self.moment()
        self.happen(Released(now, None if seconds is None else now + seconds * SECOND))

    @precondition(lambda self: self.life.machine.claim.released_until is not None)
    @rule()
    def the_console_is_reclaimed(self) -> None:
        self.happen(Reclaimed(self.moment()))

    @rule()
    def the_console_is_lent_or_given_back(self) -> None:
        self.lent = not self.lent
        self.happen(Lent(self.moment(), self.lent))

    @rule(policy=st.sampled_from(Policy), linger=st.sampled_from([1.0, 60.0]))
    def the_configuration_has_another_policy(self, policy: Policy, linger: float) -> None:
        self.happen(PolicySet(self.moment(), policy, linger))

    # How it goes on.

    @precondition(lambda self: self.stream is not None and self.running and not self.leaving)
    @rule(told=st.integers(0, 3), kind=_FAILURES)
    def the_guest_restarts(self, told: int, kind: str) -> None:
        """The console is open again ahead of the events, and fails again among them."""
        self.the_guest_stops("DESTROYED")
        self.the_guest_starts()
        self.the_stream_fails("error")
        for _ in range(3 + told):
            self.go_on()
        self.the_stream_fails(kind)

    def go_on(self) -> bool:
        """Answer one thing that is open, as the world stands; False where nothing is."""
        timers = self.timers - {Timer.LINGER, Timer.PROBE, Timer.RECLAIM}
        if self.opening is not None:
            self.the_opening_is_answered()
        elif self.open_asked:
            self.the_opening_is_made("fine")
        elif self.close_asked:
            self.the_stream_is_cleaned_up(error=True)
        elif self.queries:
            self.a_query_is_answered()
        elif not self.up:
            self.the_hypervisor_comes()
        elif self.events:
            self.an_event_is_told()
        elif self._stream_is_to_end:
            self.the_stream_fails("end")
        elif timers:
            self.timers.discard(min(timers))
            self.happen(Elapsed(self.moment(), min(timers)))
        else:
            return False
        return True

    @property
    def _is_live(self) -> bool:
        """Whether what is open is the stream of the guest that runs."""
        return self.running and self.stream == self.running_id

    @property
    def _stream_is_to_end(self) -> bool:
        return self.stream is not None and not self._is_live and not self.is_anothers

    def come_to_rest(self) -> None:
        assert not all(self.go_on() for _ in range(100)), "it never comes to rest"

    @rule(steps=st.integers(1, 9))
    def it_goes_on(self, steps: int) -> None:
        for _ in range(steps):
            self.go_on()

    @rule()
    def all_goes_well(self) -> None:
        """The guest runs, somebody wants the console, nobody else does."""
        if self.life.machine.claim.policy is Policy.NEVER:
            self.the_configuration_has_another_policy(Policy.ON_DEMAND, 60.0)
        if self.lent:
            self.the_console_is_lent_or_given_back()
        if self.life.machine.claim.released_until is not None:
            self.the_console_is_reclaimed()
        if not self.running and not self.leaving:
            self.the_guest_starts()
        self.somebody_comes()
        self.come_to_rest()
