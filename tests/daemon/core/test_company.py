"""Those who have a place at one console: how they come and go, and what they may do there."""

from tests.harness.consoles import RUNNING_ID, START, Consoles, always, held
from tests.harness.life import BUSY
from tests.harness.placed import ALICE, evictable, not_evicted, place, unheard
from virtmux.people import Companion, Person, Role
from virtmux.reasons import Cause, Phase, Reason
from virtmux.records import rfc3339
from virtmuxd.core.cursor import Cursor
from virtmuxd.core.effects import Open
from virtmuxd.core.events import Elapsed, OpenFailed, Timer, Up
from virtmuxd.core.place import Place
from virtmuxd.core.roles import Wish
from virtmuxd.core.writer import Writer


class Counting(Place):
    """A place that counts how often it is told who is there, and keeps who changed its role."""

    told = 0

    def __init__(self, who: Person = ALICE) -> None:
        super().__init__(Cursor(0, 1, unheard), Writer(unheard), not_evicted, who=who)
        self.changed_by: list[Person | None] = []

    def tell_company(self) -> None:
        self.told += 1

    def tell_role(self, by: Person | None) -> None:
        self.changed_by.append(by)


def test_of_a_crowd_that_comes_and_goes_it_is_told_once_for_all_changes_of_a_moment() -> None:
    bench = Consoles().add()
    places = [Counting() for _ in range(100)]
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


def test_a_console_is_held_for_those_alone_who_want_it_held() -> None:
    bench = Consoles().add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    reader, watcher = place(bench), place(bench)
    reader.holds = False

    bench.console.company.enter(reader, bench.tick())
    assert bench.commands == []
    bench.console.company.enter(watcher, bench.tick())
    bench.answer_open()
    bench.console.company.leave(watcher, bench.tick())
    bench.happen(Elapsed(bench.tick(), Timer.LINGER))

    assert bench.console.machine.state == "ending"


def test_who_forces_a_console_that_another_libvirt_client_has_takes_it() -> None:
    bench = Consoles().add()
    bench.happen(Up(bench.tick(), RUNNING_ID))

    bench.console.company.enter(place(bench), bench.tick(), force=True)
    bench.happen(OpenFailed(bench.tick(), BUSY))

    assert bench.commands[-1] == Open(force=True)


BOB = Person(2, "bob", 1001, 4712)


def test_an_exclusive_right_outlives_a_lost_place_and_who_watches_learns_who_frees_it() -> None:
    company = held(always()).console.company
    alice, bob = Counting(), Counting(BOB)
    company.enter(bob, 0)
    company.enter(alice, 0, Wish(exclusive=True))
    token = alice.token
    assert token is not None
    assert (company.owner_but(token), company.owner_but(None)) == (None, ALICE)
    assert company.others(bob) == ([Companion(ALICE, Role.EXCLUSIVE)], 0)

    company.leave(alice, 0, lost=True)
    company.expire("of another")
    assert (bob.role, bob.changed_by, bob.told) == (Role.WATCHER, [ALICE], 2)
    company.expire(token)

    assert (bob.role, bob.changed_by, bob.told) == (Role.WRITER, [ALICE, ALICE], 3)


def test_who_may_type_no_more_by_the_rules_reads_on_and_the_others_are_told() -> None:
    bench = held(always())
    alice, bob = Counting(), Counting(BOB)
    bench.console.company.enter(alice, 0)
    bench.console.company.enter(bob, 0)

    bench.console.company.permit(alice, types=False, alone=False)
    bench.console.company.permit(alice, types=False, alone=True)
    bench.console.company.type(alice, 1, 0, b"ls")

    assert (alice.role, alice.changed_by, bob.told) == (Role.READ_ONLY, [None], 1)
    assert alice.writer.account.cause is Cause.ACCESS_DENIED


def test_what_readers_were_given_is_summed_with_that_of_those_who_left() -> None:
    bench = held(always())
    company = bench.console.company
    assert company.lag == 0
    read_all, missed_all, stays = readers = [place(bench) for _ in range(3)]
    for each in readers:
        company.enter(each, bench.tick())
    bench.output(b"line\n")
    assert company.lag == 5
    while bench.console.sequence.take(read_all.cursor):
        pass
    for each in (missed_all, stays):
        each.cursor.skip(1, (5, 1))
    company.leave(read_all, bench.tick())
    company.leave(missed_all, bench.tick())

    assert (company.given, company.lag) == ((5, 2, 10), 0)


def test_what_a_client_typed_is_asked_for_where_it_is_on_its_way() -> None:
    bench = held(always())
    typist, _ = evictable(bench)
    bench.console.company.confirm(typist)
    assert bench.input_waits == 0

    bench.console.company.type(typist, 1, 0, b"ls")
    bench.console.company.confirm(typist)

    batch = bench.console.inputs.take()
    assert batch is not None
    assert batch.fence
    assert bench.input_waits == 2


def test_what_those_typed_who_left_goes_no_further_where_nobody_knows_any_more_who_they_were() -> None:
    bench = held(always())
    typist, stays = evictable(bench)[0], evictable(bench)[0]
    bench.console.inputs.hold(held=True)
    for each, data in ((typist, b"ls"), (stays, b"ps")):
        bench.console.company.type(each, 1, 0, data)
    bench.console.company.leave(typist, bench.tick())

    bench.console.company.refuse_those_who_left()

    bench.console.inputs.hold(held=False)
    batch = bench.console.inputs.take()
    assert batch is not None
    assert batch.packets == (b"ps",)


def test_evictions_are_counted() -> None:
    bench = held(always())
    for _ in range(2):
        evictable(bench)

    bench.console.company.evict_all(EVICTED, bench.tick())

    assert bench.console.company.evictions == 2


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
    assert [reason.text for reason in first_ended] == [
        "virtmuxd sent this client away: the guest was migrated here with its console; attach again"
    ]
    assert first_ended[0].console == bench.console.id
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
