"""How long consoles are held by nobody when the daemon is restarted: `make bench`, or by itself.

All consoles are always held, and the daemon is no root's. Measured is the time from the start of the new process until
it is ready, and until the last console is attached, as `list` tells it; and the break that the last one has on record,
which begins where the old daemon let it go. The guests are paused before their first instruction, so that nothing but
virtmuxd and libvirtd is in the way.
"""

import asyncio
import statistics
import time
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import virtmux
from tests.harness.daemon import Daemon
from tests.harness.guest import boot_sector_guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.privilege import CALLING_AS_NOBODY
from virtmux import ConsoleInfo

#: Consoles, and the seconds within which they are to be attached again.
CASES = ((100, 1.0), (1000, 10.0))
#: Consoles of a guest, its serial port included; and those of a controller of the virtio bus.
CONSOLES = 100
PORTS = 30
RUNS = 3
#: Seconds between two looks: with many consoles a look is work for the daemon, too.
LOOK_S = 1.0
DEADLINE_S = 300.0
RESULTS = Path(__file__).with_name("results") / "reattach.txt"


class Restart(NamedTuple):
    """Seconds."""

    ready: float
    attached: float
    held_by_nobody: float


def seconds(text: str) -> float:
    """A time of the protocol, since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def console_xml(number: int) -> str:
    """A console on the virtio bus, the first of a controller with that."""
    controller, port = divmod(number, PORTS)
    bus = f"<controller type='virtio-serial' index='{controller}'/>" if port == 0 else ""
    address = f"<address type='virtio-serial' controller='{controller}' bus='0' port='{port + 1}'/>"
    return f"{bus}<console type='pty'><target type='virtio'/>{address}</console>"


async def until_attached(client: virtmux.Client, number: int) -> ConsoleInfo:
    """The last of so many consoles to be attached, once it is."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            held = [info for info in await client.consoles() if info.state == "attached"]
            if len(held) == number:
                return max(held, key=lambda info: info.since)
            await asyncio.sleep(LOOK_S)


async def restart(mux: Daemon, number: int) -> Restart:
    """Stop the daemon, and start it again."""
    await mux.stop()
    began = time.time()
    await mux.start()
    ready = time.time()
    async with virtmux.connect(mux.socket) as client:
        last = await until_attached(client, number)
        marks = await client.marks(last.id.uuid, last.id.device)
    *_, last_break = (mark.event for mark in marks if mark.event.event == "break")
    held_by_nobody = seconds(str(last_break.until)) - seconds(str(last_break.since))
    return Restart(ready - began, seconds(last.since) - began, held_by_nobody)


async def measure(number: int) -> list[Restart]:
    """Restarts of a daemon with so many consoles."""
    devices = "".join(map(console_xml, range(CONSOLES - 1)))
    async with AsyncExitStack() as stack:
        libvirtd = stack.enter_context(Libvirtd())
        for _ in range(number // CONSOLES):
            guest = boot_sector_guest(libvirtd, memory_mib=8, extra_devices=devices)
            await guest.define()
            stack.push_async_callback(guest.undefine)
            await guest.start(paused=True)
            stack.push_async_callback(guest.destroy)
        mux = Daemon([libvirtd.uri], attach="always", through=CALLING_AS_NOBODY)
        stack.push_async_callback(mux.close)
        await mux.start()
        async with virtmux.connect(mux.socket) as client:
            await until_attached(client, number)
        return [await restart(mux, number) for _ in range(RUNS)]


async def report() -> str:
    """The table: medians, and how the time to the last console stands to its target."""
    lines = ["consoles  ready s  attached s  held by nobody s  of the target"]
    for number, target in CASES:
        ready, attached, nobody = map(statistics.median, zip(*await measure(number), strict=True))
        lines.append(f"{number:8}  {ready:7.2f}  {attached:10.2f}  {nobody:16.2f}  {attached / target:13.2f}")
    return "\n".join([*lines, ""])


def main() -> None:
    """Print the table, and keep it."""
    text = asyncio.run(report())
    print(text, end="")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text)


if __name__ == "__main__":
    main()
