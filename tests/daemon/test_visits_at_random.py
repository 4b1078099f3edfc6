"""A console, its clients and its journal as one, through lives of the daemon and boots of the host, against a plain
model: whatever happens in whatever order, each client is given every byte and mark once, or a gap for what was nowhere;
and no input comes to a boot that it was not typed at."""

import tempfile
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.harness import journal_files
from tests.harness.console_model import History
from tests.harness.counts import count
from tests.harness.stepped_daemon import KEY, RING, WINDOW, SteppedDaemon, stepped_host
from tests.harness.visitor import MOST, Manner, Visitor
from virtmux.journal.names import home
from virtmux.messages import State
from virtmux.records import Position

_ALL = 1 << 20
_seconds = st.sampled_from([0.0, 0.3, 5.0, 60.0])
_manners = st.builds(
    Manner, st.sampled_from([None, "all", "boot", "bytes:1000"]), st.sampled_from([0, 100, 5000, _ALL, _ALL])
)
#: How a life may begin, and what clients are told because of that.
BEGINNINGS = {"input": "accepted", "refused input": "rejected", "flood": "Gap", "crash": "missing"}


class Visits(RuleBasedStateMachine):
    """What happens, and what that means."""

    #: How often clients were told something of each kind, by all of them.
    told: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        directory = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vmx-"))
        self.host = self._stack.enter_context(stepped_host(Path(directory)))
        self.histories: dict[str, History] = {}
        #: What came to each boot of the guest, by the number of its start.
        self.lines: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.visitors: list[Visitor] = []
        self.end_is_told = True
        self.ended_at: float | None = None
        #: Since when what the guest says may be missing to all.
        self.missing_since: float | None = None
        self.begin()

    def begin(self) -> None:
        """A daemon is started."""
        self.daemon = SteppedDaemon(self.host)
        name = self.daemon.console.sequence.position.history
        if name not in self.histories:
            self.histories[name] = History()
            self.missing_since = self.ended_at = None
        self.history = self.histories[name]
        if self.is_held:
            self.attached()

    def attached(self) -> None:
        """The console is held from now on."""
        if self.missing_since is not None and self.missing_since < self.host.loop.now:
            self.history.mark("break")
        self.missing_since = None
        self.history.attach(self.host.starts)

    @property
    def is_held(self) -> bool:
        return self.daemon.console.machine.state is State.ATTACHED

    @property
    def here(self) -> list[Visitor]:
        return [visitor for visitor in self.visitors if not visitor.is_gone]

    @property
    def typists(self) -> list[Visitor]:
        return [visitor for visitor in self.here if visitor.typed]

    @initialize(first=st.sampled_from(["nothing", "somebody", "somebody", *BEGINNINGS]), manner=_manners)
    def it_begins(self, first: str, manner: Manner) -> None:
        """Mostly with somebody at a guest that runs; and at times with what chance alone brings too seldom."""
        if first == "nothing":
            return
        self.the_guest_is_started()
        self.come(manner, None)
        self.all_that_is_told_is_so()
        match first:
            case "input" | "refused input":
                for client in self.typists:
                    client.type(10, WINDOW)
                    client.confirm()
                self.daemon.loop.settle()
                self.it_is_given_input(taken=True) if first == "input" else self.it_ends("told")
            case "flood":
                self.the_disk_is_slow(writing=True, reading=False)
                self.it_prints_much(RING, 3)
            case "crash":
                self.the_daemon_ends("crash", 0.0)
            case _:
                pass

    # The guest.

    @precondition(lambda self: self.host.running_id < 0 and self.end_is_told)
    @rule()
    def the_guest_is_started(self) -> None:
        self.daemon.start_guest()
        assert self.is_held
        self.attached()

    @precondition(lambda self: self.is_held)
    @rule(size=st.integers(1, 300))
    def it_prints_a_line(self, size: int) -> None:
        self.daemon.print(self.history.print(size))

    @precondition(lambda self: self.is_held)
    @rule(size=st.integers(1, 2 * RING), pieces=st.integers(1, 3))
    def it_prints_much(self, size: int, pieces: int) -> None:
        self.daemon.print(*(self.history.print(size) for _ in range(pieces)))

    @precondition(lambda self: self.is_held)
    @rule(then=st.sampled_from(["", "told", "started", "reboot"]))
    def it_ends(self, then: str) -> None:
        """It may be told only later how, or not before its host goes down; and it may be started at once again."""
        self.history.mark("ended")
        self.ended_at = self.host.loop.now
        self.daemon.end_guest()
        self.end_is_told = False
        match then:
            case "told":
                self.its_end_is_told()
            case "started":
                self.its_end_is_told()
                self.the_guest_is_started()
            case "reboot":
                self.the_daemon_ends("reboot", 0.0)
            case _:
                pass

    @precondition(lambda self: not self.end_is_told)
    @rule()
    def its_end_is_told(self) -> None:
        self.daemon.tell_end()
        self.end_is_told = True

    @precondition(lambda self: self.is_held)
    @rule(taken=st.booleans())
    def it_is_given_input(self, taken: bool) -> None:
        self.give_input()
        if taken:
            self.daemon.answer_fence()

    def give_input(self) -> bool:
        """Gives whether there was anything to be done."""
        data, fence = self.daemon.take_input()
        self.lines[self.host.running_id] += data
        return fence or bool(data)

    @precondition(lambda self: self.is_held)
    @rule()
    def its_line_has_taken_it(self) -> None:
        self.daemon.answer_fence()

    # Clients.

    @property
    def number(self) -> int | None:
        """One that nobody has whose input may come."""
        taken = {each.number for each in self.visitors if not each.is_gone or each.has_typed_at(self.host.starts)}
        return next((number for number in range(MOST) if number not in taken), None)

    @precondition(lambda self: self.number is not None)
    @rule(manner=_manners, data=st.data())
    def a_client_comes(self, manner: Manner, data: st.DataObject) -> None:
        """It goes on where one that is gone stood, or takes part of what was before."""
        known = [each.position for each in self.visitors if each.is_gone and each.position is not None]
        self.come(manner, data.draw(st.sampled_from([None, *known])))

    def come(self, manner: Manner, position: Position | None) -> None:
        number = self.number
        assert number is not None
        connection = self.daemon.let_in()
        self.visitors.append(
            Visitor(number, connection, manner, position, histories=self.histories.__getitem__, told=self.told)
        )

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def a_client_reads_all(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.here)).read(_ALL)

    @precondition(lambda self: self.typists)
    @rule(data=st.data(), size=st.one_of(st.integers(1, 100), st.integers(1, WINDOW)), asks=st.booleans())
    def a_client_types(self, data: st.DataObject, size: int, asks: bool) -> None:
        """And may ask what became of it."""
        client = data.draw(st.sampled_from(self.typists))
        client.type(size, WINDOW)
        if asks:
            client.confirm()

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def a_client_leaves(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.here)).leave()

    # The disk and the time.

    @rule(writing=st.booleans(), reading=st.booleans())
    def the_disk_is_slow(self, writing: bool, reading: bool) -> None:
        self.daemon.writing.hold_up(held_up=writing)
        self.daemon.reading.hold_up(held_up=reading)

    @rule()
    def the_disk_does_one_thing(self) -> None:
        self.daemon.writing.work(1)
        self.daemon.reading.work(1)

    @rule(seconds=_seconds)
    def time_passes(self, seconds: float) -> None:
        self.daemon.loop.let_pass(seconds)

    # The daemon and its host.

    @rule(how=st.sampled_from([None, None, None, "killed", "stopped", "crash", "reboot"]), seconds=_seconds)
    def the_daemon_ends(self, how: str | None, seconds: float) -> None:
        """Sometimes; in the last two ways its host ends with it. Clients come again."""
        if how is None:
            return
        if self.is_held:
            self.missing_since = self.host.loop.now
        elif self.missing_since is None:
            self.missing_since = self.ended_at  # it may start while no daemon sees it
        self.daemon.stop() if how in ("stopped", "reboot") else self.daemon.kill()
        here = self.here
        for visitor in here:
            while visitor.read(_ALL):
                pass
            assert visitor.is_gone
        self.end_is_told = True
        self.host.loop.let_pass(seconds)
        if how in ("crash", "reboot"):
            self.host.reboot()
        self.begin()
        for visitor in here:
            if self.number is not None:
                self.come(visitor.manner, visitor.position)

    # What always holds.

    @invariant()
    def all_that_is_told_is_so(self) -> None:
        """Every client reads at its pace, and holds what it is told against the model."""
        self.daemon.loop.settle()
        self.look_where_everything_is()
        for visitor in self.here:
            visitor.read()
            visitor.check(self.lines)
        self.daemon.loop.settle()

    def look_where_everything_is(self) -> None:
        sequence = self.daemon.console.sequence
        stories = journal_files.read(home(self.host.journal, *KEY[:2]))
        journal = stories.get(sequence.position.history, journal_files.Story())
        self.history.observe(sequence.start, journal.spans)

    def teardown(self) -> None:
        try:
            if self.daemon.is_alive:
                self.come_to_rest()
        finally:
            for visitor in self.here:
                visitor.leave()
            if self.daemon.is_alive:
                self.daemon.stop()
            self._stack.close()

    def come_to_rest(self) -> None:
        """In the end each client has been given all, and knows what became of its input."""
        self.the_disk_is_slow(writing=False, reading=False)
        if not self.end_is_told:
            self.its_end_is_told()
        for visitor in self.typists:
            visitor.confirm()
        self.daemon.loop.let_pass(60.0)
        self.daemon.answer_fence()
        while self.give_input():
            self.daemon.answer_fence()
        end = self.daemon.console.sequence.position
        assert (end.offset, end.mark) == (len(self.history.output), len(self.history.marks) + 1)
        for visitor in self.here:
            while visitor.read(_ALL):
                self.daemon.loop.settle()
            assert visitor.position == end
            assert all(typed.settled == len(typed.data) for typed in visitor.typed)
            visitor.check(self.lines)


def test_what_clients_are_told_accounts_for_all_that_happened() -> None:
    run_state_machine_as_test(
        Visits,
        settings=settings(
            max_examples=count(100, 2000),
            stateful_step_count=50,
        ),
    )


@pytest.mark.parametrize(("first", "kind"), BEGINNINGS.items())
def test_clients_are_told_of_how_it_began(first: str, kind: str) -> None:
    before, visits = Visits.told[kind], Visits()
    visits.it_begins(first, Manner(None, _ALL))
    visits.all_that_is_told_is_so()
    assert Visits.told[kind] > before
    visits.teardown()
