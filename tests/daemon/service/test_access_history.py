"""What the rules say about history: what came before a client did, and what is only stored."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from tests.harness.allowed import WATCH, everywhere, refusal, reviewed, rules, two_consoles
from tests.harness.consoles import HYPERVISOR, START, URI, UUID, Consoles
from tests.harness.served import served
from virtmux import messages
from virtmux.domains import DomainInfo
from virtmux.messages import (
    Attach,
    Domains,
    Done,
    Forget,
    Guest,
    Histories,
    ListConsoles,
    Marks,
    Place,
    PlaceEnded,
    Refused,
)
from virtmux.reasons import Cause
from virtmux.records import Position
from virtmux.wire import Output
from virtmuxd.core.access import ALL, Right
from virtmuxd.core.archive import Archive, Sought
from virtmuxd.core.events import Policy
from virtmuxd.service.proofs import Proofs


@pytest.mark.parametrize("replay", ["all", "boot", "bytes:5", "lines:1", "since:2020-01-01T00:00:00Z"])
async def test_who_may_not_read_history_is_shown_what_comes_and_told_that_something_is_withheld(replay: str) -> None:
    consoles = Consoles()
    bench = consoles.add()
    bench.output(b"secret\n")
    async with served(consoles.registry, access=everywhere(Right.WATCH)) as peer:
        await peer.greet()
        place = await peer.placed(replay=replay, hold=False)
        bench.output(b"now\n")

        assert place.withheld
        assert place.position == place.info.position
        assert (await peer.until(Output)).data == b"now\n"


async def test_where_nothing_earlier_was_asked_for_nothing_is_said() -> None:
    async with served(two_consoles().registry, access=everywhere(Right.WATCH)) as peer:
        await peer.greet()
        assert not (await peer.placed(replay="none", hold=False)).withheld


async def test_a_position_of_ones_own_is_gone_on_from_with_its_proof_and_no_other() -> None:
    consoles = Consoles()
    bench = consoles.add()
    bench.output(b"before\n")
    access, proofs = everywhere(Right.WATCH), Proofs(None, b"")
    async with served(consoles.registry, access=access, proofs=proofs) as peer:
        await peer.greet()
        first = await peer.placed(hold=False)
    bench.output(b"missed\n")

    async def again(position: str, proof: str | None) -> Place:
        async with served(consoles.registry, access=access, proofs=proofs) as peer:
            await peer.greet()
            return await peer.placed(hold=False, position=position, proof=proof)

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
        await behind.placed(replay="all", hold=False)
        await level.placed(hold=False)
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
    async with served(two_consoles().registry, access=rules(("web2", WATCH | {Right.HISTORY}), ("*", WATCH))) as peer:
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
    consoles = two_consoles()
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
        consoles.registry.identified(HYPERVISOR + uri, uri)
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
