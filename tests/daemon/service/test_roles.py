"""Roles on the wire: who types alone, who watches, who else is there, and what a lost connection keeps."""

import pytest

from tests.harness.consoles import Bench, Consoles
from tests.harness.served import served
from virtmux.features import Feature
from virtmux.messages import Attach, Company, Detach, Done, InputStatus, ListConsoles, Refused, RoleChanged
from virtmux.people import Companion, Person, Role
from virtmux.reasons import Cause
from virtmuxd.core.events import Policy
from virtmuxd.service import places

ALICE, BOB = Person(1, "alice", 1000, 4711), Person(1, "bob", 1000, 4711)


def held() -> tuple[Consoles, Bench]:
    """Consoles of which one is attached."""
    consoles = Consoles(policy=Policy.ALWAYS)
    bench = consoles.add()
    bench.attach()
    return consoles, bench


async def test_who_wants_a_console_exclusively_types_alone_and_the_others_are_told() -> None:
    consoles, bench = held()
    async with served(consoles.registry) as alice, served(consoles.registry, user="bob") as bob:
        await alice.greet(Feature.ROLES)
        await bob.greet(Feature.ROLES)
        first = await alice.placed()
        second = await bob.placed(exclusive=True)

        assert (first.role, first.token, first.read_only) == (Role.WRITER, None, False)
        assert (second.role, bool(second.token), second.by) == (Role.EXCLUSIVE, True, None)
        assert await alice.until(RoleChanged) == RoleChanged(first.info.console, Role.WATCHER, BOB)
        await alice.put(first.info.console, 1, 0, b"no")
        assert await alice.until(InputStatus) == InputStatus(
            first.info.console, 1, 0, rejected=2, cause=Cause.ACCESS_DENIED
        )

        await bob.say(Detach(7, second.info.console))
        assert await alice.until(RoleChanged) == RoleChanged(first.info.console, Role.WRITER, BOB)
        await alice.put(first.info.console, 1, 2, b"yes")
        await alice.say(ListConsoles(98))
        await alice.until(Done)
        batch = bench.console.inputs.take()
        assert batch is not None
        assert batch.packets == (b"yes",)


async def test_a_second_one_who_wants_it_exclusively_is_refused_with_the_name_of_the_first() -> None:
    consoles, _ = held()
    async with served(consoles.registry) as alice, served(consoles.registry, user="bob") as bob:
        await alice.greet(Feature.ROLES)
        await bob.greet(Feature.ROLES)
        await alice.placed(exclusive=True)
        await bob.say(Attach(5, "web1", exclusive=True))
        refused = await bob.expect(Refused)
        assert refused.reason.cause is Cause.CONSOLE_BUSY
        assert refused.reason.text == "alice (client 1, pid 4711) has the console of web1 alone; --steal takes it over"


async def test_who_is_displaced_learns_by_whom_and_a_later_watcher_who_has_it() -> None:
    consoles, _ = held()
    async with served(consoles.registry) as alice, served(consoles.registry, user="bob") as bob:
        await alice.greet(Feature.ROLES)
        await bob.greet(Feature.ROLES)
        first = await alice.placed(exclusive=True)
        await bob.placed(exclusive=True, steal=True)
        assert await alice.until(RoleChanged) == RoleChanged(first.info.console, Role.WATCHER, BOB)
        async with served(consoles.registry) as carol:
            await carol.greet(Feature.ROLES)
            third = await carol.placed()
            assert (third.role, third.by, third.read_only) == (Role.WATCHER, BOB, True)


async def test_a_lost_connection_keeps_the_right_for_who_brings_the_token() -> None:
    consoles, _ = held()
    async with served(consoles.registry, user="bob") as bob:
        await bob.greet(Feature.ROLES)
        watcher = await bob.placed()
        async with served(consoles.registry) as alice:
            await alice.greet(Feature.ROLES)
            lost = await alice.placed(exclusive=True)
            await bob.until(RoleChanged)
        async with served(consoles.registry) as again:
            await again.greet(Feature.ROLES)
            place = await again.placed(exclusive=True, token=lost.token)
            assert place.role is Role.EXCLUSIVE
            await again.say(Detach(8, place.info.console))
            assert await bob.until(RoleChanged) == RoleChanged(watcher.info.console, Role.WRITER, ALICE)


async def test_the_right_of_who_does_not_come_back_is_free_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "KEPT", 0.01)
    consoles, _ = held()
    async with served(consoles.registry, user="bob") as bob:
        await bob.greet(Feature.ROLES)
        watcher = await bob.placed()
        async with served(consoles.registry) as alice:
            await alice.greet(Feature.ROLES)
            await alice.placed(exclusive=True)
            assert (await bob.until(RoleChanged)).role is Role.WATCHER
        assert await bob.until(RoleChanged) == RoleChanged(watcher.info.console, Role.WRITER, ALICE)


async def test_who_asks_for_company_learns_who_comes_and_goes() -> None:
    consoles, _ = held()
    async with served(consoles.registry) as alice:
        await alice.greet(Feature.ROLES)
        place = await alice.placed(company=True)
        handle = place.info.console
        assert await alice.until(Company) == Company(handle, [])
        async with served(consoles.registry, user="bob") as bob:
            await bob.greet()
            await bob.placed(read_only=True)
            assert await alice.until(Company) == Company(handle, [Companion(BOB, Role.READ_ONLY)])
        assert await alice.until(Company) == Company(handle, [])


async def test_a_client_that_does_not_know_roles_is_told_nothing_of_them_and_types_no_less_in_vain() -> None:
    consoles, _ = held()
    async with served(consoles.registry) as old, served(consoles.registry, user="bob") as bob:
        await old.greet()
        await bob.greet(Feature.ROLES)
        first = await old.placed(company=True)
        await bob.placed(exclusive=True)
        await old.put(first.info.console, 1, 0, b"no")
        status = await old.until(InputStatus)
        assert (status.rejected, status.cause) == (2, Cause.ACCESS_DENIED)
        await old.say(ListConsoles(50))
        while not isinstance(heard := await old.hear(), Done):
            assert not isinstance(heard, RoleChanged | Company)


@pytest.mark.parametrize("read_only_socket", [True, False])
async def test_who_may_only_watch_cannot_have_it_exclusively(*, read_only_socket: bool) -> None:
    consoles, _ = held()
    async with served(consoles.registry, read_only=read_only_socket) as peer:
        await peer.greet(Feature.ROLES)
        await peer.say(Attach(5, "web1", exclusive=True, read_only=not read_only_socket))
        refused = await peer.expect(Refused)
        assert refused.reason.cause is (Cause.ACCESS_DENIED if read_only_socket else Cause.PROTOCOL_ERROR)
