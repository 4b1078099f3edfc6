"""The supervisor of a console: what it tells the console, and what a bug in it may not do."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import libvirt
import pytest

from tests.harness.consoles import START, Bench, Consoles
from tests.harness.fake_guest import FakeGuest
from tests.harness.fake_libvirt import FakeConnection, FakeLibvirt
from tests.harness.fake_stream import Refusal
from tests.harness.served import DEADLINE
from tests.harness.turns import until
from virtmux.messages import State
from virtmux.reasons import Cause, LibvirtEvent, Phase
from virtmux.records import Attached, Break, Ended
from virtmuxd.core.events import Demand, Down, Elapsed, Failed, Released, Stopped, Timer, Up
from virtmuxd.core.evidence import Failure
from virtmuxd.core.writer import Writer
from virtmuxd.hypervisor.connection import Route
from virtmuxd.hypervisor.console_supervisor import ConsoleSupervisor, Fence
from virtmuxd.hypervisor.stream import ConsoleStream
from virtmuxd.hypervisor.workers import Workers

LONG = 60.0
SHORT = 0.05


@pytest.fixture
async def hypervisor() -> AsyncIterator[FakeLibvirt]:
    """One with a guest that runs."""
    async with FakeLibvirt().installed() as fake:
        fake.add().start()
        yield fake


@pytest.fixture
def guest(hypervisor: FakeLibvirt) -> FakeGuest:
    (guest,) = hypervisor.guests.values()
    return guest


@asynccontextmanager
async def supervised(
    hypervisor: FakeLibvirt, at_the_stop: Callable[[Bench], object] = lambda _: None, *, deadline: float = LONG
) -> AsyncIterator[Bench]:
    """The console of its guest, which somebody wants.

    `at_the_stop` happens in the same turn of the loop in which the supervisor is told to end.
    """
    (guest,) = hypervisor.guests.values()
    bench = Consoles().add()
    workers = Workers(4, "test")
    supervisor = ConsoleSupervisor(
        bench.console,
        Route("qemu:///fake", hypervisor.bridge, workers, workers, deadline),
        Fence(8.0, 5, 35.0),
        retired=_never,
        departed=_never,
    )
    bench.console.hold_by(supervisor)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(supervisor.run())
        supervisor.post(Demand(START, present=True))
        supervisor.post(Up(START, guest.running_id))
        try:
            yield bench
        finally:
            running.cancel()
            at_the_stop(bench)
    assert hypervisor.open_now == 0
    workers.close()


async def until_decided(bench: Bench) -> None:
    """Wait until it is known whether the console can be had."""
    decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    bench.console.when_decided(lambda: decided.set_result(None))
    async with asyncio.timeout(DEADLINE):
        await decided


async def waits_for(bench: Bench) -> Cause:
    """What the console waits for, once it is decided that it cannot be had."""
    await until_decided(bench)
    assert bench.console.machine.state is State.WAITING
    assert bench.console.machine.waiting is not None
    return bench.console.machine.waiting.cause


async def test_a_hypervisor_that_cannot_be_connected_to_is_the_reason(hypervisor: FakeLibvirt) -> None:
    hypervisor.refusal = Refusal(libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC, "Failed to connect socket", 2)
    async with supervised(hypervisor) as bench:
        assert await waits_for(bench) is Cause.HYPERVISOR_LOST


async def test_a_call_that_misses_its_deadline_is_the_reason(hypervisor: FakeLibvirt) -> None:
    hypervisor.answers.close()
    async with supervised(hypervisor, deadline=SHORT) as bench:
        assert await waits_for(bench) is Cause.HYPERVISOR_TIMEOUT


async def test_a_bug_is_told_as_one_and_the_console_lives_on(
    hypervisor: FakeLibvirt, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(_connection: FakeConnection) -> None:
        raise ZeroDivisionError

    hypervisor.opened = explode
    async with supervised(hypervisor, deadline=SHORT) as bench:
        assert await waits_for(bench) is Cause.INTERNAL_ERROR
        assert "a bug at a console" in caplog.text
        hypervisor.answers.close()
        bench.console.handle_event(Demand(START, present=True))
        assert await waits_for(bench) is Cause.HYPERVISOR_TIMEOUT


async def test_it_ends_when_it_is_told_to_whatever_fails_meanwhile(
    hypervisor: FakeLibvirt, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    began = asyncio.Event()

    async def fails_at_the_stop(*_asked_for: object, **_how: object) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("a bug")

    monkeypatch.setattr(ConsoleStream, "open", fails_at_the_stop)
    async with asyncio.timeout(DEADLINE), supervised(hypervisor):
        await began.wait()
    assert "a bug at a console" in caplog.text


# Input.


@asynccontextmanager
async def typing(hypervisor: FakeLibvirt) -> AsyncIterator[tuple[Bench, FakeConnection, Callable[[bytes], None]]]:
    """A console that is held, its connection, and what types at it."""
    writer = Writer(lambda: None)

    def type_(data: bytes) -> None:
        bench.console.inputs.offer(writer, 1, writer.account.received, data)
        bench.console._send_input()

    async with supervised(hypervisor) as bench:
        await until_decided(bench)
        (connection,) = hypervisor.connections
        yield bench, connection, type_


async def test_keystrokes_are_sent_at_once_and_a_fence_is_waited_for(hypervisor: FakeLibvirt, guest: FakeGuest) -> None:
    async with typing(hypervisor) as (bench, connection, type_):
        type_(b"l")
        type_(b"s")
        assert guest.typed == b"ls"

        bench.console.inputs.ask()
        type_(b"\r")
        assert guest.typed == b"ls\r"
        assert (bench.console.inputs.accepted, connection.asked_for_version) == (0, 0)
        await until(lambda: bench.console.inputs.accepted)
        assert (bench.console.inputs.accepted, connection.asked_for_version) == (3, 1)


async def test_keystrokes_that_could_block_the_loop_are_sent_aside(hypervisor: FakeLibvirt, guest: FakeGuest) -> None:
    async with typing(hypervisor) as (_, connection, type_):
        connection.fill()
        type_(b"l")
        type_(b"s")
        assert guest.typed == b""
        await until(lambda: guest.typed == b"ls")


async def test_what_waits_for_a_thread_at_the_end_was_not_given_to_libvirt(
    hypervisor: FakeLibvirt, guest: FakeGuest
) -> None:
    async with typing(hypervisor) as (bench, connection, type_):
        connection.fill()
        type_(b"ls")
        bench.console.handle_event(Failed(Failure(Phase.RECEIVE, START)))
        assert (bench.console.inputs.rejected, bench.console.inputs.unknown) == (2, 0)
    assert guest.typed == b""


async def test_input_that_libvirt_refuses_ends_the_console_with_its_error(
    hypervisor: FakeLibvirt, guest: FakeGuest
) -> None:
    async with typing(hypervisor) as (bench, _, type_):
        guest.holders[0].lose()
        type_(b"ls")
        # Not within the console's own step, and behind why the connection was lost, if that is known.
        assert bench.console.inputs.unknown == 0
        await asyncio.sleep(0)
        assert bench.console.inputs.unknown == 2
        assert bench.console.machine.state is State.ENDING
        (mark,) = [mark.record for mark in bench.store.marks if isinstance(mark.record, Ended)]
        assert mark.reason.error is not None
        assert mark.reason.error.api == "virStreamSend"


# What is open is closed.


def nothing(_bench: Bench) -> None:
    """It stays attached."""


def release(bench: Bench) -> None:
    """Its stream is to be closed; the supervisor ends before it can begin with that."""
    bench.console.handle_event(Released(START))


@pytest.mark.parametrize("at_the_stop", [nothing, release])
async def test_a_stop_closes_what_is_open_also_what_was_to_be_closed(
    hypervisor: FakeLibvirt, guest: FakeGuest, at_the_stop: Callable[[Bench], None]
) -> None:
    async with supervised(hypervisor, at_the_stop) as bench:
        await until_decided(bench)
        assert bench.console.machine.state is State.ATTACHED
        assert guest.holders
    assert not guest.holders


async def test_that_the_domain_is_gone_is_no_answer_where_the_event_says_how_it_ended(
    hypervisor: FakeLibvirt, guest: FakeGuest
) -> None:
    async with supervised(hypervisor) as bench:
        await until_decided(bench)
        guest.undefine()
        bench.happen(Failed(Failure(Phase.RECEIVE, START)), Elapsed(START, Timer.EVIDENCE))
        await until(lambda: len(hypervisor.connections) == 2 and hypervisor.open_now == 0)
        bench.happen(Stopped(START, LibvirtEvent("STOPPED", "DESTROYED")))
        await until_decided(bench)
    ends = [mark.record.reason.cause for mark in bench.store.marks if isinstance(mark.record, Ended)]
    assert ends == [Cause.GUEST_DESTROYED]


async def test_what_was_opened_ahead_is_closed_where_it_is_not_used(hypervisor: FakeLibvirt, guest: FakeGuest) -> None:
    async with supervised(hypervisor) as bench:
        await until_decided(bench)
        supervisor = cast(ConsoleSupervisor, bench.console._holder)
        bench.console.handle_event(Released(START))
        await until_decided(bench)
        assert not guest.holders
        supervisor.prepare()
        await until(lambda: guest.holders)
        supervisor.settle()
        await until(lambda: not guest.holders)
        assert bench.console.machine.state is State.WAITING


async def test_that_output_may_be_missing_is_said_also_where_the_clock_was_set_back(
    hypervisor: FakeLibvirt, guest: FakeGuest
) -> None:
    async with supervised(hypervisor) as bench:
        await until_decided(bench)
        bench.happen(Down(time.time_ns() + 10**13, Cause.HYPERVISOR_LOST))
        await until_decided(bench)
        bench.happen(Up(START, guest.running_id))
        await until_decided(bench)
        marks = [type(mark.record) for mark in bench.store.marks]
    assert marks == [Attached, Ended, Break, Attached]


def _never(_supervisor: ConsoleSupervisor) -> None:
    raise AssertionError("it has not vanished")
