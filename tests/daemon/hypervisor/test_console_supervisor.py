"""The supervisor of a console: what it tells the console, and what a bug in it may not do."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from tests.harness.consoles import RUNNING_ID, START, Bench, Consoles
from tests.harness.served import DEADLINE
from virtmux.messages import State
from virtmux.reasons import Cause, LibvirtEvent, Phase, SavedError
from virtmux.records import Attached, Break, Ended
from virtmuxd.core.events import Demand, Down, Elapsed, Failed, Stopped, Timer, Up
from virtmuxd.core.evidence import Failure
from virtmuxd.core.inputs import Writer
from virtmuxd.hypervisor.connection import Connection, Route
from virtmuxd.hypervisor.console_supervisor import ConsoleSupervisor, Fence
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed, unreadable
from virtmuxd.hypervisor.stream import ConsoleStream


class Stream:
    """A console's stream that carries nothing."""

    running_id = RUNNING_ID
    shared = False

    def __init__(self) -> None:
        self.closed = 0

    def start(self, *_told: object) -> None:
        """Nothing comes."""

    def stop(self) -> None:
        """Nothing came."""

    async def close(self) -> tuple[SavedError, ...]:
        self.closed += 1
        return ()


class Taking(Stream):
    """One that takes input: at once while `takes_at_once`, or else by and by, or it fails."""

    def __init__(self) -> None:
        super().__init__()
        self.takes_at_once = True
        self.failure: CallFailed | None = None
        self.at_once: list[bytes] = []
        self.by_and_by: asyncio.Queue[tuple[bytes, int]] = asyncio.Queue()

    def can_send_at_once(self) -> bool:
        return self.takes_at_once

    def send_at_once(self, packets: Sequence[bytes]) -> None:
        assert self.takes_at_once
        if self.failure is not None:
            raise self.failure
        self.at_once += packets

    async def send(self, packets: Sequence[bytes], fence: int) -> None:
        await self.by_and_by.put((b"".join(packets), fence))


class Anywhere:
    """A route that leads to a connection."""

    lost = None

    async def connect(self) -> "Anywhere":
        return self

    async def watch_close(self, _closed: Callable[[Cause], None]) -> None:
        """It is never lost."""


class Emptied(Anywhere):
    """A route to a hypervisor that has no domain any more."""

    libvirt = None

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def call(self, _api: str, *_function: object) -> None:
        """Whatever is looked up is not there."""

    async def close(self) -> None:
        self.left.set()


