"""Connections: calls one at a time, their loss, what is undone at their end; and one to libvirt's own test driver."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, cast

import libvirt
import pytest

from virtmux.reasons import Cause
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.connection import Connection, KeptConnection, Route
from virtmuxd.hypervisor.errors import CallFailed
from virtmuxd.hypervisor.link import Link, Means
from virtmuxd.hypervisor.transport import Transport
from virtmuxd.hypervisor.workers import Workers

LONG = 60.0
SHORT = 0.01
QUOTA = 4


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    workers = Workers(QUOTA, "test")
    yield workers
    workers.close()


def connection_of(
    workers: Workers, handle: Any = None, transport: Transport | None = None, deadline: float = LONG
) -> Connection:
    """A connection of one's own whose calls are made in these threads, as if it had been opened."""
    link = Link(Means("test:///default", cast(EventBridge, None), workers, workers, deadline))
    link.libvirt, link.transport = handle, transport or link.transport
    return Connection(link, link.close)


async def test_calls_on_one_connection_are_made_one_at_a_time(workers: Workers) -> None:
    connection = connection_of(workers)
    inside = threading.Lock()
    order: list[int] = []

    def enter(number: int) -> None:
        assert inside.acquire(blocking=False)
        order.append(number)
        inside.release()

    await asyncio.gather(*(connection.call("virTest", enter, number) for number in range(20)))

    assert order == list(range(20))


async def test_closing_undoes_what_was_registered_last_first(workers: Workers) -> None:
    done: list[str] = []

    class Handle:
        def close(self) -> int:
            done.append("close")
            return 0

    def refuse() -> None:
        done.append("refused")
        raise libvirt.libvirtError("refused")

    connection = connection_of(workers, Handle())
    connection.undo_at_close(lambda: done.append("first"))
    connection.undo_at_close(refuse)
    connection.undo_at_close(lambda: done.append("last"))

    await connection.close()

    assert done == ["last", "refused", "first", "close"]


@contextmanager
def open_transport() -> Iterator[Transport]:
    """The transport of a connection that is open."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = Transport()
        transport.add(ours.fileno(), 0)
        yield transport
        transport.close()


# A connection for calls that are made now and then.


class Opening:
    """A route on which each connection is to be had."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.shared = False
        self.opened: list[Connection] = []

    async def connect(self) -> Connection:
        self.opened.append(connection_of(self._workers, Closing()))
        self.opened[-1].shared = self.shared
        return self.opened[-1]


class Closing:
    """A handle that nothing else refers to."""

    def close(self) -> int:
        return 0


@pytest.fixture
def opening(workers: Workers) -> Opening:
    return Opening(workers)


def answer(_connection: object, *answers: str) -> str:
    """A call that succeeds."""
    return answers[0]


def failing(*domains: int) -> Callable[[object], None]:
    """A call that fails with an error out of each of these parts of libvirt, in turn, and then succeeds."""
    left = list(domains)

    def call(_connection: object) -> None:
        if left:
            error = libvirt.libvirtError("no")
            error.err = (libvirt.VIR_ERR_INTERNAL_ERROR, left.pop(0), "no", 2, None, None, None, -1, -1)
            raise error

    return call


async def test_a_connection_is_kept_for_the_next_call(opening: Opening) -> None:
    kept = KeptConnection(cast(Route, opening))
    assert [await kept.call("virTest", answer, each) for each in ("one", "two")] == ["one", "two"]
    with pytest.raises(CallFailed):
        await kept.call("virTest", failing(libvirt.VIR_FROM_QEMU))  # that is no fault of the connection
    assert await kept.call("virTest", answer, "three") == "three"
    assert len(opening.opened) == 1

    await kept.close()
    await kept.close()
    assert opening.opened[0]._link.libvirt is None
    assert not opening.opened[0]._link.transport.was_cut


async def test_that_a_kept_connection_was_lost_meanwhile_fails_no_call(opening: Opening) -> None:
    kept = KeptConnection(cast(Route, opening))
    await kept.call("virTest", answer, "one")
    await kept.call("virTest", failing(libvirt.VIR_FROM_RPC))
    assert len(opening.opened) == 2
    assert opening.opened[0]._link.libvirt is None

    with pytest.raises(CallFailed):
        await kept.call("virTest", failing(libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_RPC))
    with pytest.raises(CallFailed):  # a new one is not asked twice
        await kept.call("virTest", failing(libvirt.VIR_FROM_RPC))
    await kept.close()


