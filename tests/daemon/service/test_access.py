"""What the access rules let a client do: at each request, and again where the rules or a name change."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from tests.harness.consoles import HYPERVISOR, START, URI, UUID, Bench, Consoles
from tests.harness.journal_writer import EPOCH, JournalWriter
from tests.harness.served import Peer, served
from virtmux import messages
from virtmux.domains import DomainInfo
from virtmux.features import Feature
from virtmux.journal.directory import Journal
from virtmux.messages import (
    Attach,
    Client,
    Console,
    Domains,
    Done,
    Event,
    Forget,
    Guest,
    Histories,
    InputStatus,
    Kick,
    ListConsoles,
    MarkMessage,
    Marks,
    Place,
    PlaceEnded,
    Reclaim,
    Refused,
    Release,
    RoleChanged,
    Stored,
    Watch,
    Who,
)
from virtmux.people import Role
from virtmux.reasons import Cause
from virtmux.records import Ended, Note, Position, rfc3339
from virtmux.wire import Output
from virtmuxd.core.access import ALL, USE, AccessRules, Right, Rule
from virtmuxd.core.archive import Archive, Sought
from virtmuxd.core.console_key import Naming
from virtmuxd.core.events import Policy
from virtmuxd.core.limits import LimitRules
from virtmuxd.service.clients import Clients
from virtmuxd.service.journal.readers import Readers
from virtmuxd.service.library import Library
from virtmuxd.service.proofs import Proofs

WATCH = frozenset({Right.WATCH})
TYPING = WATCH | {Right.TYPE}


def rules(*allowed: tuple[str, frozenset[Right]]) -> AccessRules:
    """For everybody: at consoles that the glob fits, these."""
    nobody: frozenset[int] = frozenset()
    return AccessRules([Rule(nobody, nobody, True, (glob,), rights) for glob, rights in allowed], ())


def everywhere(*rights: Right) -> AccessRules:
    return rules(("*", frozenset(rights)))


def held() -> Consoles:
    """Two consoles, web1 and web2."""
    consoles = Consoles()
    consoles.add()
    consoles.add("web2", uuid=UUID[:-1] + "2")
    return consoles


async def reviewed(peer: Peer, access: AccessRules) -> None:
    """A reload puts these rules into force."""
    peer.hall.access = access
    peer.hall.clients.review()


async def refusal(peer: Peer, request: Any) -> str:
    """The text with which it is refused that something is not allowed."""
    await peer.say(request)
    refused = await peer.until(Refused)
    assert (refused.id, refused.reason.cause) == (request.id, Cause.ACCESS_DENIED)
    return refused.reason.text


async def placed(peer: Peer, **options: Any) -> Place:
    await peer.say(Attach(peer.session.next_id(), options.pop("domain", "web1"), **options))
    return await peer.until(Place)


# Who may do nothing.


@pytest.mark.parametrize("access", [rules(), everywhere()])
async def test_who_may_do_nothing_is_sent_away_and_told_where_it_is_said_who_may(access: AccessRules) -> None:
    async with served(held().registry, access=access) as peer:
        reason = await peer.goodbye()

    assert reason.cause is Cause.ACCESS_DENIED
    assert reason.text.endswith("alice may do nothing here; [[access]] in virtmuxd.toml says who may")


async def test_who_may_do_nothing_any_more_is_sent_away_at_once() -> None:
    async with served(held().registry, access=everywhere(*USE)) as peer:
        await peer.greet()
        await placed(peer)
        await reviewed(peer, rules())
        assert (await peer.goodbye()).cause is Cause.ACCESS_DENIED


async def test_what_is_told_by_and_by_is_told_as_long_as_it_may_be(tmp_path: Path) -> None:
    consoles = held()
    writer = JournalWriter(tmp_path)
    writer.begin(domain="gone")
    writer.marks(5000, Note(rfc3339(EPOCH), "rebooted"))
    library = Library(consoles.registry, Journal(tmp_path), Readers(), lambda _key, then: then(None))
    async with served(consoles.registry, library, access=everywhere(*USE), buffer=4096) as peer:
        await peer.greet()
        await peer.say(Marks(4, "gone"))
        await peer.expect(Stored)
        await reviewed(peer, rules(("web1", ALL)))
        stored = 1
        while isinstance(said := await peer.hear(), Stored):
            stored += 1
        assert said == Done(4)
        assert stored < 5000
        await peer.say(ListConsoles(5))
        assert (await peer.until(Console)).info.id.domain == "web1"
        assert await peer.hear() == Done(5)


# What was typed before, and waits for a guest that is paused.


def paused() -> tuple[Consoles, Bench]:
    consoles = Consoles(policy=Policy.ALWAYS)
    bench = consoles.add()
    bench.attach()
    bench.console.inputs.hold(held=True)
    return consoles, bench


async def typed(peer: Peer) -> None:
    """Something is typed, and waits."""
    place = await placed(peer)
    await peer.put(place.info.console, 1, 0, b"poweroff\r")
    assert (await peer.until(InputStatus)).held


def taken(bench: Bench) -> bytes:
    """What the guest is sent once it goes on."""
    bench.console.inputs.hold(held=False)
    batch = bench.console.inputs.take()
    return b"".join(batch.packets) if batch is not None else b""


async def test_what_somebody_typed_who_may_do_nothing_any_more_goes_no_further_from_that_moment_on() -> None:
    consoles, bench = paused()
    async with served(consoles.registry, access=everywhere(*USE)) as peer:
        await peer.greet()
        await typed(peer)
        await reviewed(peer, rules())
        assert taken(bench) == b""
        assert (await peer.goodbye()).cause is Cause.ACCESS_DENIED


async def test_nor_does_what_somebody_typed_who_is_kicked() -> None:
    (consoles, bench), clients = paused(), Clients()
    async with served(consoles.registry, clients=clients) as eve, served(consoles.registry, clients=clients) as peer:
        for each in (eve, peer):
            await each.greet()
        await typed(eve)
        await peer.say(Kick(4, eve.client.who.client))
        assert (await eve.goodbye()).cause is Cause.EVICTED
        assert taken(bench) == b""


@pytest.mark.parametrize(("access", "sent"), [(everywhere(*USE), b"poweroff\r"), (everywhere(*WATCH), b"")])
async def test_nor_where_other_rules_are_in_force_what_somebody_typed_who_has_left(
    access: AccessRules, sent: bytes
) -> None:
    consoles, bench = paused()
    async with served(consoles.registry, access=everywhere(*USE)) as peer:
        await peer.greet()
        await typed(peer)
        peer.socket.close()
        await peer.ended()
        peer.hall.follow(access, LimitRules(), per_console=True)
    assert taken(bench) == sent


# Watching.


async def test_consoles_that_one_may_not_watch_are_not_told() -> None:
    consoles = held()
    async with served(consoles.registry, access=rules(("web2", WATCH))) as peer:
        await peer.greet()
        await peer.say(ListConsoles(1), Watch(2))
        assert (await peer.until(Console)).info.id.domain == "web2"
        assert await peer.hear() == Done(1)
        assert (await peer.until(Event)).console.domain == "web2"
        assert await peer.hear() == Done(2)
        for console in consoles.registry:
            console.tell(console.event("waiting", 0))
        assert (await peer.expect(Event)).console.domain == "web2"


@pytest.mark.parametrize(
    ("needed", "request_"),
    [
        (Right.WATCH, {}),
        (Right.TYPE, {"exclusive": True}),
        (Right.EXCLUSIVE, {"exclusive": True}),
        (Right.STEAL, {"exclusive": True, "steal": True}),
        (Right.FORCE, {"force": True}),
    ],
)
async def test_an_attach_needs_the_rights_of_all_that_it_asks_for(needed: Right, request_: dict[str, Any]) -> None:
    async with served(held().registry, access=rules(("web1", ALL - {needed}), ("*", ALL))) as peer:
        await peer.greet(Feature.ROLES)
        assert "alice has no right to" in await refusal(peer, Attach(5, "web1", **request_))
        await placed(peer, domain="web2", **request_)


async def test_the_read_only_socket_lets_nobody_do_more_than_read() -> None:
    async with served(held().registry, read_only=True, access=everywhere(*ALL)) as peer:
        await peer.greet()
        assert "this socket is to watch" in await refusal(peer, Attach(5, "web1", force=True))
        assert (await placed(peer)).role is Role.READ_ONLY


async def test_nor_more_than_the_rules_allow() -> None:
    async with served(held().registry, read_only=True, access=everywhere(Right.TYPE)) as peer:
        await peer.greet()
        assert "no right to watch" in await refusal(peer, Attach(5, "web1"))


# History.


@pytest.mark.parametrize("replay", ["all", "boot", "bytes:5", "lines:1", "since:2020-01-01T00:00:00Z"])
async def test_who_may_not_read_history_is_shown_what_comes_and_told_that_something_is_withheld(replay: str) -> None:
    consoles = Consoles()
    bench = consoles.add()
    bench.output(b"secret\n")
    async with served(consoles.registry, access=everywhere(Right.WATCH)) as peer:
        await peer.greet()
        place = await placed(peer, replay=replay, hold=False)
        bench.output(b"now\n")

        assert place.withheld
        assert place.position == place.info.position
        assert (await peer.until(Output)).data == b"now\n"


async def test_where_nothing_earlier_was_asked_for_nothing_is_said() -> None:
    async with served(held().registry, access=everywhere(Right.WATCH)) as peer:
        await peer.greet()
        assert not (await placed(peer, replay="none", hold=False)).withheld


async def test_a_position_of_ones_own_is_gone_on_from_with_its_proof_and_no_other() -> None:
    consoles = Consoles()
    bench = consoles.add()
    bench.output(b"before\n")
    access, proofs = everywhere(Right.WATCH), Proofs(None, b"")
    async with served(consoles.registry, access=access, proofs=proofs) as peer:
        await peer.greet()
        first = await placed(peer, hold=False)
    bench.output(b"missed\n")

    async def again(position: str, proof: str | None) -> Place:
        async with served(consoles.registry, access=access, proofs=proofs) as peer:
            await peer.greet()
            return await placed(peer, hold=False, position=position, proof=proof)

    own = await again(first.position, first.proof)
    assert (own.withheld, own.position, own.proof) == (False, first.position, first.proof)
    for position, proof in ((first.position, None), ("0", None), (first.position, first.proof[:-1] + "x")):  # type: ignore[index]
        other = await again(position, proof)
        assert (other.withheld, other.position) == (True, other.info.position)
    earlier = await again("0", first.proof)
    assert (earlier.withheld, earlier.position) == (True, first.position)


async def test_a_position_in_another_history_is_no_way_to_the_start_of_this_one() -> None:
    consoles = Consoles()
    bench = consoles.add()
    bench.output(b"before\n")
    async with served(consoles.registry, access=everywhere(Right.WATCH)) as peer:
        await peer.greet()
        await peer.say(Attach(5, "web1", position=str(Position("f" * 32, 0, 1))))
        place = await peer.until(Place)
        assert (place.withheld, place.position) == (True, place.info.position)


async def test_who_loses_the_right_to_history_loses_a_place_that_is_at_it_and_no_other() -> None:
    consoles = Consoles()
    bench = consoles.add()
    bench.output(bytes(1 << 19))
    access = everywhere(Right.WATCH, Right.HISTORY)
    async with (
        served(consoles.registry, access=access, buffer=4096) as behind,
        served(consoles.registry, access=access) as level,
    ):
        for peer in (behind, level):
            await peer.greet()
        await placed(behind, replay="all", hold=False)
        await placed(level, hold=False)
        for peer in (behind, level):
            await reviewed(peer, everywhere(Right.WATCH))
        bench.output(b"now\n")

        assert "no right to read the history of web1" in (await behind.until(PlaceEnded)).reason.text
        assert (await level.until(Output)).data == b"now\n"


@pytest.mark.parametrize("request_", [Histories(5, "web1"), Marks(5, "web1"), Forget(5, "web1")])
async def test_what_is_stored_needs_its_right(request_: Any) -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    consoles.add().attach()
    async with served(consoles.registry, access=everywhere(Right.WATCH)) as peer:
        await peer.greet()
        await refusal(peer, request_)


async def test_the_histories_of_all_consoles_are_those_that_one_may_read() -> None:
    async with served(held().registry, access=rules(("web2", WATCH | {Right.HISTORY}), ("*", WATCH))) as peer:
        await peer.greet()
        await peer.say(Histories(5))
        assert (await peer.expect(messages.History)).info.console.domain == "web2"
        assert await peer.expect(Done) == Done(5)


async def test_history_that_is_still_looked_for_is_not_given_to_who_has_lost_the_right_meanwhile() -> None:
    consoles = Consoles()
    bench = consoles.add()
    bench.output(b"secret\n" * 10)
    archive = Asked()
    bench.console.sequence.archive = cast("Archive", archive)
    async with served(consoles.registry, access=everywhere(Right.WATCH, Right.HISTORY)) as peer:
        await peer.greet()
        await peer.say(Attach(5, "web1", replay="since:2020-01-01T00:00:00Z", hold=False), ListConsoles(6))
        await peer.until(Done)
        await reviewed(peer, everywhere(Right.WATCH))
        archive.give(None)

        place = await peer.until(Place)
        assert (place.withheld, place.position) == (True, place.info.position)


class Asked:
    """An archive that answers when the test does."""

    oldest, end = (0, 1), (0, 1)

    def find(self, _sought: Sought, give: Callable[[Any], None]) -> None:
        self.give = give


@pytest.mark.parametrize("name", ["web2", "1", "nowhere", UUID])
@pytest.mark.parametrize("device", [None, "nosuch"])
async def test_who_may_not_watch_is_told_no_more_of_a_domain_than_of_none(name: str, device: str | None) -> None:
    consoles = held()
    async with served(consoles.registry, access=rules(("other", ALL))) as peer:
        await peer.greet()
        await peer.say(Attach(5, name, device))
        reason = (await peer.until(Refused)).reason
        assert (reason.cause, reason.console) == (Cause.ACCESS_DENIED, None)
        assert reason.text.endswith(f"user alice has no right to watch {name}")


@pytest.mark.parametrize("request_", [Histories, Marks, Forget, Domains, partial(Guest, action="start")])
@pytest.mark.parametrize("name", ["web1", "everywhere"])
async def test_nor_by_what_is_stored_of_it_or_libvirt_says(request_: Any, name: str) -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    consoles.add().attach()
    for uri, names in ((URI, {"web1", "everywhere"}), ("qemu+ssh://there/system", {"everywhere"})):
        consoles.registry.serve(uri, START)
        consoles.registry.claim(HYPERVISOR + uri, uri)
        consoles.registry.connected(uri, START, Knowing(names))
    async with served(consoles.registry, access=rules(("other", ALL))) as peer:
        await peer.greet()
        there = await refusal(peer, request_(id=5, domain=name))
        assert there == (await refusal(peer, request_(id=5, domain="nowhere"))).replace("nowhere", name)


class Knowing:
    """A hypervisor that has domains of these names, without any device."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def act(self, _uuid: str, _asked: Guest, _then: object) -> None:
        raise AssertionError

    def look(self, domain: str, then: Callable[[DomainInfo | None], None]) -> None:
        has = DomainInfo(
            uri=URI, domain=domain, uuid=UUID, running=True, paused=False, served=True, devices=[], graphics=[]
        )
        then(has if domain in self._names else None)


