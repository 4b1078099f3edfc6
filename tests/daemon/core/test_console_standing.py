"""How a console stands: whether it is wanted, held, there, and recorded, and what it does without those who would."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.harness.consoles import RUNNING_ID, START, UUID, Consoles, always, console_over, held
from tests.harness.life import BUSY
from tests.harness.memory_store import MemoryStore
from tests.harness.placed import ALICE, evictable, not_evicted, place, unheard
from virtmux import messages
from virtmux.reasons import Cause, LibvirtEvent, Phase
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.effects import Open
from virtmuxd.core.events import (
    Arrived,
    Cleaned,
    Elapsed,
    Failed,
    Noted,
    Opened,
    OpenFailed,
    Policy,
    Started,
    Stopped,
    Timer,
    Unplugged,
    Up,
)
from virtmuxd.core.evidence import Failure
from virtmuxd.core.holder import Destination
from virtmuxd.core.place import Place
from virtmuxd.core.store import Recorder
from virtmuxd.core.writer import Writer


def test_why_it_is_not_attached_is_what_it_waits_for_or_how_it_ended_last() -> None:
    bench = Consoles().add()
    somebody, why_not = place(bench), [bench.console.why_not]
    bench.happen(Up(bench.tick(), RUNNING_ID))
    bench.console.company.enter(somebody, bench.tick())
    bench.happen(OpenFailed(bench.tick(), BUSY))
    why_not.append(bench.console.why_not)
    bench.happen(Elapsed(bench.tick(), Timer.RETRY))
    bench.answer_open()
    why_not.append(bench.console.why_not)
    bench.console.company.leave(somebody, bench.tick())
    bench.happen(Elapsed(bench.tick(), Timer.LINGER), Cleaned(bench.tick()))
    why_not.append(bench.console.why_not)

    causes = [None if reason is None else reason.cause for reason in why_not]
    assert causes == [None, Cause.CONSOLE_BUSY, None, Cause.CONSOLE_RELEASED]


def test_it_is_occupied_while_it_is_held_or_sought_or_waited_for() -> None:
    consoles = Consoles()
    idle, waited_for, held_, unplugged = consoles.add(), consoles.add(), held(always()), held(always())
    waited_for.console.company.enter(place(waited_for), waited_for.tick())
    assert [each.console.occupied for each in (idle, waited_for, held_)] == [False, True, True]

    unplugged.happen(Unplugged(unplugged.tick(), LibvirtEvent("DEVICE_REMOVED", "serial0")))

    assert (held_.console.unplugged, unplugged.console.unplugged) == (False, True)


def test_it_is_unheld_where_it_is_to_be_held_and_its_guest_runs() -> None:
    bench = always().add()
    unheld = [bench.console.unheld]
    for event in (Up(bench.tick(), -1), Started(bench.tick(), RUNNING_ID), Opened(bench.tick(), RUNNING_ID)):
        bench.happen(event)
        unheld.append(bench.console.unheld)

    assert unheld == [False, False, True, False]


def test_a_console_that_the_hypervisor_has_is_not_retired() -> None:
    bench = Consoles().add()
    bench.happen(Up(bench.tick(), RUNNING_ID))

    assert not bench.console.forsaken
    assert not bench.retired


def test_of_a_console_that_never_appeared_nobody_is_told_that_it_vanished() -> None:
    told = list[messages.Event]()
    console_over(MemoryStore(), tell=told.append).handle_event(Up(START, RUNNING_ID))

    assert told == []


def test_a_container_may_have_several_who_hold_its_console() -> None:
    console = console_over(MemoryStore(), ConsoleKey("lxc/default/4a6b", UUID, "console0"))

    assert not console.info().exclusive
    assert not console.machine.exclusive


def test_a_console_that_nobody_holds_yet_does_without_who_would() -> None:
    console = console_over(MemoryStore(), policy=Policy.ALWAYS)
    console.handle_event(Up(START, RUNNING_ID))
    assert console.machine.state == "opening"
    console.handle_event(Opened(START, RUNNING_ID))
    somebody = Place(Cursor(0, 1, unheard), Writer(unheard), not_evicted, who=ALICE)
    console.company.enter(somebody, START)

    console.company.type(somebody, 1, 0, b"ls")

    assert console.inputs.waiting


def test_a_console_that_nobody_holds_yet_goes_with_its_guest_too() -> None:
    console, there = console_over(MemoryStore(), policy=Policy.ALWAYS), Consoles().add()
    key = console.key._replace(hypervisor="qemu/system/other")
    console.handle_event(Up(START, RUNNING_ID))
    console.handle_event(Opened(START, RUNNING_ID))
    console.expect(Destination(key, console.naming, there, lambda: None), START)
    for event in (
        Arrived(START, 9),
        Failed(Failure(Phase.RECEIVE, START)),
        Stopped(START, LibvirtEvent("STOPPED", "MIGRATED")),
        Cleaned(START),
    ):
        console.handle_event(event)

    assert console.key == key
    assert there.commands == [Open()]


def test_a_bug_before_anybody_holds_the_console_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    console = console_over(MemoryStore())
    monkeypatch.setattr(console.machine, "handle", lambda _: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        console.handle_event(Noted(START, "paused"))


def test_a_console_whose_hypervisor_is_not_served_any_more_sends_all_away_and_has_vanished() -> None:
    bench = held(always())
    _, ended = evictable(bench)

    bench.console.abandon(bench.tick())
    assert [event.event for event in bench.told][-1] == "vanished"
    bench.console.abandon(bench.tick())

    assert [reason.text for reason in ended] == [
        "virtmuxd sent this client away: virtmuxd does not serve qemu:///system any more"
    ]
    assert ended[0].console == bench.console.id
    assert [event.event for event in bench.told].count("vanished") == 1
    assert not bench.console.present


def test_another_policy_counts_at_once_and_the_same_changes_nothing() -> None:
    bench = Consoles().add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    linger = bench.console.machine.claim.linger
    bench.console.set_policy(Policy.ON_DEMAND, linger, bench.tick())
    assert bench.commands == []

    bench.console.set_policy(Policy.ALWAYS, linger, bench.tick())

    assert bench.commands == [Open()]
    bench.console.set_policy(Policy.ALWAYS, linger + 1, bench.tick())
    assert bench.console.machine.claim.linger == linger + 1


class Recording(Recorder):
    """Keeps what it was told."""

    state = "failing"
    lag = 0

    def __init__(self) -> None:
        self.told: list[object] = []

    def rename(self, domain: str, at: int) -> None:
        self.told.append((domain, at))

    def move(self, key: ConsoleKey, at: int) -> None:
        self.told.append((key, at))

    def close(self, at: int) -> None:
        self.told.append(at)

    def forget(self, then: Callable[[], None]) -> None:
        self.told.append("forget")
        then()


class Renamed(Place):
    """A place that counts how often it is told of another name."""

    times = 0

    def renamed(self) -> None:
        self.times += 1


def test_who_reads_and_who_writes_the_records_down_are_told_what_becomes_of_the_console() -> None:
    bench = held(always())
    forgotten: list[str] = []
    assert bench.console.info().journal == "memory"
    bench.console.forget(lambda: forgotten.append("here"))
    bench.console.recorder = recorder = Recording()
    reader = Renamed(Cursor(0, 1, unheard), Writer(unheard), not_evicted, who=ALICE)
    bench.console.company.enter(reader, bench.tick())
    assert bench.console.info().journal == "failing"

    bench.console.appear(replace(bench.console.naming, domain="web2"), START + 1)
    bench.console.forget(lambda: forgotten.append("there too"))
    bench.console.close(START + 2)

    assert forgotten == ["here", "there too"]
    assert recorder.told == [("web2", START + 1), "forget", START + 2]
    assert reader.times == 1
