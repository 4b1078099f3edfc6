"""What holds of every life of a console: a world with a guest, a hypervisor and clients does as it likes, in any order
that libvirt may show it, and the state machine is fed what the daemon would see."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.harness.life import BUSY, CONNECTION_LOST, NOT_RUNNING, SECOND, TAKEN_OVER, Life, at
from virtmux.messages import State
from virtmux.reasons import Cause, LibvirtEvent, Phase
from virtmux.records import Attached, Ended
from virtmuxd.core.events import (
    Answered,
    Cleaned,
    ClearTimer,
    Close,
    Demand,
    Down,
    Elapsed,
    Event,
    Failed,
    Fenced,
    Lent,
    Noted,
    Open,
    Opened,
    OpenFailed,
    Paused,
    Policy,
    Query,
    Reclaimed,
    Released,
    Resumed,
    SetTimer,
    ShuttingDown,
    Spoke,
    Started,
    Stopped,
    Timer,
    Unplugged,
    Up,
)
from virtmuxd.core.evidence import Failure
from virtmuxd.core.machine import Machine

_DETAILS = ("SHUTDOWN", "DESTROYED", "CRASHED", "SAVED", "FAILED")


@dataclass
class _Stream:
    """An open console: of which start of the guest, and whether its end is still to be told."""

    running_id: int
    over: bool = False


class Lives(RuleBasedStateMachine):
    """The world, and the machine in it."""

    @initialize(policy=st.sampled_from([Policy.ALWAYS, Policy.ON_DEMAND]), running=st.booleans())
    def begin(self, policy: Policy, running: bool) -> None:
        self.life = Life(policy)
        self.now = 0
        self.starts = 1 if running else 0
        self.running = running
        self.ends: dict[int, str] = {}
        self.events: list[Event] = []
        self.up = False
        self.opening: tuple[Event, _Stream | None] | None = None
        self.open_asked = False
        self.close_asked = False
        self.queries: list[tuple[int, LibvirtEvent | None] | int] = []
        self.timers: set[Timer] = set()
        self.stream: _Stream | None = None
        self.attachments: list[int] = []
        self.completed: dict[int, Cause] = {}
        self.unplugged: set[int] = set()
        self.somebody = False
        self.stalled: set[int] = set()
        self.lent = 0

    def moment(self) -> int:
        self.now += 1
        return at(self.now)

    def happen(self, event: Event) -> None:
        before = self.life.state
        entry = Machine.TABLE.get((before, type(event)))
        commands = self.life.happen(event)
        assert self.life.state in (before, *(entry.to if entry is not None else ())), "as the table says"
        for command in commands:
            match command:
                case Open():
                    assert not self.open_asked, "one opening at a time"
                    self.open_asked = True
                case Close():
                    assert not self.close_asked, "one attachment at a time"
                    self.close_asked = True
                    self.stream = None
                case Query(attachment):
                    self.queries.append(attachment)
                case SetTimer(timer, seconds):
                    assert seconds >= 0
                    self.timers.add(timer)
                case ClearTimer(timer):
                    self.timers.discard(timer)

    # The guest, and what libvirt says of it.

    @precondition(lambda self: not self.running)
    @rule()
    def the_guest_starts(self) -> None:
        self.starts += 1
        self.running = True
        self.events.append(Started(self.moment(), self.starts))

    @precondition(lambda self: self.running)
    @rule(detail=st.sampled_from(_DETAILS))
    def the_guest_stops(self, detail: str) -> None:
        self.running = False
        self.ends[self.starts] = detail
        self.events.append(Stopped(self.moment(), LibvirtEvent("STOPPED", detail)))
        if self.stream is not None and self.stream.running_id == self.starts:
            self.stream.over = True

    @precondition(lambda self: self.running)
    @rule()
    def the_guest_powers_off(self) -> None:
        self.events.append(ShuttingDown(self.moment(), LibvirtEvent("SHUTDOWN", f"{self.starts}")))

    @precondition(lambda self: self.events and self.up)
    @rule()
    def an_event_arrives(self) -> None:
        self.happen(self.events.pop(0))

    @precondition(lambda self: self.stream and self.stream.over)
    @rule()
    def the_stream_ends(self) -> None:
        self.happen(Failed(Failure(Phase.RECEIVE, self.moment())))

    @precondition(lambda self: self.stream)
    @rule(kind=st.sampled_from(["error", "connection", "bug", "stall"]))
    def the_stream_fails(self, kind: str) -> None:
        if kind == "stall":
            self.stalled.add(self.life.machine.attachment)
        self.happen(
            Failed(
                {
                    "error": Failure(Phase.RECEIVE, self.moment(), TAKEN_OVER),
                    "connection": Failure(Phase.CONNECTION, self.moment(), cause=Cause.HYPERVISOR_LOST),
                    "bug": Failure(Phase.SERVER, self.moment(), cause=Cause.INTERNAL_ERROR),
                    "stall": Failure(Phase.SEND, self.moment(), stalled=True),
                }[kind]
            )
        )

    @precondition(lambda self: self.stream and not self.stream.over)
    @rule()
    def the_stream_ends_without_cause(self) -> None:
        assert self.stream is not None
        self.stream.over = True

    @rule()
    def a_late_failure_arrives(self) -> None:
        if self.stream is None:
            self.happen(Failed(Failure(Phase.CONNECTION, self.moment(), CONNECTION_LOST)))

    @rule()
    def the_guest_reboots(self) -> None:
        if self.up:
            self.happen(Noted(self.moment(), "rebooted"))

    @rule(event=st.sampled_from([Paused, Resumed, Fenced]))
    def the_guest_is_paused_or_goes_on(self, event: type[Paused] | type[Resumed] | type[Fenced]) -> None:
        if self.up:
            self.happen(event(self.moment()))

    @precondition(lambda self: self.life.machine.silence.unwatched)
    @rule()
    def the_guest_speaks(self) -> None:
        self.happen(Spoke(self.moment()))

    @precondition(lambda self: self.up and self.running and not self.events)
    @rule()
    def the_device_is_unplugged(self) -> None:
        self.unplugged.add(self.starts)
        self.happen(Unplugged(self.moment(), LibvirtEvent("DEVICE_REMOVED", f"{self.starts}")))

    # The hypervisor.

    @precondition(lambda self: self.up)
    @rule(cause=st.sampled_from([Cause.HYPERVISOR_LOST, Cause.HYPERVISOR_TIMEOUT]))
    def the_hypervisor_goes(self, cause: Cause) -> None:
        self.up = False
        self.events.clear()
        self.happen(Down(self.moment(), cause))

    @precondition(lambda self: not self.up)
    @rule()
    def the_hypervisor_comes(self) -> None:
        self.up = True
        self.events.clear()
        stopped = None if self.running else LibvirtEvent("SHUTOFF", self.ends.get(self.starts))
        self.happen(Up(self.moment(), self.starts if self.running else -1, stopped))

    # What was asked for. Answers lag behind what they say.

    @precondition(lambda self: self.open_asked and self.opening is None)
    @rule(outcome=st.sampled_from(["fine", "fine", "busy", "lost", "late"]))
    def the_opening_is_made(self, outcome: str) -> None:
        if outcome == "late":
            self.opening = OpenFailed(0, cause=Cause.HYPERVISOR_TIMEOUT), None
        elif outcome == "lost":
            self.opening = OpenFailed(0, CONNECTION_LOST), None
        elif not self.running:
            self.opening = OpenFailed(0, NOT_RUNNING), None
        elif outcome == "busy":
            self.opening = OpenFailed(0, BUSY), None
        else:
            self.opening = Opened(0, self.starts), _Stream(self.starts)

    @precondition(lambda self: self.opening)
    @rule()
    def the_opening_is_answered(self) -> None:
        assert self.opening is not None
        (event, stream), self.opening = self.opening, None
        self.open_asked = False
        self.stream = stream
        if isinstance(event, Opened):
            assert stream is not None
            stream.over = not self.running or self.starts != stream.running_id
            self.attachments.append(event.running_id)
            self.happen(Opened(self.moment(), event.running_id))
        else:
            assert isinstance(event, OpenFailed)
            self.happen(OpenFailed(self.moment(), event.error, event.cause))

    @precondition(lambda self: self.close_asked)
    @rule(error=st.booleans())
    def the_stream_is_cleaned_up(self, error: bool) -> None:
        self.close_asked = False
        self.happen(Cleaned(self.moment(), (CONNECTION_LOST,) if error else ()))

    @precondition(lambda self: self.queries)
    @rule(anybody=st.booleans())
    def the_state_is_looked_at(self, anybody: bool) -> None:
        for number, query in enumerate(self.queries):
            if isinstance(query, int):
                shut_off = anybody and not self.running
                self.queries[number] = (
                    query,
                    LibvirtEvent("SHUTOFF", self.ends.get(self.starts)) if shut_off else None,
                )

    @precondition(lambda self: self.queries)
    @rule()
    def a_query_is_answered(self) -> None:
        self.the_state_is_looked_at(anybody=True)
        query = self.queries.pop(0)
        assert not isinstance(query, int)
        self.happen(Answered(self.moment(), *query))

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def a_timer_runs_out(self, data: st.DataObject) -> None:
        timer = data.draw(st.sampled_from(sorted(self.timers)))
        self.timers.discard(timer)
        self.happen(Elapsed(self.moment(), timer))

    @rule()
    def somebody_comes(self) -> None:
        self.somebody = True
        self.happen(Demand(self.moment(), present=True))

    @precondition(lambda self: self.somebody)
    @rule()
    def the_last_one_goes(self) -> None:
        self.somebody = False
        self.happen(Demand(self.moment(), present=False))

    @rule(seconds=st.sampled_from([None, 5, 500]))
    def the_console_is_released(self, seconds: int | None) -> None:
        now = self.moment()
        self.happen(Released(now, None if seconds is None else now + seconds * SECOND))

    @rule()
    def the_console_is_reclaimed(self) -> None:
        self.happen(Reclaimed(self.moment()))

    @rule()
    def somebody_needs_it(self) -> None:
        self.lent += 1
        self.happen(Lent(self.moment(), lent=True))

    @precondition(lambda self: self.lent)
    @rule()
    def somebody_needs_it_no_more(self) -> None:
        self.lent -= 1
        self.happen(Lent(self.moment(), lent=False))

    # What always holds.

    @invariant()
    def marks_are_in_order_and_never_change(self) -> None:
        if not hasattr(self, "life"):
            return
        assert len({mark.number for mark in self.life.final}) == len(self.life.final), "final once"
        for mark in self.life.final:
            if isinstance(mark.record, Ended):
                assert self.completed.setdefault(mark.number, mark.record.reason.cause) is mark.record.reason.cause

    @invariant()
    def every_attachment_has_one_end_behind_its_beginning(self) -> None:
        if not hasattr(self, "life"):
            return
        last, ended, cause = 0, True, None
        waits = self.life.reserved
        known = sorted(self.life.final, key=lambda mark: mark.number)
        for mark in known:
            if waits and mark.number > waits[0]:
                break
            match mark.record:
                case Attached(attachment=attachment):
                    assert attachment == last + 1
                    assert ended or last in self.stalled, "one end for each attachment, or a break for a false alarm"
                    last, ended, cause = attachment, False, None
                case Ended(attachment=None, reason=reason):
                    assert ended, "an end without attachment while there is one"
                    assert reason.cause is not cause, "repeats make no mark"
                    cause = reason.cause
                case Ended(attachment=attachment, reason=reason):
                    assert (attachment, ended) == (last, False)
                    ended, cause = True, reason.cause
                case _:
                    pass
        if not waits:
            assert last == self.life.machine.attachment == len(self.attachments)
            assert ended == (self.life.state is not State.ATTACHED)

    @invariant()
    def evidence_is_of_the_attachments_own_incarnation(self) -> None:
        if not hasattr(self, "life"):
            return
        incarnations: dict[int, int] = {}
        for record in self.life.marks:
            match record:
                case Attached(attachment=attachment, incarnation=incarnation):
                    incarnations[attachment] = incarnation
                case Ended(attachment=int(attachment), reason=reason):
                    assert reason.console is not None
                    if attachment in incarnations:
                        assert reason.console.incarnation == incarnations[attachment]
                    event, running_id = reason.event, self.attachments[attachment - 1]
                    # A look at the domain's state cannot tell one start from the next; an event can.
                    if event is not None and event.name == "STOPPED":
                        assert event.detail == self.ends[running_id]
                    if event is not None and event.name in ("SHUTDOWN", "DEVICE_REMOVED"):
                        assert event.detail == f"{running_id}"
                case _:
                    pass
        assert list(incarnations.values()) == sorted(incarnations.values())

    def go_on(self) -> bool:
        """Answer one thing that is open, as the world stands; False where nothing is."""
        timers = self.timers - {Timer.LINGER, Timer.PROBE, Timer.RECLAIM}
        if self.opening is not None:
            self.the_opening_is_answered()
        elif self.open_asked:
            self.the_opening_is_made("fine")
        elif self.close_asked:
            self.the_stream_is_cleaned_up(error=False)
        elif self.queries:
            self.a_query_is_answered()
        elif not self.up:
            self.the_hypervisor_comes()
        elif self.events:
            self.an_event_arrives()
        elif self.stream is not None and self.stream.over:
            self.the_stream_ends()
        elif timers:
            self.timers.discard(min(timers))
            self.happen(Elapsed(self.moment(), min(timers)))
        else:
            return False
        return True

    def teardown(self) -> None:
        """Whatever was going on, once all is answered every end is explained and the console is held or waited for."""
        if not hasattr(self, "life"):
            return
        assert not all(self.go_on() for _ in range(100)), "it never comes to rest"
        self.marks_are_in_order_and_never_change()
        self.every_attachment_has_one_end_behind_its_beginning()
        self.evidence_is_of_the_attachments_own_incarnation()
        assert self.life.reserved == []
        claim = self.life.machine.claim
        if not claim.laid:
            assert self.life.state is (State.WAITING if claim.demanded and claim.why_not else State.ABSENT)
        elif not self.running:
            assert self.life.state is State.WAITING
        elif self.starts not in self.unplugged:
            waiting = self.life.machine.waiting
            failed_itself = waiting is not None and waiting.cause is Cause.INTERNAL_ERROR
            assert self.life.state is (State.WAITING if failed_itself else State.ATTACHED)


Lives.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestLives = Lives.TestCase
