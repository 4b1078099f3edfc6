"""What is counted and measured at all consoles and hypervisors at one moment."""

from collections.abc import Callable

from tests.harness.consoles import HYPERVISOR, START, URI, Bench, Consoles
from tests.harness.life import BUSY
from virtmux.messages import Counters, State, Threads
from virtmux.reasons import Cause, Phase
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.counters import ThreadUse
from virtmuxd.core.events import Cleaned, Down, Failed, OpenFailed, Policy, Released
from virtmuxd.core.evidence import Failure
from virtmuxd.core.registry import Registry
from virtmuxd.core.statistics import HypervisorFigures, all_counters, all_threads, figures

OTHER = "qemu+unix:///system?socket=/other"


class ScriptedRecorder:
    """Says of the journal what it was made with."""

    def __init__(self, state: str, lag: int) -> None:
        self.state = state
        self.lag = lag

    def rename(self, domain: str, at: int) -> None:
        raise NotImplementedError

    def move(self, key: ConsoleKey, at: int) -> None:
        raise NotImplementedError

    def close(self, at: int) -> None:
        raise NotImplementedError

    def forget(self, then: Callable[[], None]) -> None:
        raise NotImplementedError


def served(*, policy: Policy = Policy.ALWAYS) -> Consoles:
    """Consoles of two hypervisors that are served."""
    consoles = Consoles(policy=policy)
    for uri in (URI, OTHER):
        consoles.registry.serve(uri, START)
        consoles.registry.identified(HYPERVISOR + uri, uri)
    return consoles


def of(consoles: Consoles, uri: str = URI) -> HypervisorFigures:
    """What is told of one hypervisor."""
    return next(each for each in figures(consoles.registry, per_console=False).hypervisors if each.uri == uri)


def attached(consoles: Consoles, name: str = "web1", *, uri: str = URI) -> Bench:
    bench = consoles.add(name, uuid=name, uri=uri)
    bench.attach()
    return bench


def test_consoles_are_counted_by_state_at_their_hypervisor() -> None:
    consoles = served()
    attached(consoles)
    consoles.add("db1", uuid="db1")
    attached(consoles, uri=OTHER).stop()

    assert of(consoles).consoles == dict.fromkeys(State, 0) | {State.ATTACHED: 1, State.ABSENT: 1}
    assert of(consoles, OTHER).consoles == dict.fromkeys(State, 0) | {State.WAITING: 1}


def test_a_console_is_unheld_that_is_to_be_held_while_its_guest_runs() -> None:
    consoles = served()
    bench = attached(consoles)
    assert not bench.console.unheld
    bench.happen(Released(bench.tick()))
    assert not bench.console.unheld, "nobody wants it"

    consoles = served()
    bench = consoles.add()
    assert not bench.console.unheld, "nothing is known of its guest"
    bench.attach()
    bench.stop()
    assert not bench.console.unheld, "its guest does not run"


def test_it_is_unheld_while_it_is_busy_and_not_while_its_hypervisor_is_lost() -> None:
    consoles = served()
    bench = attached(consoles)
    consoles.registry.connected(URI, START)
    bench.happen(Failed(Failure(Phase.RECEIVE, bench.tick())), Cleaned(bench.tick()), OpenFailed(bench.tick(), BUSY))
    assert bench.console.machine.state is State.WAITING
    assert (bench.console.unheld, of(consoles).unheld) == (True, 1)
    bench.happen(Down(bench.tick(), Cause.HYPERVISOR_LOST))
    assert (bench.console.unheld, of(consoles).unheld) == (False, 0)


def test_the_figures_of_a_console_vanish_with_it_and_the_sums_stay() -> None:
    consoles = served()
    bench = attached(consoles)
    bench.output(b"hello")
    (told,) = figures(consoles.registry, per_console=True).consoles
    assert (told.uri, told.domain, told.device, told.attached, told.tally.output) == (URI, "web1", "serial0", True, 5)
    assert (told.spoke_at, told.journal_failing) == (bench.now, None)
    assert figures(consoles.registry, per_console=False).consoles == []

    bench.console.vanish(bench.tick())
    assert figures(consoles.registry, per_console=True).consoles == []
    assert of(consoles).tally.output == 5
    consoles.registry.remove(bench.console)
    assert (of(consoles).tally.output, of(consoles).tally.attachments) == (5, 1)


def test_whether_the_disk_fails_and_what_is_not_written_yet_is_told_where_a_journal_is_kept() -> None:
    consoles = served()
    for name, recorder in (
        ("web1", None),
        ("db1", ScriptedRecorder("disk", 3)),
        ("db2", ScriptedRecorder("failing", 7)),
    ):
        consoles.add(name, uuid=name).console.recorder = recorder

    told = {each.domain: each.journal_failing for each in figures(consoles.registry, per_console=True).consoles}

    assert told == {"web1": None, "db1": False, "db2": True}
    assert (of(consoles).journal_failing, of(consoles).journal_lag) == (1, 7)


def test_no_two_consoles_have_the_same_names() -> None:
    consoles = served()
    for uuid in ("a", "b"):
        consoles.add("web1", uuid=uuid)
    assert len(figures(consoles.registry, per_console=True).consoles) == 1


def test_the_sums_of_a_hypervisor_never_shrink_when_a_console_moves_away() -> None:
    consoles = served()
    bench, waiting = attached(consoles), attached(consoles, uri=OTHER)
    bench.output(b"hello")
    waiting.output(b"here")
    former = bench.console.key
    bench.console.key = waiting.console.key
    waiting.console.make_room(START)
    consoles.registry.rekey(bench.console, former)
    bench.output(b"on")

    assert [of(consoles, uri).tally.output for uri in (URI, OTHER)] == [5, 4 + 2]
    assert [of(consoles, uri).tally.attachments for uri in (URI, OTHER)] == [1, 1]


def test_a_second_uri_of_a_hypervisor_has_no_consoles() -> None:
    registry = Registry()
    registry.serve(URI, START)
    (told,) = figures(registry, per_console=True).hypervisors
    assert (told.uri, told.connected, told.consoles[State.ATTACHED], told.threads) == (URI, False, 0, {})
    assert (told.lag, told.journal_failing, told.journal_lag) == (0, 0, 0)


def test_threads_and_counters_are_added_over_the_hypervisors() -> None:
    consoles = served()
    for number, uri in enumerate((URI, OTHER), 1):
        counters = consoles.registry.serve(uri, START)
        counters.threads["calls"] = use = ThreadUse(8)
        use.busy, counters.cuts, counters.stuck_calls = number, number, 10 * number
        counters.journal_failures, counters.journal_lost = 100 * number, 1000 * number
        counters.count_end(Cause.GUEST_CRASHED)
    told = figures(consoles.registry, per_console=False).hypervisors
    assert told[1].threads == {"calls": Threads(2, 8, 0)}
    assert all_threads(told) == Threads(3, 16, 0)
    assert all_counters(told) == Counters(3, 30, {Cause.GUEST_CRASHED: 2}, 300, 3000)
    assert all_threads([]) == Threads()
    assert all_counters([]) == Counters()
