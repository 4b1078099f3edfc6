"""Connections: calls one at a time, their loss, what is undone at their end; and one to libvirt's own test driver."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import libvirt
import pytest

from tests.harness.fake_libvirt import FakeConnection, FakeLibvirt
from tests.harness.processes import python_path
from tests.harness.turns import until
from virtmux.reasons import Cause
from virtmuxd.hypervisor.connection import Connection, KeptConnection, Route
from virtmuxd.hypervisor.errors import CallFailed
from virtmuxd.hypervisor.transport import Transport
from virtmuxd.hypervisor.workers import Workers

LONG = 60.0
SHORT = 0.01
NO_DOMAIN = "00000000-0000-4000-8000-000000000000"


class To:
    """Routes to it."""

    def __init__(self, hypervisor: FakeLibvirt, workers: Workers) -> None:
        self._hypervisor = hypervisor
        self._workers = workers

    def route(self, *, pool: int = 0, deadline: float = LONG) -> Route:
        there = self._hypervisor.bridge, self._workers, self._workers, deadline
        return Route("qemu:///fake", *there, pool=pool)

    async def connect(self, *, pool: int = 0, deadline: float = LONG) -> tuple[Connection, FakeConnection]:
        """Both ends of a new connection, one's own or one that is shared."""
        connection = await self.route(pool=pool, deadline=deadline).connect()
        return connection, self._hypervisor.connections[-1]


@pytest.fixture
def to(hypervisor: FakeLibvirt, workers: Workers) -> To:
    return To(hypervisor, workers)


async def test_calls_on_one_connection_are_made_one_at_a_time(to: To) -> None:
    connection, _ = await to.connect()
    inside = threading.Lock()
    order: list[int] = []

    def enter(number: int) -> None:
        assert inside.acquire(blocking=False)
        order.append(number)
        inside.release()

    await asyncio.gather(*(connection.call("virTest", enter, number) for number in range(20)))

    assert order == list(range(20))


async def test_closing_undoes_what_was_registered_last_first(to: To) -> None:
    connection, there = await to.connect()
    done: list[str] = []

    def undo(name: str) -> None:
        assert there.is_open
        done.append(name)

    def refuse() -> None:
        undo("refused")
        raise libvirt.libvirtError("refused")

    connection.undo_at_close(lambda: undo("first"))
    connection.undo_at_close(refuse)
    connection.undo_at_close(lambda: undo("last"))

    await connection.close()

    assert done == ["last", "refused", "first"]
    assert not there.is_open


# A connection for calls that are made now and then.


def version(connection: Any) -> int:
    """A call that succeeds."""
    number: int = connection.getLibVersion()
    return number


def no_domain(connection: Any) -> None:
    """One that fails through no fault of the connection."""
    connection.lookupByUUIDString(NO_DOMAIN)


async def test_a_connection_is_kept_for_the_next_call(to: To, hypervisor: FakeLibvirt) -> None:
    kept = KeptConnection(to.route())
    assert await kept.call("virTest", version) == await kept.call("virTest", version)
    with pytest.raises(CallFailed):
        await kept.call("virTest", no_domain)
    await kept.call("virTest", version)
    (there,) = hypervisor.connections
    assert there.is_open

    await kept.close()
    await kept.close()
    assert (there.is_open, there.lost) == (False, None)


async def test_that_a_kept_connection_was_lost_meanwhile_fails_no_call(to: To, hypervisor: FakeLibvirt) -> None:
    kept = KeptConnection(to.route())

    def lose(connection: FakeConnection) -> None:
        connection.lose()
        connection.call()

    with pytest.raises(CallFailed):  # a new one is not asked twice
        await kept.call("virTest", lose)
    await kept.call("virTest", version)
    hypervisor.connections[-1].lose()
    await kept.call("virTest", version)
    assert [there.is_open for there in hypervisor.connections] == [False, False, True]

    with pytest.raises(CallFailed):
        await kept.call("virTest", lose)
    assert len(hypervisor.connections) == 4
    await kept.close()
    assert hypervisor.open_now == 0


