"""How long after a guest's start its console is held: `make bench`, or by itself.

The time is that from libvirt's STARTED event, as another process has it, to the mark `attached` of the console. The
guests are containers, started anew one by one, while the consoles of all others are held.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

import libvirt
import libvirtaio

import virtmux
from tests.bench.tables import Target, cut, keep, machine
from tests.harness.container import container, remove_cgroups
from tests.harness.daemon import Daemon
from tests.harness.libvirtd import Libvirtd
from virtmux import Happening
from virtmux.messages import Event
from virtmux.records import parse_time

GUESTS = 100
#: Milliseconds.
MOST_MS = 20.0
DEADLINE_S = 30.0


class Starts:
    """When libvirt said STARTED (ns)."""

    def __init__(self, uri: str) -> None:
        libvirtaio.virEventRegisterAsyncIOImpl()
        self._expected: dict[str, asyncio.Future[int]] = {}
        self._connection = libvirt.open(uri)
        self._connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._happened, None)

    def _happened(self, _connection: object, domain: libvirt.virDomain, event: int, *_: object) -> None:
        if event == libvirt.VIR_DOMAIN_EVENT_STARTED:
            self._expected.pop(domain.name()).set_result(time.time_ns())

    def expect(self, domain: str) -> asyncio.Future[int]:
        """When it says so next of a domain."""
        self._expected[domain] = asyncio.get_running_loop().create_future()
        return self._expected[domain]


async def until_attached(events: AsyncGenerator[Happening, None], domain: str) -> int:
    """When the console of a domain was attached (ns)."""
    async with asyncio.timeout(DEADLINE_S):
        async for event in events:
            if isinstance(event, Event) and event.event == "attached" and event.console.domain == domain:
                return parse_time(event.at)
    raise EOFError("no more events")


async def measure() -> list[float]:
    """Milliseconds, for each of the guests."""
    async with AsyncExitStack() as stack:
        stack.callback(remove_cgroups)
        libvirtd = stack.enter_context(Libvirtd("lxc"))
        guests = [container(libvirtd) for _ in range(GUESTS)]
        for guest in guests:
            await guest.define()
        starts = Starts(libvirtd.uri)
        daemon = Daemon([libvirtd.uri], attach="always")
        stack.push_async_callback(daemon.close)
        await daemon.start()
        mux = await stack.enter_async_context(virtmux.connect(daemon.socket))
        events = await stack.enter_async_context(aclosing(mux.events()))
        times = []
        for measured in (False, True):
            for guest in guests:
                if measured:
                    await guest.destroy()
                started = starts.expect(guest.name)
                await guest.start()
                attached = await until_attached(events, guest.name)
                took = (attached - await started) / 1e6
                if measured:
                    times.append(took)
        return times


def main() -> None:
    """Measure, print, keep."""
    times = asyncio.run(measure())
    p50, p99 = cut(times)
    table = f"{machine()}, {GUESTS} starts; milliseconds\nSTARTED to attached: p50 {p50:.1f}, p99 {p99:.1f}\n"
    keep("arrival", table, [Target("ms from STARTED to attached, p99", p99, MOST_MS)])


if __name__ == "__main__":
    main()
