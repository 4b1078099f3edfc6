"""How consoles are found, and who is told what happens to them."""

import re
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.harness.consoles import HYPERVISOR, OTHER_UUID, START, URI, UUID, Consoles
from tests.harness.life import CONNECTION_LOST
from tests.harness.records import append
from virtmux import messages
from virtmux.domains import DomainInfo
from virtmux.reasons import Cause, Retry
from virtmuxd.core.errands import NotDone
from virtmuxd.core.events import Up
from virtmuxd.core.registry import AlreadyServedError, NotFoundError, Registry

OTHER_URI = "qemu+unix:///system?socket=/other"


class NoErrands:
    """Errands that nobody asks for."""

    def act(self, uuid: str, asked: messages.Guest, then: Callable[[NotDone | None], None]) -> None:
        raise NotImplementedError

    def look(self, domain: str, then: Callable[[DomainInfo | NotDone | None], None]) -> None:
        raise NotImplementedError


def stands(running_id: int) -> Up:
    """The hypervisor says whether the domain runs."""
    return Up(START, running_id)


def test_a_console_is_found_by_name_uuid_and_running_id() -> None:
    consoles = Consoles()
    console = consoles.add("web1").console
    bench = consoles.add("db1", uuid=OTHER_UUID)
    bench.happen(stands(7))

    assert consoles.registry.find("web1") is console
    assert consoles.registry.find("db1") is bench.console
    assert consoles.registry.find(OTHER_UUID) is bench.console
    assert consoles.registry.find(OTHER_UUID.upper()) is bench.console
    assert consoles.registry.find("7") is bench.console


def test_a_name_wins_over_a_running_id() -> None:
    consoles = Consoles()
    bench = consoles.add("web1")
    bench.happen(stands(7))
    named = consoles.add("7", uuid=OTHER_UUID).console

    assert consoles.registry.find("7") is named


@pytest.mark.parametrize("name", ["-1", "", "web", "web11", "0"])
@pytest.mark.parametrize(("uri", "where"), [(None, ""), (URI, f" at {URI}")])
def test_what_is_no_name_finds_nothing(name: str, uri: str | None, where: str) -> None:
    consoles = Consoles()
    consoles.add("web1")

    with pytest.raises(NotFoundError, match=f"^no domain '{name}' with a console{where}; 'virtmux list'") as error:
        consoles.registry.find(name, uri=uri)
    assert error.value.reason is None


def test_a_running_id_of_a_guest_that_stopped_finds_nothing() -> None:
    consoles = Consoles()
    bench = consoles.add("web1")
    bench.happen(stands(7), stands(-1))

    with pytest.raises(NotFoundError):
        consoles.registry.find("7")


def test_without_a_device_the_first_of_the_domain_is_meant() -> None:
    consoles = Consoles()
    first = consoles.add("web1", device="serial0").console
    second = consoles.add("web1", device="console1").console

    assert consoles.registry.find("web1") is first
    assert consoles.registry.find("web1", "console1") is second


def test_a_device_that_is_not_there_is_answered_with_those_that_are() -> None:
    consoles = Consoles()
    consoles.add("web1", device="serial0")
    consoles.add("web1", device="console1")

    with pytest.raises(NotFoundError, match="serial0, console1"):
        consoles.registry.find("web1", "serial9")


def test_a_name_at_two_hypervisors_has_to_be_told_apart() -> None:
    consoles = Consoles()
    here = consoles.add("web1").console
    there = consoles.add("web1", uri=OTHER_URI, uuid=OTHER_UUID).console

    with pytest.raises(NotFoundError, match=f"--uri: {re.escape(f'{OTHER_URI}, {URI}')}$"):
        consoles.registry.find("web1")
    assert consoles.registry.find("web1", uri=here.naming.uri) is here
    assert consoles.registry.find("web1", uri=OTHER_URI) is there
    assert consoles.registry.find(OTHER_UUID) is there