async def test_a_shared_connection_is_given_back_at_once(opening: Opening) -> None:
    opening.shared = True
    kept = KeptConnection(cast(Route, opening))
    for number in (1, 2):
        await kept.call("virTest", answer, "one")
        assert len(opening.opened) == number
        assert opening.opened[-1]._link.libvirt is None


async def test_a_kept_connection_is_cut_where_its_hypervisor_may_hang(opening: Opening) -> None:
    kept = KeptConnection(cast(Route, opening))
    kept.cut()
    await kept.call("virTest", answer, "one")
    kept.cut()
    assert opening.opened[0]._link.transport.was_cut
    await kept.close()


# Input that does not wait is sent by the loop itself.


@pytest.mark.parametrize("shared", [False, True])
async def test_only_a_connection_of_ones_own_may_be_free_for_input(shared: bool, workers: Workers) -> None:
    with open_transport() as transport:
        connection = connection_of(workers, object(), transport=transport)
        connection._link.shared = shared

        assert connection.can_send_at_once() is not shared


async def test_a_connection_is_not_free_while_a_call_is_under_way(workers: Workers) -> None:
    free = threading.Event()
    with open_transport() as transport:
        connection = connection_of(workers, object(), transport=transport)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(connection.call("virTest", free.wait))
            await asyncio.sleep(0)
            try:
                assert not connection.can_send_at_once()
            finally:
                free.set()


async def test_a_connection_is_not_free_where_the_hypervisor_does_not_read(workers: Workers) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = Transport()
        transport.add(ours.fileno(), 0)
        ours.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                ours.send(bytes(4096))

        assert not connection_of(workers, object(), transport=transport).can_send_at_once()
        transport.close()


@pytest.mark.parametrize("lost", [None, Cause.HYPERVISOR_LOST])
async def test_a_connection_that_was_cut_or_lost_is_not_free(lost: Cause | None, workers: Workers) -> None:
    with open_transport() as transport:
        connection = connection_of(workers, object(), transport=transport)
        if lost is None:
            connection.cut()
        connection._link.lost = lost

        assert not connection.can_send_at_once()


@pytest.mark.parametrize("shared", [False, True])
async def test_only_a_connection_of_ones_own_rests(shared: bool, workers: Workers) -> None:
    rests: list[float] = []

    class Bridge:
        def rest(self, _transport: Transport, seconds: float) -> None:
            rests.append(seconds)

    link = Link(Means("test:///default", cast(EventBridge, Bridge()), workers, workers, LONG), shared=shared)
    Connection(link, link.close).rest(0.001)

    assert rests == ([] if shared else [0.001])


@asynccontextmanager
async def all_busy(workers: Workers) -> AsyncIterator[None]:
    """No thread is free as long as the context is not left."""
    free = threading.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(QUOTA):
            tasks.create_task(workers.call(Transport(), LONG, "virTest", free.wait))
        await asyncio.sleep(0)  # let them take all threads
        try:
            yield
        finally:
            free.set()


# libvirtd goes on holding what was opened on a connection that is neither closed nor cut.


async def test_a_connection_that_no_thread_is_free_to_close_is_cut(workers: Workers) -> None:
    with open_transport() as transport:
        connection = connection_of(workers, object(), transport=transport, deadline=SHORT)
        async with all_busy(workers):
            await connection.close()
            assert transport.was_cut


async def test_a_connection_whose_closing_is_cancelled_is_cut(workers: Workers) -> None:
    with open_transport() as transport:
        connection = connection_of(workers, object(), transport=transport)
        async with all_busy(workers), asyncio.TaskGroup() as tasks:
            closing = tasks.create_task(connection.close())
            await asyncio.sleep(0)  # let it ask for a thread
            closing.cancel()
            await asyncio.wait({closing})
            assert transport.was_cut


