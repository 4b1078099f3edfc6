"""Blocking calls in threads: deadlines, the cut, the quota, and what is counted and logged of them."""

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Awaitable
from functools import partial

import libvirt
import pytest

from virtmux.messages import Threads
from virtmuxd.core.counters import Counters
from virtmuxd.hypervisor import workers as workers_module
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed
from virtmuxd.hypervisor.transport import Transport
from virtmuxd.hypervisor.workers import Workers

LONG = 60.0
SHORT = 0.01


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
async def workers(counters: Counters) -> AsyncIterator[Workers]:
    workers = Workers(4, "test", counters)
    yield workers
    workers.close()


async def test_a_call_runs_in_another_thread_and_gives_what_it_returns(workers: Workers) -> None:
    thread = await workers.call(Transport(), LONG, "virTest", threading.get_ident)

    assert thread != threading.get_ident()


async def test_an_error_of_libvirt_is_saved_with_the_name_of_the_call(workers: Workers) -> None:
    def refuse() -> None:
        error = libvirt.libvirtError("refused")
        error.err = (9, 10, "Active console session exists for this domain", 2, "a", None, None, 4, -1)
        raise error

    with pytest.raises(CallFailed) as failed:
        await workers.call(Transport(), LONG, "virDomainOpenConsole", refuse)

    error = failed.value.error
    assert (error.code, error.domain, error.api) == (9, 10, "virDomainOpenConsole")
    assert error.message == "Active console session exists for this domain"


async def test_a_text_of_libvirts_that_is_no_utf_8_fails_the_call_and_is_told(workers: Workers) -> None:
    with pytest.raises(CallFailed, match=r"no UTF-8: b'x{31}<name>web\\xff1</name>'") as failed:
        await workers.call(Transport(), LONG, "virDomainGetName", (b"x" * 46 + b"<name>web\xff1</name>").decode)

    assert failed.value.error.api == "virDomainGetName"