@pytest.mark.parametrize("running_id", [7, 0])
def test_of_a_name_at_two_hypervisors_the_guest_that_runs_is_meant(running_id: int) -> None:
    consoles = Consoles()
    left_behind = consoles.add("web1")
    runs = consoles.add("web1", uri=OTHER_URI)
    left_behind.happen(stands(-1))
    runs.happen(stands(running_id))

    assert consoles.registry.find("web1") is runs.console
    assert consoles.registry.find("web1", uri=left_behind.console.naming.uri) is left_behind.console


def test_a_console_that_vanished_is_not_found_and_still_known() -> None:
    consoles = Consoles()
    console = consoles.add("web1").console
    console.vanish(START)

    with pytest.raises(NotFoundError):
        consoles.registry.find("web1")
    assert list(consoles.registry) == []
    assert consoles.registry.get(console.key) is console
    assert consoles.registry.all() == [console]

    consoles.registry.remove(console)
    assert consoles.registry.all() == []


def test_all_of_a_domain_that_is_meant_are_found() -> None:
    consoles = Consoles()
    web1 = [consoles.add("web1", device=device).console for device in ("serial0", "console1")]
    elsewhere = consoles.add("web1", uri=OTHER_URI)
    elsewhere.happen(stands(7))
    elsewhere.console.vanish(START)
    web1_there = consoles.add("web1", uuid=OTHER_UUID, uri=OTHER_URI).console
    db1 = consoles.add("db1", uuid=OTHER_UUID).console
    find_all = consoles.registry.find_all

    assert find_all(None) == [web1_there, db1, *web1]
    assert find_all("web1", uri=URI) == web1
    assert find_all("web1", "console1", URI) == [web1[1]]
    assert find_all("web1", uri=OTHER_URI) == [web1_there]
    assert find_all("db1") == [db1]
    assert find_all("web1") == [], "it is not clear at which hypervisor"
    assert find_all("web1", "serial9", URI) == find_all("web9") == []


def test_the_consoles_of_a_domain_that_runs_elsewhere_are_those_that_it_came_from() -> None:
    consoles = Consoles()
    there = consoles.add("web1", uri=OTHER_URI)
    stopped, runs_here, another = consoles.add("web1", uri="third"), consoles.add("web1"), consoles.add(uuid=OTHER_UUID)
    for bench, running_id in ((there, 0), (stopped, -1), (runs_here, 7), (another, 7)):
        bench.happen(stands(running_id))

    assert consoles.registry.running_elsewhere(UUID, HYPERVISOR + URI) == [there.console]


def test_what_is_delivered_of_each_console_is_limited_whenever_it_comes() -> None:
    consoles = Consoles()
    before = consoles.add("web1").console.sequence
    consoles.registry.limit_delivery(10)
    behind = consoles.add("db1", uuid=OTHER_UUID).console.sequence

    for records in (before, behind):
        append(records, bytes(10))
        records.append(bytes(20), 1)
        assert records.publish() is not None, "it holds back what is beyond the rate"
    consoles.registry.limit_delivery(0)
    assert [records.publish() for records in (before, behind)] == [None, None]


def test_consoles_are_in_the_order_that_people_expect() -> None:
    consoles = Consoles()
    added = [
        consoles.add("web1", device="serial0").console,
        consoles.add("web1", device="console1").console,
        consoles.add("db1", uuid=OTHER_UUID).console,
    ]

    assert list(consoles.registry) == [added[2], added[0], added[1]]


def test_a_handle_is_never_used_twice() -> None:
    consoles = Consoles()
    first = consoles.add("web1").console
    consoles.registry.remove(first)

    assert (first.handle, consoles.add("web1").console.handle) == (1, 2)


def test_watchers_are_told_until_they_leave() -> None:
    consoles = Consoles()
    told: list[messages.Event] = []
    consoles.registry.watch(told.append)
    bench = consoles.add("web1")
    consoles.registry.tell(bench.console.event("waiting", START))
    consoles.registry.unwatch(told.append)
    consoles.registry.tell(bench.console.event("vanished", START))
    assert [event.event for event in told] == ["appeared", "waiting"]


