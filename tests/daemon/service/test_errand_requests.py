"""What a client asks of domains, with errands that a test does."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace

from tests.harness.consoles import HYPERVISOR, START, URI, UUID, Consoles
from tests.harness.life import NOT_RUNNING
from tests.harness.logged import Audited
from tests.harness.served import served
from virtmux.domains import DeviceInfo, DomainInfo
from virtmux.messages import Attach, Domain, Domains, Done, Guest, ListConsoles, Refused
from virtmux.reasons import Cause
from virtmuxd.core.errands import NotDone
from virtmuxd.logs.sinks import Lines
from virtmuxd.service.errand_requests import MOST

OTHER_URI = "qemu+ssh://there/system"
WEB1 = DomainInfo(
    uri=URI,
    domain="web1",
    uuid=UUID,
    running=True,
    paused=False,
    served=True,
    devices=[DeviceInfo("serial0", "file")],
    graphics=["vnc"],
)


class Errands:
    """Answers a look with what it `has`, and an action when the test does."""

    def __init__(self, has: DomainInfo | NotDone | None = None) -> None:
        self.has = has
        self.asked: list[tuple[str, Guest]] = []
        self.answers: list[Callable[[NotDone | None], None]] = []

    def act(self, uuid: str, asked: Guest, then: Callable[[NotDone | None], None]) -> None:
        self.asked.append((uuid, asked))
        self.answers.append(then)

    def look(self, _domain: str, then: Callable[[DomainInfo | NotDone | None], None]) -> None:
        then(self.has)


def world(*done_by: Errands, console: bool = True) -> Consoles:
    """A daemon with these hypervisors, the first of which has the console."""
    consoles = Consoles()
    if console:
        consoles.add()
    for uri, errands in zip((URI, OTHER_URI), done_by, strict=False):
        consoles.registry.serve(uri, START)
        consoles.registry.identified(HYPERVISOR + uri, uri)
        consoles.registry.connected(uri, START, errands)
    return consoles


def start(request: int, domain: str = "web1", **facts: Any) -> Guest:
    return Guest(id=request, domain=domain, action="start", **facts)


async def test_what_is_asked_is_done_to_the_domain_of_that_name_and_answered_by_and_by() -> None:
    errands = Errands()
    async with served(world(errands).registry) as peer:
        await peer.greet()
        await peer.say(start(4), ListConsoles(5))
        while not isinstance(said := await peer.hear(), Done):
            pass
        assert said == Done(5), "nothing waits for libvirt"
        assert errands.asked == [(UUID, start(4))]

        errands.answers[0](None)

        assert await peer.expect(Done) == Done(4)


async def test_what_libvirt_does_not_do_is_refused_with_its_error() -> None:
    errands = Errands()
    async with served(world(errands).registry) as peer:
        await peer.greet()
        await peer.say(start(4), ListConsoles(5))
        await peer.until(Done)
        errands.answers[0](NotDone(Cause.ACTION_FAILED, NOT_RUNNING))

        refused = await peer.expect(Refused)

    assert (refused.id, refused.reason.cause, refused.reason.error) == (4, Cause.ACTION_FAILED, NOT_RUNNING)
    assert refused.reason.text == "libvirt could not do this to guest web1: libvirt: domain is not running"


async def test_a_domain_without_a_console_is_looked_for() -> None:
    errands = Errands(WEB1)
    async with served(world(errands, console=False).registry) as peer:
        await peer.greet()
        await peer.say(start(4), ListConsoles(5))
        await peer.until(Done)

    assert errands.asked == [(UUID, start(4))]


@pytest.mark.parametrize(
    ("has", "cause"),
    [
        (None, Cause.CONSOLE_MISSING),
        (replace(WEB1, served=False), Cause.CONSOLE_MISSING),
        (NotDone(Cause.HYPERVISOR_TIMEOUT), Cause.HYPERVISOR_TIMEOUT),
    ],
    ids=["nobody has it", "it is not served", "nobody says"],
)
async def test_nothing_is_done_to_a_domain_that_is_not_looked_after(
    has: DomainInfo | NotDone | None, cause: Cause
) -> None:
    errands = Errands(has)
    async with served(world(errands, console=False).registry) as peer:
        await peer.greet()
        await peer.say(start(4))

        assert (await peer.expect(Refused)).reason.cause is cause
    assert errands.asked == []


@pytest.mark.parametrize("uri", ["qemu+ssh://evil/system", "", URI + "?socket=/tmp/evil"])
async def test_a_uri_that_is_not_served_is_not_connected_to(uri: str) -> None:
    consoles, errands = Consoles(), Errands(WEB1)
    consoles.registry.serve(URI, START)
    consoles.registry.connected(URI, START, errands)
    async with served(consoles.registry) as peer:
        await peer.greet()
        for request in (start(4, uri=uri), Domains(4, "web1", uri=uri), Attach(4, "web1", uri=uri)):
            await peer.say(request)
            assert (await peer.expect(Refused)).reason.cause is Cause.CONSOLE_MISSING
    assert errands.asked == []
    assert [each.uri for each in consoles.registry.hypervisors()] == [URI]


async def test_of_two_that_have_it_the_running_one_is_meant_else_it_is_ambiguous() -> None:
    off = replace(WEB1, running=False)
    here, there = Errands(off), Errands(replace(WEB1, uri=OTHER_URI))
    async with served(world(here, there, console=False).registry) as peer:
        await peer.greet()
        await peer.say(start(4), ListConsoles(5))
        await peer.until(Done)
        assert (len(here.asked), len(there.asked)) == (0, 1)

        there.has = replace(off, uri=OTHER_URI)
        await peer.say(start(6))
        assert (await peer.until(Refused)).reason.text.endswith(f"name one with --uri: {URI}, {OTHER_URI}")
        await peer.say(start(7, uri=OTHER_URI), ListConsoles(8))
        await peer.until(Done)
        assert len(there.asked) == 2


async def test_a_hypervisor_that_is_away_is_named_with_its_reason() -> None:
    consoles = world(Errands())
    consoles.registry.disconnected(URI, START, Cause.HYPERVISOR_LOST)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(start(4), Domains(5, "db1"))
        for request in (4, 5):
            refused = await peer.expect(Refused)
            assert (refused.id, refused.reason.cause) == (request, Cause.HYPERVISOR_LOST)
            assert refused.reason.text == f"{URI} cannot be asked: the hypervisor cannot be reached"


async def test_who_may_only_watch_may_look_and_do_nothing() -> None:
    errands = Errands(WEB1)
    async with served(world(errands).registry, read_only=True) as peer:
        await peer.greet()
        await peer.say(start(4), Domains(5, "web1"))
        assert (await peer.expect(Refused)).reason.cause is Cause.ACCESS_DENIED
        assert await peer.expect(Domain) == Domain(5, WEB1)
        assert await peer.expect(Done) == Done(5)
    assert errands.asked == []


async def test_a_domain_is_told_by_each_hypervisor_that_has_it() -> None:
    there = replace(WEB1, uri=OTHER_URI, served=False)
    async with served(world(Errands(WEB1), Errands(there)).registry) as peer:
        await peer.greet()
        await peer.say(Domains(4, "web1"))
        assert [(await peer.expect(Domain)).info, (await peer.expect(Domain)).info] == [WEB1, there]
        assert await peer.expect(Done) == Done(4)


async def test_a_domain_that_nobody_has_is_not_known() -> None:
    async with served(world(Errands()).registry) as peer:
        await peer.greet()
        await peer.say(Domains(4, "db1"))
        refused = await peer.expect(Refused)
        assert (refused.reason.cause, refused.reason.text) == (Cause.CONSOLE_MISSING, "no domain 'db1' is known")


async def test_a_client_may_have_so_many_requests_wait_and_no_more() -> None:
    errands = Errands()
    async with served(world(errands).registry) as peer:
        await peer.greet()
        await peer.say(*map(start, range(MOST + 1)))
        refused = await peer.expect(Refused)
        assert (refused.id, refused.reason.cause) == (MOST, Cause.PROTOCOL_ERROR)

        errands.answers[0](None)
        assert await peer.expect(Done) == Done(0)
        await peer.say(start(20), ListConsoles(21))
        await peer.until(Done)
        assert len(errands.asked) == MOST + 1


@pytest.mark.parametrize(("action", "keys"), [("key", []), ("nmi", [1])])
async def test_keys_and_the_action_go_together(action: str, keys: list[int]) -> None:
    async with served(world(Errands()).registry) as peer:
        await peer.greet()
        await peer.say(Guest(id=4, domain="web1", action=cast(Any, action), keys=keys))
        assert (await peer.expect(Refused)).reason.cause is Cause.PROTOCOL_ERROR


async def test_an_answer_that_comes_after_the_client_has_gone_is_dropped() -> None:
    errands = Errands()
    async with served(world(errands).registry) as peer:
        await peer.greet()
        await peer.say(start(4), ListConsoles(5))
        await peer.until(Done)
        peer.socket.close()
        await peer.ended()
        errands.answers[0](None)


@pytest.mark.parametrize("not_done", [None, NotDone(Cause.ACTION_FAILED, NOT_RUNNING)])
async def test_what_was_done_to_a_guest_or_not_is_in_the_audit_also_where_its_client_has_left(
    not_done: NotDone | None, caplog: pytest.LogCaptureFixture
) -> None:
    audited, errands = Audited(caplog), Errands()
    async with served(world(errands).registry) as peer:
        await peer.greet()
        await peer.say(Guest(id=1, domain="web1", action="key", keys=[683, 748]), ListConsoles(2))
        await peer.until(Done)
    errands.answers[0](not_done)
    (record,) = audited("uri", "domain", "uuid", "cause")
    assert record == ("key", URI, "web1", UUID, None if not_done is None else Cause.ACTION_FAILED)
    said = b"".join(map(Lines(2, to_journal=False).render, caplog.records))
    assert b"audit: " in said
    assert b"683" not in said
    assert b"748" not in said


async def test_what_may_not_be_done_to_a_guest_is_denied(caplog: pytest.LogCaptureFixture) -> None:
    audited = Audited(caplog)
    async with served(world(Errands()).registry, read_only=True) as peer:
        await peer.greet()
        await peer.say(start(1))
        await peer.until(Refused)
    assert audited("right", "uri", "domain", "read_only") == [("deny", "start", URI, "web1", True)]