async def test_a_shared_connection_is_given_back_at_once(to: To) -> None:
    route = to.route(pool=1)
    kept = KeptConnection(route)
    for _ in range(2):
        await kept.call("virTest", version)
        assert route._pool is not None
        assert [shared.users for shared in route._pool._links] == [0]
    await route.close()


async def test_a_kept_connection_is_cut_where_its_hypervisor_may_hang(to: To, hypervisor: FakeLibvirt) -> None:
    kept = KeptConnection(to.route())
    kept.cut()
    await kept.call("virTest", version)
    kept.cut()
    await until(lambda: hypervisor.connections[0].lost is not None)
    await kept.close()


# Input that does not wait is sent by the loop itself.


@pytest.mark.parametrize("pool", [0, 1])
async def test_only_a_connection_of_ones_own_may_be_free_for_input(to: To, pool: int) -> None:
    connection, _ = await to.connect(pool=pool)

    assert connection.can_send_at_once() is (pool == 0)


async def test_a_connection_is_not_free_while_a_call_is_under_way(to: To) -> None:
    connection, _ = await to.connect()
    free = threading.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(connection.call("virTest", free.wait))
        await asyncio.sleep(0)
        try:
            assert not connection.can_send_at_once()
        finally:
            free.set()


async def test_a_connection_is_not_free_where_the_hypervisor_does_not_read(to: To) -> None:
    connection, there = await to.connect()
    there.fill()

    assert not connection.can_send_at_once()


async def test_a_connection_that_was_cut_or_lost_is_not_free(to: To) -> None:
    (cut, _), (lost, there) = await to.connect(), await to.connect()
    await lost.watch_close(lambda _: None)
    cut.cut()
    there.lose()

    assert not cut.can_send_at_once()
    assert not lost.can_send_at_once()


@pytest.mark.parametrize("pool", [0, 1])
async def test_only_a_connection_of_ones_own_rests(
    to: To, hypervisor: FakeLibvirt, monkeypatch: pytest.MonkeyPatch, pool: int
) -> None:
    rests: list[float] = []
    monkeypatch.setattr(hypervisor.bridge, "rest", lambda _, seconds: rests.append(seconds))
    connection, _ = await to.connect(pool=pool)
    connection.rest(0.001)

    assert rests == ([0.001] if pool == 0 else [])


@asynccontextmanager
async def all_busy(workers: Workers) -> AsyncIterator[None]:
    """No thread is free as long as the context is not left."""
    free = threading.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers.use.quota):
            tasks.create_task(workers.call(Transport(), LONG, "virTest", free.wait))
        await asyncio.sleep(0)  # let them take all threads
        try:
            yield
        finally:
            free.set()


# libvirtd goes on holding what was opened on a connection that is neither closed nor cut.


async def test_a_connection_that_no_thread_is_free_to_close_is_cut(to: To, workers: Workers) -> None:
    connection, there = await to.connect()
    connection.hurry(SHORT)
    async with all_busy(workers):
        await connection.close()
        await until(lambda: there.lost is not None)


async def test_a_connection_whose_closing_is_cancelled_is_cut(to: To, workers: Workers) -> None:
    connection, there = await to.connect()
    async with all_busy(workers), asyncio.TaskGroup() as tasks:
        closing = tasks.create_task(connection.close())
        await asyncio.sleep(0)  # let it ask for a thread
        closing.cancel()
        await asyncio.wait({closing})
        await until(lambda: there.lost is not None)


async def test_a_connection_that_something_still_refers_to_is_cut(to: To, hypervisor: FakeLibvirt) -> None:
    connection, there = await to.connect()
    guest = hypervisor.add()
    guest.start()
    stream = there.newStream(libvirt.VIR_STREAM_NONBLOCK)
    there.lookupByUUIDString(guest.uuid).openConsole(guest.device, stream, 0)

    await connection.close()
    await until(lambda: there.lost is not None)

    assert guest.holders == []


async def test_a_connection_in_a_hurry_is_cut_before_the_deadline_of_other_calls(to: To) -> None:
    connection, there = await to.connect()
    there.reads.close()
    connection.hurry(SHORT)
    await connection.close()
    assert there.lost is not None


