"""The supervisor of a console: what it tells the console, and what a bug in it may not do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from tests.harness.consoles import RUNNING_ID, START, Bench, Consoles
from tests.harness.served import DEADLINE
from virtmux.messages import State
from virtmux.reasons import Cause
from virtmuxd.core.events import Demand, Up
from virtmuxd.hypervisor.connection import Connection, Route
from virtmuxd.hypervisor.console_supervisor import ConsoleSupervisor, Fence
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed, unreadable


class Nowhere:
    """A route whose connecting fails with each of these errors, in turn."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    async def connect(self) -> Connection:
        raise self._errors.pop(0)


@asynccontextmanager
async def supervised(*errors: Exception) -> AsyncIterator[Bench]:
    """A console that somebody wants, of a running guest, at the end of such a route."""
    bench = Consoles().add()
    supervisor = ConsoleSupervisor(
        bench.console, cast(Route, Nowhere(*errors)), Fence(8.0, 5, 35.0), retired=_never, departed=_never
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


async def waits_for(bench: Bench) -> Cause:
    """What the console waits for, once it is decided that it cannot be had."""
    decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    bench.console.when_decided(lambda: decided.set_result(None))
    async with asyncio.timeout(DEADLINE):
        await decided
    assert bench.console.machine.state is State.WAITING
    assert bench.console.machine.waiting is not None
    return bench.console.machine.waiting.cause


async def test_a_hypervisor_that_cannot_be_connected_to_is_the_reason() -> None:
    async with supervised(CallFailed(unreadable("Failed to connect", "virConnectOpen"))) as bench:
        assert await waits_for(bench) is Cause.HYPERVISOR_LOST


async def test_a_call_that_misses_its_deadline_is_the_reason() -> None:
    async with supervised(DeadlineMissed("virConnectOpen")) as bench:
        assert await waits_for(bench) is Cause.HYPERVISOR_TIMEOUT


async def test_a_bug_is_told_as_one_and_the_console_lives_on(caplog: Any) -> None:
    async with supervised(ZeroDivisionError(), DeadlineMissed("virConnectOpen")) as bench:
        assert await waits_for(bench) is Cause.INTERNAL_ERROR
        assert "a bug at a console" in caplog.text
        bench.console.handle_event(Demand(START, present=True))
        assert await waits_for(bench) is Cause.HYPERVISOR_TIMEOUT


def _never(_supervisor: ConsoleSupervisor) -> None:
    raise AssertionError("it has not vanished")