def test_a_watcher_may_leave_while_it_is_told() -> None:
    consoles = Consoles()
    told: list[str] = []

    def watcher(event: messages.Event) -> None:
        told.append(event.event)
        consoles.registry.unwatch(watcher)

    consoles.registry.watch(watcher)
    bench = consoles.add("web1")
    consoles.registry.tell(bench.console.event("waiting", START))

    assert told == ["appeared"]


def test_answers_wait_until_every_hypervisor_was_looked_at() -> None:
    registry = Consoles().registry
    answers: list[str] = []
    registry.expect("a")
    registry.expect("b")
    registry.when_surveyed(lambda: answers.append("first"))

    registry.surveyed("a")
    assert (registry.is_new, answers) == (True, [])
    registry.surveyed("b")
    registry.when_surveyed(lambda: answers.append("second"))

    assert (registry.is_new, answers) == (False, ["first", "second"])


def test_a_hypervisor_that_cannot_be_looked_at_is_the_better_reason() -> None:
    consoles = Consoles()
    consoles.add("web1")
    consoles.registry.serve(OTHER_URI, START)
    with pytest.raises(NotFoundError, match="cannot be looked at: it is not connected yet") as error:
        consoles.registry.find("db1")
    assert error.value.reason is not None
    assert (error.value.reason.cause, error.value.reason.retry.will_retry) == (Cause.HYPERVISOR_LOST, True)

    consoles.registry.disconnected(OTHER_URI, START, Cause.HYPERVISOR_DENIED)
    with pytest.raises(NotFoundError, match="cannot be looked at") as error:
        consoles.registry.find("db1")
    assert error.value.reason is not None
    assert error.value.reason.cause is Cause.HYPERVISOR_DENIED
    with pytest.raises(NotFoundError) as error:
        consoles.registry.find("db1", uri="qemu:///system")
    assert error.value.reason is None

    consoles.registry.connected(OTHER_URI, START)
    with pytest.raises(NotFoundError) as error:
        consoles.registry.find("db1")
    assert error.value.reason is None


def test_a_hypervisor_is_served_under_one_uri() -> None:
    registry = Consoles().registry
    for uri in ("qemu:///system", OTHER_URI):
        registry.serve(uri, START)
    registry.identified("qemu/system/4a6b", "qemu:///system")
    registry.identified("qemu/system/4a6b", "qemu:///system")

    with pytest.raises(AlreadyServedError, match="served as qemu:///system"):
        registry.identified("qemu/system/4a6b", OTHER_URI)


def test_a_hypervisor_that_is_served_no_more_leaves_its_place_to_another_uri() -> None:
    registry = Consoles().registry
    answers: list[str] = []
    for uri in (URI, OTHER_URI):
        registry.serve(uri, START)
    registry.expect(URI)
    registry.when_surveyed(lambda: answers.append("now"))
    registry.identified("qemu/system/4a6b", URI)
    with pytest.raises(AlreadyServedError):
        registry.identified("qemu/system/4a6b", OTHER_URI)
    assert (registry.uri_of("qemu/system/4a6b"), registry.uri_of("lxc/system/4a6b")) == (URI, None)

    registry.cease(URI)

    assert answers == ["now"], "nobody waits for it any more"
    assert [each.uri for each in registry.hypervisors()] == [OTHER_URI]
    assert registry.uri_of("qemu/system/4a6b") is None
    registry.identified("qemu/system/4a6b", OTHER_URI)
    assert registry.uri_of("qemu/system/4a6b") == OTHER_URI


def served_by_two_uris() -> Registry:
    """`URI` and `OTHER_URI` lead to one hypervisor, which it has by the first; where "third" leads is not known."""
    registry = Consoles().registry
    for uri in (URI, OTHER_URI, "third"):
        registry.serve(uri, START)
    registry.identified("qemu/system/4a6b", URI)
    with pytest.raises(AlreadyServedError):
        registry.identified("qemu/system/4a6b", OTHER_URI)
    return registry