async def test_input_waits_as_long_as_the_guest_takes_none_until_the_connection_is_cut(
    to: To, workers: Workers
) -> None:
    connection, there = await to.connect(deadline=SHORT)
    there.reads.close()
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(_failed(connection.send(there.call)))
        await workers.call(Transport(), LONG, "virTest", int)
        assert not sending.done()
        connection.cut()
    assert sending.result() == "virStreamSend"


async def _failed(call: Awaitable[object]) -> str:
    """The name of the call that libvirt refused."""
    with pytest.raises(CallFailed) as failed:
        await call
    return failed.value.error.api


@pytest.mark.parametrize(
    ("number", "cause"), [(0, Cause.HYPERVISOR_LOST), (1, Cause.HYPERVISOR_LOST), (2, Cause.HYPERVISOR_TIMEOUT)]
)
async def test_the_loss_of_a_connection_is_told_once_on_the_loop(
    to: To, workers: Workers, number: int, cause: Cause
) -> None:
    connection, there = await to.connect()
    told: list[tuple[Cause, int]] = []
    await connection.watch_close(lambda cause: told.append((cause, threading.get_ident())))

    await workers.call(Transport(), LONG, "virTest", lambda: there.lose(number))
    await asyncio.sleep(0)
    await connection.close()

    assert told == [(cause, threading.get_ident())]


async def test_our_own_close_is_no_loss(to: To) -> None:
    connection, there = await to.connect()
    await connection.watch_close(lambda _: pytest.fail("it was closed by us"))
    connection.undo_at_close(lambda: there.lose(libvirt.VIR_CONNECT_CLOSE_REASON_CLIENT))

    await connection.close()
    await asyncio.sleep(0)

    assert not there.is_open


#: libvirt takes one event implementation in a process's life, so this one has a process of its own.
_TEST_DRIVER = """
import asyncio
import gc
import math
import libvirt
from virtmuxd.hypervisor import errors
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.connection import Route
from virtmuxd.hypervisor.errors import CallFailed
from virtmuxd.hypervisor.inventory import examine, identify
from virtmuxd.hypervisor.workers import Workers

async def main():
    errors.keep_off_stderr()
    bridge = EventBridge(asyncio.get_running_loop())
    bridge.register()
    workers = Workers(4, "test")
    events = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = math.inf  # the machine may be busy
    connection = await Route("test:///default", bridge, workers, workers, 10).connect()

    def on_event(_connection, domain, event, detail, _opaque):
        loop.call_soon_threadsafe(events.put_nowait, (domain.name(), event, detail))

    def register():
        handle = connection.libvirt
        registration = handle.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_event, None)
        connection.undo_at_close(lambda: handle.domainEventDeregisterAny(registration))

    await connection.call("virConnectDomainEventRegisterAny", register)
    print(await connection.call("virConnectGetCapabilities", identify, connection.libvirt))
    (domain,) = await connection.call("virConnectListAllDomains", connection.libvirt.listAllDomains)
    state = await connection.call("virDomainGetState", examine, domain)
    print(state.name, state.running_id, state.stopped)
    await connection.call("virDomainDestroy", domain.destroy)
    async with asyncio.timeout(10):
        print(*await events.get())
    state = await connection.call("virDomainGetState", examine, domain)
    print(state.running_id, state.stopped)
    try:
        await connection.call("virDomainDestroy", domain.destroy)
    except CallFailed as failed:
        print(failed.error.code_name, failed.error.api)
    del domain
    await connection.close()
    gc.collect()
    async with asyncio.timeout(10):
        await bridge.drain()
    print(bridge.is_idle())
    workers.close()

asyncio.run(main(), debug=True)
"""


def test_the_bridge_serves_libvirt_itself() -> None:
    result = subprocess.run(
        [sys.executable, "-c", _TEST_DRIVER],
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    identity, *said = result.stdout.splitlines()
    assert identity.startswith("test/default/")
    assert said == [
        "test 1 None",
        f"test {libvirt.VIR_DOMAIN_EVENT_STOPPED} {libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED}",
        "-1 LibvirtEvent(name='SHUTOFF', detail='DESTROYED')",
        "VIR_ERR_OPERATION_INVALID virDomainDestroy",
        "True",
    ]
    assert result.stderr == ""
