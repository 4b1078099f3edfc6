"""Who is connected, and that one is sent away by another."""

import asyncio
from collections.abc import Callable

import pytest

from tests.harness.consoles import Consoles
from tests.harness.served import served
from virtmux.messages import Attach, Client, Done, Kick, Place, Refused, Who
from virtmux.people import ClientInfo, Person, Role
from virtmux.reasons import Cause, ConsoleId
from virtmuxd.service.clients import Clients


async def test_everybody_is_listed_with_their_places() -> None:
    consoles, clients = Consoles(), Clients()
    bench = consoles.add()
    async with (
        served(consoles.registry, clients=clients) as alice,
        served(consoles.registry, clients=clients, user="bob", read_only=True) as bob,
    ):
        await alice.greet()
        await bob.greet()
        await alice.say(Attach(1, "web1", hold=False))
        await alice.until(Place)

        await bob.say(Who(4))

        first, second = (await bob.expect(Client)).info, (await bob.expect(Client)).info
        assert await bob.expect(Done) == Done(4)
        assert (first.who, first.read_only, first.more) == (Person(1, "alice", 1000, 4711), False, 0)
        assert [(place.console, place.role) for place in first.places] == [(bench.console.id, Role.WRITER)]
        assert (second.who.user, second.read_only, second.places) == ("bob", True, [])


async def test_a_client_is_looked_at_once_whoever_asks_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clients, looked_at = Clients(), [0]
    async with served(Consoles().registry, clients=clients, buffer=4096) as alice:
        await alice.greet()
        info = alice.client.info

        def looked(sees: Callable[[ConsoleId], bool]) -> ClientInfo:
            looked_at[0] += 1
            return info(sees)

        monkeypatch.setattr(alice.client, "info", looked)
        for number in range(2, 502):
            clients.add(number, alice.client)
        await alice.say(Who(4))
        for _ in range(100):
            await asyncio.sleep(0)
        assert 0 < looked_at[0] < 400

        await alice.until(Done)
        assert looked_at[0] == 501


async def test_who_is_kicked_is_told_by_whom_and_is_not_there_any_more() -> None:
    consoles, clients = Consoles(), Clients()
    async with (
        served(consoles.registry, clients=clients) as alice,
        served(consoles.registry, clients=clients, user="bob") as bob,
    ):
        await alice.greet()
        await bob.greet()
        await alice.say(Kick(4, 2))
        assert await alice.expect(Done) == Done(4)
        reason = await bob.goodbye()
        assert (reason.cause, reason.text) == (Cause.EVICTED, "alice (client 1, pid 4711) sent this client away")
        assert not reason.retry.will_retry


async def test_who_kicks_nobody_learns_how_to_find_somebody() -> None:
    async with served(Consoles().registry) as peer:
        await peer.greet()
        await peer.say(Kick(4, 77))
        refused = await peer.expect(Refused)
        assert refused.reason.text == "there is no client 77; `virtmux who` shows who is connected"


async def test_who_may_only_watch_kicks_nobody() -> None:
    async with served(Consoles().registry, read_only=True) as peer:
        await peer.greet()
        await peer.say(Kick(4, 1))
        assert (await peer.expect(Refused)).reason.cause is Cause.ACCESS_DENIED
