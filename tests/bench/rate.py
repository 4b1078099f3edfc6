"""How what the daemon costs grows with what a console prints: `make bench`, or by itself.

A container prints a hundred times a second, more and more; one client reads.
"""

import asyncio
import tempfile
from pathlib import Path

from tests.bench import cpu
from tests.bench.peers.multiplexers import virtmux
from tests.bench.plots import Axes, plot, slope
from tests.bench.sink import Sink
from tests.bench.source import Source, write_flood
from tests.bench.tables import keep, machine
from tests.harness.container import remove_cgroups
from tests.harness.libvirtd import Libvirtd

#: Bytes each time, and how many times.
SIZES = (64, 256, 1024, 4096, 16384, 65536)
TIMES = 200


async def measure() -> list[tuple[float, float]]:
    """MB a second, and CPU ms a second."""
    points = []
    with Libvirtd("lxc") as libvirtd, tempfile.TemporaryDirectory(prefix="vmxb-") as directory:
        write_flood(libvirtd.base / "flood", max(SIZES))
        source = Source(libvirtd, libvirtd.base / "flood")
        await source.start()
        async with virtmux(libvirtd.uri, [source.guest.name], Path(directory)) as subject:
            for size in SIZES:
                with Sink(subject.protocol, subject.address(source.guest.name), 1) as sink:
                    sink.warm(source)
                    before = cpu.seconds(subject.pids())
                    sink.say("take", str(size * TIMES))
                    source.print("drip", size, TIMES)
                    received, seconds = sink.taken()
                    used = cpu.seconds(subject.pids()) - before
                if seconds:
                    points.append((sum(received) / seconds / 1e6, used / seconds * 1000))
    return points


async def main() -> None:
    """Measure, print, keep."""
    try:
        points = await measure()
    finally:
        remove_cgroups()
    lines = [machine(), f"{'MB/s':>8}{'CPU ms/s':>10}"]
    lines += [f"{rate:8.2f}{used:10.1f}" for rate, used in points]
    above = [point for point in points if point[0] >= 1]
    lines.append(f"beyond 1 MB/s each MB costs {slope(above):.1f} ms of CPU")
    plot("rate-cpu", "CPU of the daemon against what a console prints", Axes("MB/s", "CPU ms/s"), {"virtmux": points})
    keep("rate", "\n".join([*lines, ""]))


if __name__ == "__main__":
    asyncio.run(main())
