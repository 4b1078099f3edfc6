"""The supervisor of a hypervisor: what comes of an answer that is ahead of the events, or never comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import libvirt
import pytest

from tests.harness.consoles import START, console_over
from tests.harness.fake_guest import FakeGuest
from tests.harness.fake_libvirt import FakeConnection, FakeLibvirt
from tests.harness.memory_store import MemoryStore
from tests.harness.served import DEADLINE
from tests.harness.turns import until
from virtmux.reasons import Cause, LibvirtEvent
from virtmuxd.core.console import Console
from virtmuxd.core.console_key import ConsoleKey, Naming
from virtmuxd.core.registry import Registry
from virtmuxd.hypervisor.connection import Connection, Route
from virtmuxd.hypervisor.console_supervisor import Fence
from virtmuxd.hypervisor.errors import DeadlineMissed
from virtmuxd.hypervisor.hypervisor_supervisor import HypervisorSupervisor, Scope
from virtmuxd.hypervisor.workers import Workers

URI = "qemu:///fake"
LONG = 60.0
SHORT = 0.05


class Bench:
    """A hypervisor that was looked at, its one guest, which runs, and the registry of the guest's console."""

    def __init__(self, hypervisor: FakeLibvirt, guest: FakeGuest, registry: Registry) -> None:
        self.hypervisor, self.guest, self.registry = hypervisor, guest, registry

    async def plug_in(self) -> None:
        """An event says that the guest has another device; wait until that was looked at."""
        self.hypervisor.tell_any(self.guest, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, "ua-disk")
        await until_surveyed(self.registry)


@asynccontextmanager
async def hypervisor() -> AsyncIterator[FakeLibvirt]:
    async with FakeLibvirt().installed() as fake:
        fake.add().start()
        yield fake


@asynccontextmanager
async def supervised(fake: FakeLibvirt, deadline: float = LONG) -> AsyncIterator[Bench]:
    """Nobody is at the console."""
    registry = Registry()

    def make_console(key: ConsoleKey, naming: Naming) -> Console:
        return console_over(MemoryStore(), key, naming, registry.next_handle(), tell=registry.tell)

    workers = Workers(4, "test")
    scope = Scope(registry, make_console, ("*",), (5, 3), Fence(8.0, 5, 35.0))
    registry.serve(URI, START)
    async with asyncio.TaskGroup() as tasks:
        route = Route(URI, fake.bridge, workers, workers, deadline)
        running = tasks.create_task(HypervisorSupervisor(route, scope).run())
        await until_surveyed(registry)
        yield Bench(fake, next(iter(fake.guests.values())), registry)
        running.cancel()
    workers.close()


async def until_surveyed(registry: Registry) -> None:
    """Wait until everything was looked at that an event or the start named."""
    await asyncio.sleep(0)  # an event is handled in the next turn of the loop
    surveyed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    registry.when_surveyed(lambda: surveyed.set_result(None))
    async with asyncio.timeout(DEADLINE):
        await surveyed


async def test_that_a_domain_is_gone_waits_for_the_event_that_says_how_it_ended() -> None:
    async with hypervisor() as fake, supervised(fake) as bench:
        (console,) = bench.registry
        assert console.machine.newest.running
        bench.guest.undefine()
        await bench.plug_in()
        assert console.machine.newest.running
        assert bench.registry.all() == [console]
        bench.guest.stop()
        await until_surveyed(bench.registry)
        assert console.machine.newest.stopped == LibvirtEvent("STOPPED", "DESTROYED")
        assert bench.registry.all() == []


async def test_that_a_domain_whose_guest_has_gone_elsewhere_is_forgotten_is_noticed_without_an_event() -> None:
    async with hypervisor() as fake, supervised(fake) as bench:
        (console,) = bench.registry
        bench.guest.stop(libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED)
        await until(lambda: console.machine.newest.stopped)
        await until_surveyed(bench.registry)
        assert bench.registry.all() != []
        bench.guest.undefine()
        await until(lambda: bench.registry.all() == [])


@pytest.mark.parametrize(("failure", "is_bug"), [(DeadlineMissed("virTest"), False), (ValueError("no"), True)])
async def test_it_ends_when_it_is_told_to_whatever_fails_meanwhile(
    failure: Exception, is_bug: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [failure]
    close = Connection.close

    async def close_badly(self: Connection) -> None:
        await close(self)
        if failures:
            raise failures.pop()

    async with asyncio.timeout(DEADLINE), hypervisor() as fake, supervised(fake):
        monkeypatch.setattr(Connection, "close", close_badly)
    assert failures == []
    assert ("a bug in the supervisor of a hypervisor" in caplog.text) is is_bug


async def test_all_looks_are_over_one_connection_which_is_cut_when_the_hypervisor_is_lost() -> None:
    async with hypervisor() as fake, supervised(fake) as bench:
        for _ in range(3):
            await bench.plug_in()
        control, looks = fake.connections

        control.lose(libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE)
        await until(lambda: looks.lost is not None)


async def test_a_hypervisor_that_hangs_while_it_is_looked_at_is_lost_however_many_domains_it_has() -> None:
    def hang(connection: FakeConnection) -> None:
        if fake.connections:  # behind the control connection
            connection.reads.close()
            fake.answers.close()

    async with hypervisor() as fake:
        for number in range(50):
            fake.add(f"web{number}", f"5d3f9a5e-0000-4000-8000-{number:012}").start()
        fake.opened = hang
        async with supervised(fake, SHORT) as bench:
            (here,) = bench.registry.hypervisors()
            assert here.reason is not None
            assert (here.connected, here.reason.cause) == (False, Cause.HYPERVISOR_TIMEOUT)
            assert fake.asked < 5