class Nowhere:
    """A route whose connecting fails with each of these errors, in turn."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    async def connect(self) -> Connection:
        raise self._errors.pop(0)


@asynccontextmanager
async def supervised(
    route: Anywhere | Nowhere, at_the_stop: Callable[[Bench], object] = lambda _: None
) -> AsyncIterator[Bench]:
    """A console that somebody wants, of a running guest, at the end of a route.

    `at_the_stop` happens in the same turn of the loop in which the supervisor is told to end.
    """
    bench = Consoles().add()
    supervisor = ConsoleSupervisor(
        bench.console, cast(Route, route), Fence(8.0, 5, 35.0), retired=_never, departed=_never
    )
    bench.console.hold_by(supervisor)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(supervisor.run())
        supervisor.post(Demand(START, present=True))
        supervisor.post(Up(START, RUNNING_ID))
        try:
            yield bench
        finally:
            running.cancel()
            at_the_stop(bench)


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


async def test_a_hypervisor_that_cannot_be_connected_to_is_the_reason() -> None:
    async with supervised(Nowhere(CallFailed(unreadable("Failed to connect", "virConnectOpen")))) as bench:
        assert await waits_for(bench) is Cause.HYPERVISOR_LOST


async def test_a_call_that_misses_its_deadline_is_the_reason() -> None:
    async with supervised(Nowhere(DeadlineMissed("virConnectOpen"))) as bench:
        assert await waits_for(bench) is Cause.HYPERVISOR_TIMEOUT


async def test_a_bug_is_told_as_one_and_the_console_lives_on(caplog: Any) -> None:
    async with supervised(Nowhere(ZeroDivisionError(), DeadlineMissed("virConnectOpen"))) as bench:
        assert await waits_for(bench) is Cause.INTERNAL_ERROR
        assert "a bug at a console" in caplog.text
        bench.console.handle_event(Demand(START, present=True))
        assert await waits_for(bench) is Cause.HYPERVISOR_TIMEOUT


async def test_it_ends_when_it_is_told_to_whatever_fails_meanwhile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    began = asyncio.Event()

    async def fails_at_the_stop(*_asked_for: object, **_how: object) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("a bug")

    monkeypatch.setattr(ConsoleStream, "open", fails_at_the_stop)
    async with asyncio.timeout(DEADLINE), supervised(Emptied()):
        await began.wait()
    assert "a bug at a console" in caplog.text


# Input.


@asynccontextmanager
async def typing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Bench, Taking, Callable[[bytes], None]]]:
    """A console that is held, its stream, and what types at it."""
    stream = Taking()

    async def opened(*_asked_for: object, **_how: object) -> Stream:
        return stream

    monkeypatch.setattr(ConsoleStream, "open", opened)
    writer = Writer(lambda: None)

    def type_(data: bytes) -> None:
        bench.console.inputs.offer(writer, 1, writer.account.received, data)
        bench.console._send_input()

    async with supervised(Anywhere()) as bench:
        await until_decided(bench)
        yield bench, stream, type_


async def test_keystrokes_are_sent_at_once_and_a_fence_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with typing(monkeypatch) as (bench, stream, type_):
        type_(b"l")
        type_(b"s")
        assert stream.at_once == [b"l", b"s"]

        bench.console.inputs.ask()
        type_(b"\r")
        assert stream.at_once == [b"l", b"s", b"\r"]
        async with asyncio.timeout(DEADLINE):
            assert await stream.by_and_by.get() == (b"", 5)
        assert bench.console.inputs.accepted == 3


async def test_keystrokes_that_could_block_the_loop_are_sent_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    async with typing(monkeypatch) as (_, stream, type_):
        stream.takes_at_once = False
        type_(b"l")
        type_(b"s")
        async with asyncio.timeout(DEADLINE):
            assert await stream.by_and_by.get() == (b"ls", 0)
        assert stream.at_once == []


async def test_what_waits_for_a_thread_at_the_end_was_not_given_to_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    async with typing(monkeypatch) as (bench, stream, type_):
        stream.takes_at_once = False
        type_(b"ls")
        bench.console.handle_event(Failed(Failure(Phase.RECEIVE, START)))
        assert (bench.console.inputs.rejected, bench.console.inputs.unknown) == (2, 0)


async def test_input_that_libvirt_refuses_ends_the_console_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with typing(monkeypatch) as (bench, stream, type_):
        stream.failure = CallFailed(unreadable("cannot write", "virStreamSend"))
        type_(b"ls")
        # Not within the console's own step, and behind why the connection was lost, if that is known.
        assert bench.console.inputs.unknown == 0
        await asyncio.sleep(0)
        assert bench.console.inputs.unknown == 2
        assert bench.console.machine.state is State.ENDING


def nothing(_bench: Bench) -> None:
    """It stays attached."""


def release(bench: Bench) -> None:
    """Its stream is to be closed; the supervisor ends before it can begin with that."""
    bench.console.release(START, None)


@pytest.mark.parametrize("at_the_stop", [nothing, release])
async def test_a_stop_closes_what_is_open_also_what_was_to_be_closed(
    at_the_stop: Callable[[Bench], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Stream()

    async def opened(*_asked_for: object, **_how: object) -> Stream:
        return stream

    monkeypatch.setattr(ConsoleStream, "open", opened)
    async with supervised(Anywhere(), at_the_stop) as bench:
        await until_decided(bench)
        assert bench.console.machine.state is State.ATTACHED
    assert stream.closed == 1


async def test_that_the_domain_is_gone_is_no_answer_where_the_event_says_how_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def opened(*_asked_for: object, **_how: object) -> Stream:
        return Stream()

    monkeypatch.setattr(ConsoleStream, "open", opened)
    route = Emptied()
    async with supervised(route) as bench:
        await until_decided(bench)
        bench.happen(Failed(Failure(Phase.RECEIVE, START)), Elapsed(START, Timer.EVIDENCE))
        async with asyncio.timeout(DEADLINE):
            await route.left.wait()
        bench.happen(Stopped(START, LibvirtEvent("STOPPED", "DESTROYED")))
        await until_decided(bench)
    ends = [mark.record.reason.cause for mark in bench.store.marks if isinstance(mark.record, Ended)]
    assert ends == [Cause.GUEST_DESTROYED]


async def test_what_was_opened_ahead_is_closed_where_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[Stream] = []

    async def opened(*_asked_for: object, **_how: object) -> Stream:
        streams.append(Stream())
        return streams[-1]

    monkeypatch.setattr(ConsoleStream, "open", opened)
    async with supervised(Anywhere()) as bench:
        await until_decided(bench)
        supervisor = cast(ConsoleSupervisor, bench.console._holder)
        supervisor.prepare()
        bench.console.release(START, None)
        supervisor.settle()
        await until_decided(bench)
        assert bench.console.machine.state is State.WAITING
    assert [stream.closed for stream in streams] == [1, 1]


async def test_that_output_may_be_missing_is_said_also_where_the_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def opened(*_asked_for: object, **_how: object) -> Stream:
        return Stream()

    monkeypatch.setattr(ConsoleStream, "open", opened)
    async with supervised(Anywhere()) as bench:
        await until_decided(bench)
        bench.console.handle_event(Down(time.time_ns() + 10**13, Cause.HYPERVISOR_LOST))
        await until_decided(bench)
        bench.console.handle_event(Up(START, RUNNING_ID))
        await until_decided(bench)
        marks = [type(mark.record) for mark in bench.store.marks]
    assert marks == [Attached, Ended, Break, Attached]


def _never(_supervisor: ConsoleSupervisor) -> None:
    raise AssertionError("it has not vanished")
