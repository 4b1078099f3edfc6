"""What the access rules let a client do: at each request, and again where the rules or a name change."""

from pathlib import Path
from typing import Any

import pytest

from tests.harness.allowed import TYPING, WATCH, everywhere, refusal, reviewed, rules, two_consoles
from tests.harness.consoles import Bench, Consoles
from tests.harness.journal_writer import EPOCH, JournalWriter
from tests.harness.served import Peer, served
from virtmux import messages
from virtmux.features import Feature
from virtmux.journal.directory import Journal
from virtmux.messages import (
    Attach,
    Client,
    Console,
    Done,
    Event,
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
from virtmux.records import Ended, Note, rfc3339
from virtmuxd.core.access import ALL, USE, AccessRules, Right
from virtmuxd.core.console_key import Naming
from virtmuxd.core.events import Policy
from virtmuxd.core.limits import LimitRules
from virtmuxd.service.clients import Clients
from virtmuxd.service.journal.readers import Readers
from virtmuxd.service.library import Library

# Who may do nothing.


@pytest.mark.parametrize("access", [rules(), everywhere()])
async def test_who_may_do_nothing_is_sent_away_and_told_where_it_is_said_who_may(access: AccessRules) -> None:
    async with served(two_consoles().registry, access=access) as peer:
        reason = await peer.goodbye()

    assert reason.cause is Cause.ACCESS_DENIED
    assert reason.text.endswith("alice may do nothing here; [[access]] in virtmuxd.toml says who may")


async def test_who_may_do_nothing_any_more_is_sent_away_at_once() -> None:
    async with served(two_consoles().registry, access=everywhere(*USE)) as peer:
        await peer.greet()
        await peer.placed()
        await reviewed(peer, rules())
        assert (await peer.goodbye()).cause is Cause.ACCESS_DENIED


async def test_what_is_told_by_and_by_is_told_as_long_as_it_may_be(tmp_path: Path) -> None:
    consoles = two_consoles()
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
    place = await peer.placed()
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
    consoles = two_consoles()
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
    async with served(two_consoles().registry, access=rules(("web1", ALL - {needed}), ("*", ALL))) as peer:
        await peer.greet(Feature.ROLES)
        assert "alice has no right to" in await refusal(peer, Attach(5, "web1", **request_))
        await peer.placed(domain="web2", **request_)


async def test_the_read_only_socket_lets_nobody_do_more_than_read() -> None:
    async with served(two_consoles().registry, read_only=True, access=everywhere(*ALL)) as peer:
        await peer.greet()
        assert "this socket is to watch" in await refusal(peer, Attach(5, "web1", force=True))
        assert (await peer.placed()).role is Role.READ_ONLY


async def test_nor_more_than_the_rules_allow() -> None:
    async with served(two_consoles().registry, read_only=True, access=everywhere(Right.TYPE)) as peer:
        await peer.greet()
        assert "no right to watch" in await refusal(peer, Attach(5, "web1"))


# Typing.


async def test_who_may_not_type_watches() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    bench = consoles.add()
    bench.attach()
    async with served(consoles.registry, access=everywhere(Right.WATCH)) as peer:
        await peer.greet(Feature.ROLES)
        place = await peer.placed()
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
        handle = (await peer.placed()).info.console

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
    clients, consoles = Clients(), two_consoles()
    async with (
        served(consoles.registry, clients=clients) as owner,
        served(consoles.registry, clients=clients, user="bob", access=everywhere(*USE)) as other,
    ):
        for peer in (owner, other):
            await peer.greet(Feature.ROLES)
        await owner.placed(exclusive=True, hold=False)
        await other.say(Attach(5, "web1", exclusive=True, steal=True, token=token, hold=False))
        answer = await other.hear()
        if token is None:
            assert isinstance(answer, Refused)
        else:
            assert isinstance(answer, Place)
            assert answer.role is Role.WATCHER


async def test_who_asked_only_to_watch_is_not_made_to_type() -> None:
    async with served(two_consoles().registry, access=everywhere(Right.WATCH)) as peer:
        await peer.greet(Feature.ROLES)
        await peer.placed(read_only=True, hold=False)
        await reviewed(peer, everywhere(*TYPING))
        await peer.say(ListConsoles(7))
        assert isinstance(await peer.hear(), Console | messages.Hypervisor)


async def test_a_place_goes_with_the_right_to_watch() -> None:
    async with served(two_consoles().registry, access=everywhere(*USE)) as peer:
        await peer.greet()
        place = await peer.placed(hold=False)
        await peer.placed(domain="web2", hold=False)
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
        handle = (await peer.placed(hold=False)).info.console
        bench.console.appear(Naming("qemu:///system", "ci-1", "pty", 0), bench.tick())
        assert await peer.until(RoleChanged) == RoleChanged(handle, Role.WRITER)
        bench.console.appear(Naming("qemu:///system", "prod", "pty", 0), bench.tick())
        assert (await peer.until(PlaceEnded)).reason.cause is Cause.ACCESS_DENIED


# What concerns others.


@pytest.mark.parametrize("request_", [Release(5, "web1"), Reclaim(5, "web1"), Release(5, "web1", while_connected=True)])
async def test_a_console_is_released_and_reclaimed_by_those_who_may(request_: Any) -> None:
    async with served(two_consoles().registry, access=everywhere(*(ALL - {Right.RELEASE}))) as peer:
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
    consoles, clients = two_consoles(), Clients()
    access = rules(("web1", ALL), ("*", USE))
    async with (
        served(consoles.registry, clients=clients) as other,
        served(consoles.registry, clients=clients, access=access) as peer,
    ):
        await other.greet()
        await peer.greet()
        for domain in ("web1", "web2"):
            await other.placed(domain=domain, hold=False)
        number = 1

        assert f"no right to kick client {number}" in await refusal(peer, Kick(5, number))
        await other.say(messages.Detach(9, [*other.session.positions][1]))
        await other.until(Done)
        await peer.say(Kick(6, number))
        assert await peer.until(Done) == Done(6)
        assert (await other.goodbye()).cause is Cause.EVICTED


async def test_one_that_is_nowhere_is_sent_away_by_who_may_do_so_everywhere() -> None:
    consoles, clients = two_consoles(), Clients()
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
    consoles, clients = two_consoles(), Clients()
    async with (
        served(consoles.registry, clients=clients) as other,
        served(consoles.registry, clients=clients, access=rules(("web2", WATCH))) as peer,
    ):
        await other.greet()
        await peer.greet()
        for domain in ("web1", "web2"):
            await other.placed(domain=domain, hold=False)
        await peer.say(Who(5))
        info = (await peer.until(Client)).info
        assert [place.console.domain for place in info.places] == ["web2"]


async def test_marks_need_no_more_than_watching_as_they_come() -> None:
    consoles = Consoles(policy=Policy.ALWAYS)
    bench = consoles.add()
    bench.attach()
    async with served(consoles.registry, access=everywhere(Right.WATCH)) as peer:
        await peer.greet()
        await peer.placed()
        bench.stop()
        assert isinstance((await peer.until(MarkMessage)).record, Ended)