async def test_a_bug_in_a_call_is_raised_as_it_is(workers: Workers) -> None:
    with pytest.raises(ZeroDivisionError):
        await workers.call(Transport(), LONG, "virTest", lambda: 1 // 0)


async def test_a_call_that_misses_its_deadline_is_cut_and_gives_its_thread_back(workers: Workers) -> None:
    ours, theirs = socket.socketpair()
    transport = Transport()
    transport.add(ours.fileno(), 0)
    with ours, theirs:
        with pytest.raises(DeadlineMissed, match="virStreamSend") as missed:
            await workers.call(transport, SHORT, "virStreamSend", partial(ours.recv, 1))

        assert missed.value.api == "virStreamSend"
        assert transport.was_cut
        assert workers.stuck == 0
    transport.close()
    for _ in range(8):
        await workers.call(Transport(), LONG, "virTest", int)


async def test_a_call_that_is_cancelled_is_cut_too(workers: Workers) -> None:
    ours, theirs = socket.socketpair()
    transport = Transport()
    transport.add(ours.fileno(), 0)
    returned = threading.Event()

    def blocking() -> None:
        ours.recv(1)
        returned.set()

    with ours, theirs:
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(workers.call(transport, LONG, "virTest", blocking))
            await asyncio.sleep(0)
            call.cancel()
    assert returned.is_set()
    assert call.cancelled()
    transport.close()


async def test_a_call_that_the_cut_does_not_free_is_counted_and_waited_for_no_longer(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "_CUT_GRACE", SHORT)
    release = threading.Event()

    with pytest.raises(DeadlineMissed):
        await workers.call(Transport(), SHORT, "virConnectOpen", release.wait)

    assert workers.stuck == 1
    assert workers.use.snapshot() == Threads(busy=1, quota=4, stuck=1)
    release.set()
    together = threading.Barrier(4)  # so that thread takes part
    await asyncio.gather(*(workers.call(Transport(), LONG, "virTest", together.wait) for _ in range(4)))
    assert workers.use.snapshot() == Threads(busy=0, quota=4, stuck=0)


async def test_threads_are_used_up_while_every_one_is_stuck(
    counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "_CUT_GRACE", SHORT)
    workers = Workers(2, "test", counters)
    release = threading.Event()
    for used_up in (False, True):
        with pytest.raises(DeadlineMissed):
            await workers.call(Transport(), SHORT, "virConnectOpen", release.wait)
        assert workers.used_up == used_up
    release.set()
    await workers.call(Transport(), LONG, "virTest", int)
    assert not workers.used_up
    assert counters.stuck_calls == 2
    workers.close()


async def test_no_more_calls_than_the_quota_are_inside_libvirt(workers: Workers) -> None:
    inside, most = 0, 0
    lock, gate = threading.Lock(), threading.Barrier(4)

    def enter() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        gate.wait(10)
        with lock:
            inside -= 1

    await asyncio.gather(*(workers.call(Transport(), LONG, "virTest", enter) for _ in range(16)))

    assert most == 4


async def test_a_cut_is_counted_once_for_a_connection_and_logged_with_all_counts(
    workers: Workers, counters: Counters, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = socket.socketpair()
    transport = Transport()
    transport.add(ours.fileno(), 0)
    with ours, theirs:
        await asyncio.gather(
            *(workers.call(transport, SHORT, "virTest", partial(ours.recv, 1)) for _ in range(2)),
            return_exceptions=True,
        )
    transport.close()

    assert (counters.cuts, counters.stuck_calls) == (1, 0)
    (record,) = caplog.records
    assert record.getMessage() == "a libvirt connection was cut: a call missed its deadline"
    assert vars(record).items() >= {"api": "virTest", "cuts": 1, "stuck_calls": 0}.items()


async def test_a_call_that_stays_stuck_is_counted_and_logged(
    workers: Workers, counters: Counters, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "_CUT_GRACE", SHORT)
    release = threading.Event()

    with pytest.raises(DeadlineMissed):
        await workers.call(Transport(), SHORT, "virConnectOpen", release.wait)

    assert (counters.cuts, counters.stuck_calls) == (1, 1)
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.ERROR]
    assert vars(caplog.records[1]).items() >= {"api": "virConnectOpen", "cuts": 1, "stuck_calls": 1}.items()
    release.set()


async def test_a_call_that_is_cancelled_is_no_cut_that_counts(workers: Workers, counters: Counters) -> None:
    ours, theirs = socket.socketpair()
    transport = Transport()
    transport.add(ours.fileno(), 0)
    with ours, theirs:
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(workers.call(transport, LONG, "virTest", partial(ours.recv, 1)))
            await asyncio.sleep(0)
            call.cancel()
    transport.close()

    assert counters.cuts == 0


async def cancelled_inside(workers: Workers, transport: Transport, deadline: float, dropped: list[str]) -> None:
    """Cancel a call on a shared connection once it is in its thread; it returns when it has been cancelled."""
    loop = asyncio.get_running_loop()
    inside, cancelled = asyncio.Event(), threading.Event()

    def call() -> str:
        loop.call_soon_threadsafe(inside.set)
        assert cancelled.wait(10)
        return "a stream"

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(
            workers.call(transport, deadline, "virTest", call, shared=True, dropped=dropped.append)
        )
        await inside.wait()
        task.cancel()
        await asyncio.sleep(0)
        cancelled.set()
    assert task.cancelled()


async def test_a_call_on_a_shared_connection_that_is_cancelled_ends_and_its_outcome_is_dropped(
    workers: Workers,
) -> None:
    transport = Transport()
    dropped: list[str] = []

    await cancelled_inside(workers, transport, LONG, dropped)

    assert dropped == ["a stream"]
    assert not transport.was_cut


async def test_a_call_on_a_shared_connection_that_is_cancelled_and_does_not_end_is_cut_at_its_deadline(
    workers: Workers, counters: Counters
) -> None:
    ours, theirs = socket.socketpair()
    transport = Transport()
    transport.add(ours.fileno(), 0)
    with ours, theirs:
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(workers.call(transport, 0.1, "virTest", partial(ours.recv, 1), shared=True))
            await asyncio.sleep(0)
            call.cancel()
    transport.close()

    assert transport.was_cut
    assert counters.cuts == 1


async def test_once_the_daemon_stops_no_call_waits_longer_than_it_may(workers: Workers) -> None:
    release = threading.Event()
    transport = Transport()
    workers.finish_within(SHORT)
    release_soon = asyncio.get_running_loop().call_later(0.1, release.set)

    with pytest.raises(DeadlineMissed):
        await workers.call(transport, LONG, "virTest", release.wait)

    release_soon.cancel()
    assert transport.was_cut


async def test_once_a_hypervisor_hangs_nothing_waits_for_it_any_more(workers: Workers) -> None:
    ours, theirs = socket.socketpair()
    transport = Transport()
    transport.add(ours.fileno(), 0)
    with ours, theirs:
        calls = [workers.call(transport, LONG, "virTest", partial(ours.recv, 1)) for _ in range(4 + 2)]
        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(_missed(call)) for call in calls]
            await asyncio.sleep(0)  # let them begin
            await asyncio.sleep(0)
            workers.give_up()
            workers.give_up()
    assert [task.result() for task in waiting] == ["virTest"] * 6
    transport.close()
    assert await workers.call(Transport(), LONG, "virTest", int) == 0


async def _missed(call: Awaitable[object]) -> str:
    """The name of the call that missed its deadline."""
    with pytest.raises(DeadlineMissed) as missed:
        await call
    return missed.value.api