@pytest.mark.parametrize("references", [0, 1])
async def test_a_connection_that_something_still_refers_to_is_cut(references: int, workers: Workers) -> None:
    class Handle:
        def close(self) -> int:
            return references

    with open_transport() as transport:
        await connection_of(workers, Handle(), transport=transport).close()
        assert transport.was_cut is (references > 0)


async def test_a_connection_in_a_hurry_is_cut_before_the_deadline_of_other_calls(workers: Workers) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = Transport()
        transport.add(ours.fileno(), 0)

        class Hanging:
            def close(self) -> int:
                return len(ours.recv(1))

        connection = connection_of(workers, Hanging(), transport=transport, deadline=LONG)
        connection.hurry(SHORT)
        await connection.close()
        assert transport.was_cut


async def test_input_waits_as_long_as_the_guest_takes_none_until_the_connection_is_cut(workers: Workers) -> None:
    ours, theirs = socket.socketpair()
    transport = Transport()
    transport.add(ours.fileno(), 0)
    connection = connection_of(workers, transport=transport, deadline=SHORT)

    def refuse(data: bytes) -> None:
        ours.recv(1)
        raise libvirt.libvirtError(data.decode())

    with ours, theirs:
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(_failed(connection.send(refuse, b"ls")))
            await workers.call(Transport(), LONG, "virTest", int)
            assert not sending.done()
            connection.cut()
    assert sending.result() == "virStreamSend"
    transport.close()


async def _failed(call: Awaitable[object]) -> str:
    """The name of the call that libvirt refused."""
    with pytest.raises(CallFailed) as failed:
        await call
    return failed.value.error.api


class _Reporting:
    """A libvirt connection that tells when it is closed."""

    def __init__(self) -> None:
        self._callback: Callable[[object, int, None], None] | None = None

    def report(self, reason: int) -> None:
        assert self._callback is not None
        self._callback(self, reason, None)

    def registerCloseCallback(self, callback: Callable[[object, int, None], None], _: None) -> None:  # noqa: N802
        self._callback = callback

    def unregisterCloseCallback(self) -> None:  # noqa: N802
        """Registered for undoing."""

    def close(self) -> int:
        self.report(libvirt.VIR_CONNECT_CLOSE_REASON_CLIENT)
        self.report(libvirt.VIR_CONNECT_CLOSE_REASON_ERROR)
        return 0


@pytest.mark.parametrize(
    ("number", "cause"), [(0, Cause.HYPERVISOR_LOST), (1, Cause.HYPERVISOR_LOST), (2, Cause.HYPERVISOR_TIMEOUT)]
)
async def test_the_loss_of_a_connection_is_told_once_on_the_loop(workers: Workers, number: int, cause: Cause) -> None:
    handle = _Reporting()
    connection = connection_of(workers, handle)
    told: list[tuple[Cause, int]] = []
    await connection.watch_close(lambda cause: told.append((cause, threading.get_ident())))

    def report_twice() -> None:
        handle.report(number)
        handle.report(0)

    await workers.call(Transport(), LONG, "virTest", report_twice)
    await asyncio.sleep(0)

    assert told == [(cause, threading.get_ident())]


async def test_our_own_close_is_no_loss(workers: Workers) -> None:
    handle = _Reporting()
    connection = connection_of(workers, handle)
    await connection.watch_close(lambda _: pytest.fail("it was closed by us"))

    await connection.close()
    await asyncio.sleep(0)


#: libvirt takes one event implementation in a process's life, so this one has a process of its own.
_TEST_DRIVER = """
import asyncio
import gc
import libvirt
from virtmuxd.hypervisor import errors
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.connection import Route
from virtmuxd.hypervisor.errors import CallFailed
from virtmuxd.hypervisor.inventory import examine, identify
from virtmuxd.hypervisor.workers import Workers

async def main():
    errors.silence()
    bridge = EventBridge(asyncio.get_running_loop())
    bridge.register()
    workers = Workers(4, "test")
    events = asyncio.Queue()
    loop = asyncio.get_running_loop()
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
    from tests.daemon.test_main import environment

    result = subprocess.run(
        [sys.executable, "-c", _TEST_DRIVER],
        env=environment(),
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