# Typing.


async def test_who_may_not_type_watches() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    bench = consoles.add()
    bench.attach()
    async with served(consoles.registry, access=everywhere(Right.WATCH)) as peer:
        await peer.greet(Feature.ROLES)
        place = await placed(peer)
        await peer.put(place.info.console, 1, 0, b"no")
        assert (place.read_only, place.role) == (True, Role.READ_ONLY)
        assert (await peer.until(InputStatus)).cause is Cause.ACCESS_DENIED
        assert not bench.console.inputs.take()


async def test_the_right_to_type_comes_and_goes_with_the_rules() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    bench = consoles.add()
    bench.attach()
    async with served(consoles.registry, access=everywhere(*TYPING)) as peer:
        await peer.greet(Feature.ROLES)
        handle = (await placed(peer)).info.console

        await reviewed(peer, everywhere(Right.WATCH))
        assert await peer.until(RoleChanged) == RoleChanged(handle, Role.READ_ONLY)
        await peer.put(handle, 1, 0, b"no")
        assert (await peer.until(InputStatus)).rejected == 2

        await reviewed(peer, everywhere(*TYPING))
        assert await peer.until(RoleChanged) == RoleChanged(handle, Role.WRITER)
        await peer.put(handle, 1, 2, b"yes")
        await peer.say(ListConsoles(7))
        await peer.until(Done)
        batch = bench.console.inputs.take()
        assert batch is not None
        assert batch.packets == (b"yes",)


