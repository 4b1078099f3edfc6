"""What clients cost that are there and do nothing, and those that come and go: `make bench`, or by itself.

Each is attached to one console at which nothing happens.
"""

import asyncio
import time

from tests.bench.peers.multiplexers import RING
from tests.bench.peers.protocols import virtmux
from tests.bench.plots import Axes, plot, slope
from tests.bench.source import ECHOER
from tests.bench.tables import Target, keep, machine
from tests.harness.container import container_of, remove_cgroups
from tests.harness.daemon import Daemon
from tests.harness.libvirtd import Libvirtd

#: Clients that stay.
STAY = (1, 250, 500, 1000)
#: Those that come and go to find what is kept ready for the next, and those that are measured.
WARM, COME = 2000, 10_000
#: KiB for each that stays; and what those that came and went may leave behind: four times as many leave no more.
IDLE_KIB, LEFT_KIB = 20, 1024
DEADLINE_S = 60.0


async def until_gone(daemon: Daemon, before: int) -> None:
    """Wait until the daemon has no more open files than before."""
    async with asyncio.timeout(DEADLINE_S):
        while len(daemon.descriptors) > before:
            await asyncio.sleep(0.05)


async def come_and_go(daemon: Daemon, domain: str, number: int) -> int:
    """So many, one after the other; gives the KiB of the daemon when they are gone."""
    before = len(daemon.descriptors)
    for _ in range(number):
        virtmux(str(daemon.socket), domain).close()
    await until_gone(daemon, before)
    return daemon.anonymous_kib


async def measure() -> tuple[list[tuple[float, float]], int, float]:
    """Clients that are there and KiB of the daemon; KiB left behind by those that went; seconds for one of them."""
    with Libvirtd("lxc") as libvirtd:
        guest = container_of(libvirtd, ECHOER)
        await guest.define()
        await guest.start()
        daemon = Daemon([libvirtd.uri], config=f'journal = "memory"\nring = {RING}\nattach = "always"\n')
        try:
            await daemon.start()
            clients = [virtmux(str(daemon.socket), guest.name)]  # from now on the console is held
            before = await come_and_go(daemon, guest.name, WARM)
            began = time.perf_counter()
            left = await come_and_go(daemon, guest.name, COME) - before
            each = (time.perf_counter() - began) / COME
            points: list[tuple[float, float]] = []
            for number in STAY:
                clients += [virtmux(str(daemon.socket), guest.name) for _ in range(number - len(clients))]
                points.append((float(number), float(daemon.anonymous_kib)))
            for client in clients:
                client.close()
            return points, left, each
        finally:
            await daemon.close()


async def main() -> None:
    """Measure, print, keep."""
    try:
        points, left, each = await measure()
    finally:
        remove_cgroups()
    lines = [machine(), f"{'clients':>7}{'KiB':>9}", *(f"{number:7.0f}{kib:9.0f}" for number, kib in points)]
    lines.append(f"{COME} that came and went left {left} KiB behind; {each * 1000:.2f} ms each")
    idle = slope(points)
    title = f"Memory of the daemon against clients: {idle:.1f} KiB each"
    plot("clients-memory", title, Axes("idle clients", "KiB"), {"virtmux": points})
    found = [Target("KiB for each idle client", idle, IDLE_KIB), Target("KiB left behind", left, LEFT_KIB)]
    keep("clients", "\n".join([*lines, ""]), found)


if __name__ == "__main__":
    asyncio.run(main())
