"""Connections that are shared: who gets which, when they are opened and closed, and what the loss of one means."""

import asyncio
import threading
from functools import partial
from typing import Any

import libvirt
import pytest

from tests.harness.fake_libvirt import FakeLibvirt
from tests.harness.fake_stream import Refusal
from virtmux.reasons import Cause
from virtmuxd.hypervisor.connection import Connection, Route
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed
from virtmuxd.hypervisor.workers import Workers

LONG = 60.0
SHORT = 0.05


def route(workers: Workers, hypervisor: FakeLibvirt, *, pool: int, deadline: float = LONG) -> Route:
    return Route("qemu+ssh://there/system", hypervisor.bridge, workers, workers, deadline, pool=pool)


@pytest.fixture
async def pooled(workers: Workers, hypervisor: FakeLibvirt) -> Route:
    """A route with two connections to share."""
    return route(workers, hypervisor, pool=2)


async def test_without_a_pool_each_has_a_connection_of_its_own(workers: Workers, hypervisor: FakeLibvirt) -> None:
    own = route(workers, hypervisor, pool=0)
    connections = [await own.connect() for _ in range(3)]

    assert [each.shared for each in connections] == [False] * 3
    assert len(hypervisor.connections) == 3
    for each in connections:
        await each.close()
    assert hypervisor.open_now == 0


async def test_a_pool_opens_no_more_than_its_size_and_spreads_its_users(pooled: Route, hypervisor: FakeLibvirt) -> None:
    connections = [await pooled.connect() for _ in range(6)]

    assert all(each.shared for each in connections)
    assert len(hypervisor.connections) == 2
    users = [sum(each.libvirt is handle for each in connections) for handle in hypervisor.connections]
    assert users == [3, 3]


async def test_one_of_ones_own_can_be_had_beside_the_pool(pooled: Route, hypervisor: FakeLibvirt) -> None:
    shared = await pooled.connect()
    control = await pooled.connect(shared=False)

    assert not control.shared
    assert control.libvirt is not shared.libvirt
    await control.close()
    assert hypervisor.open_now == 1


async def test_whoever_comes_gets_the_one_with_the_fewest_users(pooled: Route, hypervisor: FakeLibvirt) -> None:
    first, second, third = [await pooled.connect() for _ in range(3)]
    assert third.libvirt is first.libvirt

    await first.close()
    await third.close()
    fourth = await pooled.connect()

    assert fourth.libvirt is not second.libvirt
    assert len(hypervisor.connections) == 2


async def test_of_those_that_nobody_uses_one_is_kept_and_used_again(pooled: Route, hypervisor: FakeLibvirt) -> None:
    for each in [await pooled.connect() for _ in range(4)]:
        await each.close()
    assert (len(hypervisor.connections), hypervisor.open_now) == (2, 1)

    again = await pooled.connect()

    assert len(hypervisor.connections) == 2
    assert hypervisor.connections[1 - hypervisor.connections.index(again.libvirt)].is_open is False


async def test_the_one_that_is_kept_is_closed_with_the_route(pooled: Route, hypervisor: FakeLibvirt) -> None:
    first, second = await pooled.connect(), await pooled.connect()
    await first.close()

    await pooled.close()
    assert hypervisor.open_now == 1, "somebody uses it"
    await second.close()

    assert hypervisor.open_now == 0


async def test_those_who_come_while_it_is_opened_wait_for_it(pooled: Route, hypervisor: FakeLibvirt) -> None:
    hypervisor.answers.close()
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(pooled.connect()) for _ in range(4)]
        await asyncio.sleep(0)
        hypervisor.answers.open()

    assert len(hypervisor.connections) == 2
    assert {each.result().libvirt for each in waiting} == set(hypervisor.connections)