@pytest.mark.parametrize("token", [None, "made up"])
async def test_no_token_steals_for_who_may_not(token: str | None) -> None:
    clients, consoles = Clients(), held()
    async with (
        served(consoles.registry, clients=clients) as owner,
        served(consoles.registry, clients=clients, user="bob", access=everywhere(*USE)) as other,
    ):
        for peer in (owner, other):
            await peer.greet(Feature.ROLES)
        await placed(owner, exclusive=True, hold=False)
        await other.say(Attach(5, "web1", exclusive=True, steal=True, token=token, hold=False))
        answer = await other.hear()
        if token is None:
            assert isinstance(answer, Refused)
        else:
            assert isinstance(answer, Place)
            assert answer.role is Role.WATCHER


async def test_who_asked_only_to_watch_is_not_made_to_type() -> None:
    async with served(held().registry, access=everywhere(Right.WATCH)) as peer:
        await peer.greet(Feature.ROLES)
        await placed(peer, read_only=True, hold=False)
        await reviewed(peer, everywhere(*TYPING))
        await peer.say(ListConsoles(7))
        assert isinstance(await peer.hear(), Console | messages.Hypervisor)


async def test_a_place_goes_with_the_right_to_watch() -> None:
    async with served(held().registry, access=everywhere(*USE)) as peer:
        await peer.greet()
        place = await placed(peer, hold=False)
        await placed(peer, domain="web2", hold=False)
        await reviewed(peer, rules(("web2", USE)))
        ended = await peer.until(PlaceEnded)
        assert (ended.console, ended.reason.cause) == (place.info.console, Cause.ACCESS_DENIED)
        assert ended.reason.console is not None
        assert ended.reason.console.domain == "web1"


