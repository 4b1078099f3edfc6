"""The supervisor of a hypervisor: what comes of an answer of libvirt that is ahead of its events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import libvirt
import pytest

from tests.harness.consoles import HYPERVISOR, RUNNING_ID, START, URI, UUID, Consoles
from tests.harness.served import DEADLINE
from virtmux.reasons import Cause, LibvirtEvent
from virtmuxd.core.console import Console, ConsoleKey, Naming
from virtmuxd.core.registry import Registry
from virtmuxd.hypervisor.connection import Route
from virtmuxd.hypervisor.console_supervisor import Fence
from virtmuxd.hypervisor.errors import DeadlineMissed
from virtmuxd.hypervisor.hypervisor_supervisor import HypervisorSupervisor, Scope
from virtmuxd.hypervisor.inventory import Device, DomainState

RUNNING = DomainState(UUID, "web1", RUNNING_ID, None, (Device("serial0", "pty", 0),))


@dataclass
class Domain:
    """The domain that an event is about."""

    running_id: int

    def ID(self) -> int:  # noqa: N802  # libvirt's name
        return self.running_id

    def UUIDString(self) -> str:  # noqa: N802
        return UUID


@dataclass
class Hypervisor:
    """A hypervisor with one domain, a route to it, and each connection to it; a test says when an event comes."""

    uri = URI
    shared = False
    #: How the domain stands; None: it is gone.
    state: DomainState | None = RUNNING
    #: What goes wrong with the next close.
    failures: list[Exception] = field(default_factory=list)
    #: Connections so far, and what to tell when the control connection is lost.
    connections: int = 0
    cuts: int = 0
    lost: Callable[[Cause], None] = lambda _: None
    domains: tuple[str, ...] = (UUID,)
    #: Whether it hangs from the first look at a domain on, and hangs now.
    is_to_hang: bool = False
    hangs: bool = False
    callbacks: dict[int, Callable[..., None]] = field(default_factory=dict)

    async def connect(self, **_how: bool) -> "Hypervisor":
        if self.hangs:
            raise DeadlineMissed("virConnectOpen")
        self.connections += 1
        return self

    @property
    def libvirt(self) -> Any:
        return self

    def setKeepAlive(self, *_: int) -> None:  # noqa: N802
        """It never falls silent."""

    def domainEventRegisterAny(  # noqa: N802
        self, _every: None, number: int, callback: Callable[..., None], _opaque: None
    ) -> int:
        self.callbacks[number] = callback
        return number

    def domainEventDeregisterAny(self, _registration: int) -> None:  # noqa: N802
        """It is closed for good."""

    def undo_at_close(self, _undo: object) -> None:
        """Nothing is left."""

    async def watch_close(self, closed: Callable[[Cause], None]) -> None:
        self.lost = closed

    async def call(self, api: str, function: Callable[..., object], *arguments: object) -> object:
        match api:
            case "virConnectGetCapabilities":
                return HYPERVISOR + URI
            case "virConnectListAllDomains":
                return self.domains
            case "virDomainGetXMLDesc" if self.is_to_hang:
                self.hangs = True
                raise DeadlineMissed(api)
            case "virDomainGetXMLDesc":
                return self.state
            case _:
                return function(*arguments)

    def cut(self) -> None:
        self.cuts += 1

    def give_up(self) -> None:
        """Nothing is under way."""

    async def close(self) -> None:
        if self.failures:
            raise self.failures.pop()

    def event(self, number: int, *details: object, running_id: int = -1) -> None:
        """An event comes."""
        self.callbacks[number](None, Domain(running_id), *details, None)


@asynccontextmanager
async def supervised(hypervisor: Hypervisor | None = None) -> AsyncIterator[tuple[Hypervisor, Registry]]:
    """A hypervisor that was looked at, and the registry of its one console, at which nobody is."""
    consoles = Consoles()
    hypervisor = hypervisor or Hypervisor()

    def make_console(_key: ConsoleKey, naming: Naming) -> Console:
        return consoles.add(uri=naming.uri).console

    scope = Scope(consoles.registry, make_console, ("*",), (5, 3), Fence(8.0, 5, 35.0))
    consoles.registry.serve(URI, START)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(HypervisorSupervisor(cast(Route, hypervisor), scope).run())
        await until_surveyed(consoles.registry)
        yield hypervisor, consoles.registry
        running.cancel()


async def until_surveyed(registry: Registry) -> None:
    """Wait until everything was looked at that an event or the start named."""
    await asyncio.sleep(0)  # an event is handled in the next turn of the loop
    surveyed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    registry.when_surveyed(lambda: surveyed.set_result(None))
    async with asyncio.timeout(DEADLINE):
        await surveyed


async def test_that_a_domain_is_gone_waits_for_the_event_that_says_how_it_ended() -> None:
    async with supervised() as (hypervisor, registry):
        (console,) = registry
        assert console.machine.newest.running
        hypervisor.state = None
        hypervisor.event(libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, "ua-disk")
        await until_surveyed(registry)
        assert console.machine.newest.running
        assert registry.all() == [console]
        hypervisor.event(
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            libvirt.VIR_DOMAIN_EVENT_STOPPED,
            libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED,
        )
        await until_surveyed(registry)
        assert console.machine.newest.stopped == LibvirtEvent("STOPPED", "DESTROYED")
        assert registry.all() == []


@pytest.mark.parametrize(("failure", "is_bug"), [(DeadlineMissed("virTest"), False), (ValueError("no"), True)])
async def test_it_ends_when_it_is_told_to_whatever_fails_meanwhile(
    failure: Exception, is_bug: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(DEADLINE), supervised() as (hypervisor, _):
        hypervisor.failures.append(failure)
    assert hypervisor.failures == []
    assert ("a bug in the supervisor of a hypervisor" in caplog.text) is is_bug


async def test_all_looks_are_over_one_connection_which_is_cut_when_the_hypervisor_is_lost() -> None:
    async with supervised() as (hypervisor, registry):
        for _ in range(3):
            hypervisor.event(libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, "ua-disk")
            await until_surveyed(registry)
        assert (hypervisor.connections, hypervisor.cuts) == (2, 0)

        hypervisor.lost(Cause.HYPERVISOR_TIMEOUT)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert hypervisor.cuts == 1


async def test_a_hypervisor_that_hangs_while_it_is_looked_at_is_lost_however_many_domains_it_has() -> None:
    domains = tuple(f"{UUID[:-2]}{number:02}" for number in range(50))
    async with supervised(Hypervisor(domains=domains, is_to_hang=True)) as (_, registry):
        (hypervisor,) = registry.hypervisors()
        assert hypervisor.reason is not None
        assert (hypervisor.connected, hypervisor.reason.cause) == (False, Cause.HYPERVISOR_TIMEOUT)