def test_a_second_uri_that_is_served_no_more_leaves_the_hypervisor_to_the_first() -> None:
    registry = served_by_two_uris()

    registry.cease(OTHER_URI)
    registry.cease("third")

    assert registry.uri_of("qemu/system/4a6b") == URI


def test_who_asks_hypervisors_asks_each_once() -> None:
    registry = served_by_two_uris()

    def served_at(uri: str | None) -> list[str]:
        return [each.uri for each in registry.served_at(uri)]

    assert served_at(None) == [URI, "third"]
    assert (served_at("third"), served_at(OTHER_URI), served_at("fourth")) == (["third"], [], [])


def test_errands_are_done_at_a_hypervisor_while_it_is_connected() -> None:
    registry, errands = Consoles().registry, NoErrands()
    registry.serve(URI, START)
    registry.connected(URI, START, errands)
    assert [each.errands for each in registry.served_at(URI)] == [errands]

    registry.disconnected(URI, START, Cause.HYPERVISOR_LOST, CONNECTION_LOST, retry_s=1.5)

    (hypervisor,) = registry.served_at(URI)
    assert hypervisor.errands is None
    assert hypervisor.why_away.error == CONNECTION_LOST
    assert hypervisor.why_away.retry == Retry(will_retry=True, after_s=1.5)


def test_the_consoles_of_a_hypervisor_are_those_that_exist_there() -> None:
    consoles = Consoles()
    for uri in (URI, OTHER_URI):
        consoles.registry.serve(uri, START)
    consoles.registry.identified(HYPERVISOR + URI, URI)
    consoles.add("web1")
    consoles.add("db1", uuid=OTHER_UUID).console.vanish(START)
    consoles.add("web1", uri=OTHER_URI)

    assert [each.consoles for each in consoles.registry.hypervisors()] == [1, 0]
    also_vanished = consoles.registry.by_hypervisor()
    assert [(each.uri, len(those)) for each, those in also_vanished] == [(URI, 2), (OTHER_URI, 0)]


def test_a_console_that_goes_to_another_hypervisor_is_known_by_its_key_there() -> None:
    consoles = Consoles()
    console = consoles.add("web1").console
    former, console.key = console.key, console.key._replace(hypervisor=HYPERVISOR + OTHER_URI)

    consoles.registry.rekey(console, former)

    assert (consoles.registry.get(former), consoles.registry.get(console.key)) == (None, console)


def test_a_second_uri_of_a_hypervisor_is_no_reason_for_what_is_missing_unless_it_is_asked_for() -> None:
    registry = Consoles().registry
    for uri in ("qemu:///system", OTHER_URI):
        registry.serve(uri, START)
        with suppress(AlreadyServedError):
            registry.identified("qemu/system/4a6b", uri)
    registry.connected("qemu:///system", START)
    registry.disconnected(OTHER_URI, START, Cause.HYPERVISOR_DENIED, detail="it is served as qemu:///system")

    with pytest.raises(NotFoundError) as error:
        registry.find("db1")
    assert error.value.reason is None
    with pytest.raises(NotFoundError, match="served as qemu:///system") as error:
        registry.find("db1", uri=OTHER_URI)
    assert error.value.reason is not None
    assert error.value.reason.cause is Cause.HYPERVISOR_DENIED


def test_a_hypervisor_that_cannot_be_reached_holds_no_answer_up() -> None:
    registry = Consoles().registry
    answers: list[str] = []
    for uri in ("a", "b"):
        registry.serve(uri, START)
        registry.expect(uri)
    registry.when_surveyed(lambda: answers.append("now"))

    registry.disconnected("a", START, Cause.HYPERVISOR_TIMEOUT)
    assert answers == []
    registry.connected("b", START)

    assert answers == ["now"]