async def test_rules_for_another_name_count_once_the_domain_has_it() -> None:
    consoles = Consoles()
    bench = consoles.add()
    async with served(consoles.registry, access=rules(("ci-*", TYPING), ("web1", WATCH))) as peer:
        await peer.greet(Feature.ROLES)
        handle = (await placed(peer, hold=False)).info.console
        bench.console.appear(Naming("qemu:///system", "ci-1", "pty", 0), bench.tick())
        assert await peer.until(RoleChanged) == RoleChanged(handle, Role.WRITER)
        bench.console.appear(Naming("qemu:///system", "prod", "pty", 0), bench.tick())
        assert (await peer.until(PlaceEnded)).reason.cause is Cause.ACCESS_DENIED


# What concerns others.


@pytest.mark.parametrize("request_", [Release(5, "web1"), Reclaim(5, "web1"), Release(5, "web1", while_connected=True)])
async def test_a_console_is_released_and_reclaimed_by_those_who_may(request_: Any) -> None:
    async with served(held().registry, access=everywhere(*(ALL - {Right.RELEASE}))) as peer:
        await peer.greet()
        assert "no right to release web1" in await refusal(peer, request_)


async def test_a_console_that_was_let_go_comes_back_with_the_end_of_the_right() -> None:
    consoles = Consoles()
    bench = consoles.add()
    async with served(consoles.registry, access=everywhere(*USE)) as peer:
        await peer.greet()
        await peer.say(Release(5, "web1", while_connected=True))
        await peer.until(Done)
        assert bench.console.machine.claim.lent
        await reviewed(peer, everywhere(Right.WATCH))
        assert not bench.console.machine.claim.lent


