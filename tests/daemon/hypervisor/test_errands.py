"""What is asked of a hypervisor's domains: done over connections that a test makes up, one errand's bug no other's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import libvirt
import pytest

from tests.harness.life import CONNECTION_LOST, NOT_RUNNING
from virtmux.domains import DomainInfo
from virtmux.messages import Guest
from virtmux.reasons import Cause, SavedError
from virtmuxd.core.errands import NotDone
from virtmuxd.hypervisor.connection import Route
from virtmuxd.hypervisor.errands import MOST, HypervisorErrands
from virtmuxd.hypervisor.errors import CallFailed, DeadlineMissed

DEADLINE = 10.0
START = Guest(id=1, domain="test", action="start")


class Connection:
    """A connection whose call does what the test says."""

    libvirt: Any = None

    def __init__(self, outcome: Callable[[], object]) -> None:
        self.outcome = outcome
        self.apis: list[str] = []
        self.closed = False

    async def call(self, api: str, *_function: object) -> object:
        self.apis.append(api)
        return self.outcome()

    def hurry(self, _seconds: float) -> None:
        pass

    async def close(self) -> None:
        self.closed = True


class Bench:
    """Errands over such connections, and what they answer."""

    def __init__(self, outcome: Callable[[], object], connecting: Exception | None = None) -> None:
        self.uri = "test:///default"
        self.outcome = outcome
        self.connecting = connecting
        self.made: list[Connection] = []
        self.answers: asyncio.Queue[object] = asyncio.Queue()
        self.errands = HypervisorErrands(cast(Route, self), lambda: ("*",))

    async def connect_for_errand(self) -> Connection:
        if self.connecting is not None:
            raise self.connecting
        self.made.append(Connection(self.outcome))
        return self.made[-1]

    def act(self, then: Callable[[NotDone | None], None] | None = None, asked: Guest = START) -> None:
        self.errands.act("uuid", asked, then or self.answers.put_nowait)

    async def answer(self) -> object:
        async with asyncio.timeout(DEADLINE):
            return await self.answers.get()


def fail(error: Exception) -> Callable[[], object]:
    def outcome() -> object:
        raise error

    return outcome


@asynccontextmanager
async def at_work(bench: Bench) -> AsyncIterator[Bench]:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bench.errands.run())
        yield bench
        running.cancel()


async def test_what_was_done_is_told_once_its_connection_is_closed() -> None:
    async with at_work(Bench(lambda: None)) as bench:
        bench.act()
        assert await bench.answer() is None
        assert [(each.apis, each.closed) for each in bench.made] == [(["virDomainCreateWithFlags"], True)]


@pytest.mark.parametrize(
    ("error", "cause"), [(NOT_RUNNING, Cause.ACTION_FAILED), (CONNECTION_LOST, Cause.HYPERVISOR_LOST)]
)
async def test_what_libvirt_says_is_told(error: SavedError, cause: Cause) -> None:
    async with at_work(Bench(fail(CallFailed(error)))) as bench:
        bench.act()
        assert await bench.answer() == NotDone(cause, error)
        assert bench.made[0].closed


@pytest.mark.parametrize(
    "asked", [Guest(id=1, domain="test", action="key", keys=[1]), Guest(id=1, domain="test", action="nmi")]
)
async def test_what_a_guest_must_run_for_says_that_it_does_not(asked: Guest) -> None:
    async with at_work(Bench(fail(CallFailed(NOT_RUNNING)))) as bench:
        bench.act(asked=asked)
        assert await bench.answer() == NotDone(Cause.GUEST_NOT_RUNNING, NOT_RUNNING)


async def test_that_it_took_too_long_is_told_and_that_it_may_still_be_done() -> None:
    async with at_work(Bench(fail(DeadlineMissed("virDomainCreateWithFlags")))) as bench:
        bench.act()
        answer = await bench.answer()
        assert answer == NotDone(Cause.HYPERVISOR_TIMEOUT, None, "`start` had no answer in time, and may still be done")


async def test_that_there_is_no_connection_is_told() -> None:
    async with at_work(Bench(lambda: None, CallFailed(CONNECTION_LOST))) as bench:
        bench.act()
        assert await bench.answer() == NotDone(Cause.HYPERVISOR_LOST, CONNECTION_LOST)


async def test_a_bug_in_one_is_told_and_ends_no_other() -> None:
    def explode(_answer: NotDone | None) -> None:
        raise ZeroDivisionError

    async with at_work(Bench(fail(ZeroDivisionError()))) as bench:
        bench.act()
        assert await bench.answer() == NotDone(Cause.INTERNAL_ERROR)
        bench.outcome = lambda: None
        bench.act(explode)
        bench.act()
        assert await bench.answer() is None


async def test_so_many_may_wait_and_one_more_is_told_at_once() -> None:
    bench = Bench(lambda: None)
    for _ in range(MOST):
        bench.act()
    bench.act()
    answer = bench.answers.get_nowait()
    assert isinstance(answer, NotDone)
    assert answer.cause is Cause.HYPERVISOR_TIMEOUT
    async with at_work(bench):
        assert [await bench.answer() for _ in range(MOST)] == [None] * MOST
        bench.act()
        assert await bench.answer() is None


class Real(Connection):
    """A connection to libvirt's own test driver, whose calls are made at once."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.libvirt = libvirt.open("test:///default")

    async def call(self, _api: str, *function: Any) -> object:
        call, *arguments = function
        return call(*arguments)

    async def close(self) -> None:
        self.libvirt.close()


class RealScene(Bench):
    async def connect_for_errand(self) -> Connection:
        return Real()


async def test_a_look_finds_a_domain_by_name_uuid_and_running_id() -> None:
    async with at_work(RealScene(lambda: None)) as bench:
        found = []
        for name in ("test", "6695eb01-f6a4-8304-79aa-97f2502e193f", "1"):
            bench.errands.look(name, bench.answers.put_nowait)
            found.append(await bench.answer())
        assert isinstance(found[0], DomainInfo)
        assert found[0] == found[1] == found[2]
        assert (found[0].domain, found[0].running, found[0].served, found[0].devices) == ("test", True, True, [])
        for name in ("nobody", "7", "999999999999", "6695eb01-f6a4-8304-79aa-000000000000"):
            bench.errands.look(name, bench.answers.put_nowait)
            assert await bench.answer() is None