async def test_an_opening_that_fails_fails_for_all_who_waited_and_is_tried_anew(
    pooled: Route, hypervisor: FakeLibvirt
) -> None:
    hypervisor.answers.close()
    hypervisor.refusal = Refusal(libvirt.VIR_ERR_AUTH_FAILED, libvirt.VIR_FROM_RPC, "refused")
    waiting = [asyncio.ensure_future(pooled.connect()) for _ in range(6)]
    await asyncio.sleep(0)
    hypervisor.answers.open()

    outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(each) for each in outcomes] == [CallFailed] * 6
    assert len(set(map(id, outcomes))) == 6
    assert hypervisor.asked == 2
    hypervisor.refusal = None
    assert (await pooled.connect()).libvirt is hypervisor.connections[0]


async def test_an_opening_that_takes_too_long_is_given_up_for_all_who_waited(
    workers: Workers, hypervisor: FakeLibvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtmuxd.hypervisor.workers._CUT_GRACE", SHORT)
    hypervisor.answers.close()
    slow = route(workers, hypervisor, pool=1, deadline=SHORT)

    outcomes = await asyncio.gather(*(slow.connect() for _ in range(3)), return_exceptions=True)

    assert [type(each) for each in outcomes] == [DeadlineMissed] * 3
    assert hypervisor.asked == 1
    hypervisor.answers.open()


async def test_when_the_one_who_opens_is_cancelled_another_opens(workers: Workers, hypervisor: FakeLibvirt) -> None:
    alone = route(workers, hypervisor, pool=1)
    hypervisor.answers.close()
    opening = asyncio.ensure_future(alone.connect())
    waiting = asyncio.ensure_future(alone.connect())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.sleep(0)
    hypervisor.answers.open()

    connection = await waiting

    assert opening.cancelled()
    assert connection.libvirt is hypervisor.connections[-1]
    assert hypervisor.asked == 2


async def _lost_to(connections: list[Connection]) -> list[Cause | None]:
    """What each of them is told of the loss of its connection, once all callbacks have run."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return [each.lost for each in connections]


async def test_a_lost_connection_ends_all_who_share_it_and_nobody_else(pooled: Route, hypervisor: FakeLibvirt) -> None:
    connections = [await pooled.connect() for _ in range(4)]
    told: list[tuple[int, Cause]] = []

    def tell(number: int, cause: Cause) -> None:
        told.append((number, cause))

    for number, each in enumerate(connections):
        await each.watch_close(partial(tell, number))

    hypervisor.connections[0].lose()

    assert await _lost_to(connections) == [Cause.HYPERVISOR_LOST, None] * 2
    assert told == [(0, Cause.HYPERVISOR_LOST), (2, Cause.HYPERVISOR_LOST)]


async def test_who_begins_to_watch_a_lost_connection_is_told(pooled: Route, hypervisor: FakeLibvirt) -> None:
    connection = await pooled.connect()
    told: list[Cause] = []
    hypervisor.connections[0].lose(libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE)

    await connection.watch_close(told.append)
    assert told == [], "not while it is being called"
    await asyncio.sleep(0)

    assert told == [Cause.HYPERVISOR_TIMEOUT]


async def test_who_has_left_is_told_nothing(pooled: Route, hypervisor: FakeLibvirt) -> None:
    first, second, third = [await pooled.connect() for _ in range(3)]
    for each in (first, second):
        await each.watch_close(lambda _: pytest.fail("it left"))
        await each.close()

    hypervisor.connections[0].lose()

    assert await _lost_to([third]) == [Cause.HYPERVISOR_LOST]


@pytest.mark.parametrize("how", ["lost", "cut"])
async def test_a_connection_that_is_gone_is_replaced_and_closed_by_its_last_user(
    workers: Workers, hypervisor: FakeLibvirt, how: str
) -> None:
    alone = route(workers, hypervisor, pool=1)
    first, second = await alone.connect(), await alone.connect()
    if how == "lost":
        hypervisor.connections[0].lose()
    else:
        first.cut()

    third = await alone.connect()
    assert third.libvirt is hypervisor.connections[1]

    await first.close()
    assert [handle.is_open for handle in hypervisor.connections] == [True, True]
    await second.close()
    assert [handle.is_open for handle in hypervisor.connections] == [False, True]


async def test_leaving_undoes_what_one_registered_and_nothing_else(pooled: Route, hypervisor: FakeLibvirt) -> None:
    connections = [await pooled.connect() for _ in range(3)]
    undone: list[int] = []
    for number, each in enumerate(connections):
        each.undo_at_close(partial(undone.append, number))

    await connections[2].close()

    assert undone == [2]
    assert hypervisor.open_now == 2


async def test_calls_of_all_who_share_a_connection_are_made_one_at_a_time(
    workers: Workers, hypervisor: FakeLibvirt
) -> None:
    alone = route(workers, hypervisor, pool=1)
    connections = [await alone.connect() for _ in range(4)]
    inside = threading.Lock()

    def enter() -> None:
        assert inside.acquire(blocking=False)
        inside.release()

    await asyncio.gather(*(each.call("virTest", enter) for each in connections for _ in range(5)))


async def test_one_whose_call_is_cancelled_ends_nobody_else(workers: Workers, hypervisor: FakeLibvirt) -> None:
    alone = route(workers, hypervisor, pool=1)
    one, other = await alone.connect(), await alone.connect()
    loop = asyncio.get_running_loop()
    inside, cancelled = asyncio.Event(), threading.Event()

    def call() -> str:
        loop.call_soon_threadsafe(inside.set)
        assert cancelled.wait(10)
        return "a stream"

    dropped: list[Any] = []
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(one.call("virDomainOpenConsole", call, dropped=dropped.append))
        await inside.wait()
        task.cancel()
        await asyncio.sleep(0)
        cancelled.set()

    assert dropped == ["a stream"]
    assert await other.call("virTest", lambda: 7) == 7
    assert (await alone.connect()).libvirt is other.libvirt


async def test_input_that_is_not_taken_in_time_on_a_shared_connection_cuts_it(
    workers: Workers, hypervisor: FakeLibvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtmuxd.hypervisor.workers._CUT_GRACE", SHORT)
    hasty = route(workers, hypervisor, pool=1, deadline=SHORT)
    connection = await hasty.connect()
    taken = threading.Event()

    def never(data: bytes) -> int:
        taken.wait(10)
        return len(data)

    with pytest.raises(CallFailed, match="took no input in time"):
        await connection.send(never, b"x")

    taken.set()
    assert (await hasty.connect()).libvirt is hypervisor.connections[1]


async def test_input_over_a_shared_connection_shows_now_and_then_whether_libvirtd_reads_it(
    workers: Workers, hypervisor: FakeLibvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await route(workers, hypervisor, pool=1).connect()
    (handle,) = hypervisor.connections
    for _ in range(10):
        assert await connection.send(len, b"quick") == 5
    assert handle.asked_for_version <= 1

    monkeypatch.setattr("virtmuxd.hypervisor.link._CHECK_AFTER", -1.0)
    before = handle.asked_for_version
    await connection.send(len, b"later")

    assert handle.asked_for_version == before + 1


async def test_a_shared_connection_that_libvirtd_reads_no_more_is_cut(
    workers: Workers, hypervisor: FakeLibvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtmuxd.hypervisor.workers._CUT_GRACE", SHORT)
    monkeypatch.setattr("virtmuxd.hypervisor.link._CHECK_AFTER", -1.0)
    hasty = route(workers, hypervisor, pool=1, deadline=SHORT)
    connection = await hasty.connect()
    hypervisor.connections[0].reads.close()

    with pytest.raises(CallFailed, match="took no input in time"):
        await connection.send(len, b"x")

    hypervisor.connections[0].reads.open()
    assert (await hasty.connect()).libvirt is hypervisor.connections[1]


async def test_input_over_a_connection_of_ones_own_is_no_such_question(
    workers: Workers, hypervisor: FakeLibvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtmuxd.hypervisor.link._CHECK_AFTER", -1.0)
    connection = await route(workers, hypervisor, pool=0).connect()

    await connection.send(len, b"x")

    assert hypervisor.connections[0].asked_for_version == 0