async def test_a_client_is_sent_away_by_who_may_do_so_at_all_its_consoles() -> None:
    consoles, clients = held(), Clients()
    access = rules(("web1", ALL), ("*", USE))
    async with (
        served(consoles.registry, clients=clients) as other,
        served(consoles.registry, clients=clients, access=access) as peer,
    ):
        await other.greet()
        await peer.greet()
        for domain in ("web1", "web2"):
            await placed(other, domain=domain, hold=False)
        number = 1

        assert f"no right to kick client {number}" in await refusal(peer, Kick(5, number))
        await other.say(messages.Detach(9, [*other.session.positions][1]))
        await other.until(Done)
        await peer.say(Kick(6, number))
        assert await peer.until(Done) == Done(6)
        assert (await other.goodbye()).cause is Cause.EVICTED


async def test_one_that_is_nowhere_is_sent_away_by_who_may_do_so_everywhere() -> None:
    consoles, clients = held(), Clients()
    async with (
        served(consoles.registry, clients=clients) as other,
        served(consoles.registry, clients=clients, access=rules(("web1", ALL), ("*", USE))) as peer,
    ):
        await other.greet()
        await peer.greet()
        await refusal(peer, Kick(5, 1))
        await reviewed(peer, everywhere(*ALL))
        await peer.say(Kick(6, 1))
        assert await peer.until(Done) == Done(6)


async def test_places_at_consoles_that_one_may_not_watch_are_not_told() -> None:
    consoles, clients = held(), Clients()
    async with (
        served(consoles.registry, clients=clients) as other,
        served(consoles.registry, clients=clients, access=rules(("web2", WATCH))) as peer,
    ):
        await other.greet()
        await peer.greet()
        for domain in ("web1", "web2"):
            await placed(other, domain=domain, hold=False)
        await peer.say(Who(5))
        info = (await peer.until(Client)).info
        assert [place.console.domain for place in info.places] == ["web2"]


async def test_marks_need_no_more_than_watching_as_they_come() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    bench = consoles.add()
    bench.attach()
    async with served(consoles.registry, access=everywhere(Right.WATCH)) as peer:
        await peer.greet()
        await placed(peer)
        bench.stop()
        assert isinstance((await peer.until(MarkMessage)).record, Ended)
