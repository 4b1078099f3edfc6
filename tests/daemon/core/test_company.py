"""Those who have a place at one console: how they come and go, and what they may do there."""

from tests.harness.consoles import RUNNING_ID, START, Consoles, always, held
from tests.harness.placed import ALICE, evictable, not_evicted, place, unheard
from virtmux.reasons import Cause, Phase, Reason
from virtmux.records import rfc3339
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.effects import Open
from virtmuxd.core.events import Elapsed, Timer, Up
from virtmuxd.core.place import Place
from virtmuxd.core.roles import Wish
from virtmuxd.core.writer import Writer


class Counting(Place):
    """A place that counts how often it is told who is there."""

    told = 0

    def tell_company(self) -> None:
        self.told += 1


def test_of_a_crowd_that_comes_and_goes_it_is_told_once_for_all_changes_of_a_moment() -> None:
    bench = Consoles().add()
    places = [Counting(Cursor(0, 1, unheard), Writer(unheard), not_evicted, who=ALICE) for _ in range(100)]
    for each in places:
        bench.console.company.enter(each, bench.tick())
    told = sum(each.told for each in places)
    assert told == sum(range(32)), "each who came was told to all who were there, as long as they were few"
    ((seconds, tell),) = bench.later
    bench.later.clear()

    tell(bench.tick())

    assert (seconds, sum(each.told for each in places) - told) == (0.25, 100)
    for each in places[:50]:
        bench.console.company.leave(each, bench.tick())
    assert sum(each.told for each in places) - told == 100
    assert len(bench.later) == 1


def test_the_first_to_come_opens_the_console_and_the_last_to_go_lets_it_go() -> None:
    bench = Consoles().add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    first, second = place(bench), place(bench)

    bench.console.company.enter(first, bench.tick())
    assert Open() in bench.commands
    bench.answer_open()
    bench.console.company.enter(second, bench.tick())
    assert bench.console.info().clients == 2

    bench.console.company.leave(first, bench.tick())
    bench.happen(Elapsed(bench.tick(), Timer.LINGER))
    assert bench.console.machine.state == "attached"

    bench.console.company.leave(second, bench.tick())
    bench.happen(Elapsed(bench.tick(), Timer.LINGER))
    assert bench.console.machine.state == "ending"


EVICTED = Reason(cause=Cause.EVICTED, text="evicted by uid 0", phase=Phase.SERVER, at=rfc3339(START))


def test_who_is_evicted_is_told_once_and_types_no_more() -> None:
    bench = held(always())
    typist, ended = evictable(bench)
    bystander, untouched = evictable(bench)
    bench.console.inputs.hold(held=True)
    bench.console.company.type(typist, 1, 0, b"rm -rf")

    bench.console.company.evict(typist, EVICTED, bench.tick())
    bench.console.company.evict(typist, EVICTED, bench.tick())

    assert (ended, untouched) == ([EVICTED], [])
    bench.console.inputs.hold(held=False)
    assert bench.console.inputs.take() is None
    assert bench.console.info().clients == 1
    bench.console.company.type(bystander, 1, 0, b"ls")
    assert bench.console.inputs.take() is not None


def test_who_waits_where_another_console_comes_with_its_guest_is_sent_away() -> None:
    bench = Consoles().add()
    first, first_ended = evictable(bench)
    _, second_ended = evictable(bench)

    bench.console.make_room(bench.tick())

    assert first_ended == second_ended
    assert [(reason.cause, "attach again" in reason.text) for reason in first_ended] == [(Cause.EVICTED, True)]
    assert bench.console.forsaken
    assert [event.event for event in bench.told][-1] == "vanished"
    bench.console.company.leave(first, bench.tick())  # its client is gone meanwhile


def test_who_loses_the_right_to_type_goes_on_watching() -> None:
    bench = held(always())
    typist, ended = evictable(bench)

    bench.console.company.enter(place(bench), bench.tick(), Wish(exclusive=True))
    bench.console.company.type(typist, 1, 0, b"ls")

    account = typist.writer.account
    assert (account.rejected, account.cause) == (2, Cause.ACCESS_DENIED)
    assert bench.console.info().clients == 2
    assert not ended
