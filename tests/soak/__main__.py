"""`make soak`, or `python3 -m tests.soak --minutes N`: see the package.

A daemon holds 200 consoles of three hypervisors for 500 clients. At one a fault comes every few seconds, to guests, to
libvirtd, to the disk, the clock and the file descriptors of the daemon, and an oracle judges what was told of it (see
tests/harness/chaos). At the others nothing is done, and nobody may notice: consoles print steadily and in bursts, all
clients get all of it, and at one every echo is timed. The daemon itself is never restarted, so that whatever it keeps
is seen: in tests/bench/results, as a table and plots.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.tables import keep, machine
from tests.harness.chaos.arena import Arena
from tests.harness.chaos.clients import Resident
from tests.harness.chaos.faults import exhaust_descriptors, fill_disk, reload, step_clock
from tests.harness.chaos.run import become_well, judge, let_happen, opened
from tests.harness.container import remove_cgroups
from tests.harness.counts import seed
from tests.harness.echo import echoes_for
from tests.harness.follower import Follower, follow
from tests.harness.guest import BANNER, boot_sector_guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.small_disk import small_disk
from tests.soak.crowd import Crowd, printer
from tests.soak.gauge import WARMING_UP, Sample, draw, sample, targets

if TYPE_CHECKING:
    from tests.harness.watched_daemon import Census

#: Guests to which things are done, and containers whose consoles print.
TICKERS, CONTAINERS = 7, 12
#: Clients: who stay, and who come and go.
STAYING, PASSING = 450, 42
#: Things are done to each ticker, to its libvirtd, and to the daemon after pauses of up to so many seconds.
GUEST_PAUSE_S, PAUSE_S = 40.0, 30.0
#: Echoes are timed for so long, then the daemon is looked at.
SAMPLE_S = 5.0


async def soak(directory: Path, minutes: float) -> bool:
    """Let it happen for so long; gives whether all was well."""
    output = directory / "output"
    output.write_bytes(b"".join(b"%015d\n" % number for number in range(4096)))
    (directory / "disk").mkdir()
    with (
        Libvirtd() as sick,
        Libvirtd() as well,
        Libvirtd("lxc") as lxc,
        small_disk(directory / "disk", 256) as disk,
    ):
        arena = Arena(directory, sick, disk, TICKERS, seed(), others=[well.uri, lxc.uri])
        async with AsyncExitStack() as stack:
            residents = await stack.enter_async_context(opened(arena))
            guests = [printer(lxc, output) for _ in range(CONTAINERS)]
            timed = boot_sector_guest(well)
            for guest in (*guests, timed):
                await guest.define()
                await guest.start()
                await arena.mux.until_listed(guest.name, running=True)
            bystander = await stack.enter_async_context(follow(arena.mux.socket, timed.name, replay="all"))
            await bystander.until_output(BANNER)
            crowd = Crowd(arena.mux.socket, guests, arena.chance("crowd"))
            clients = await stack.enter_async_context(asyncio.TaskGroup())
            crowded = [clients.create_task(crowd.come_and_go()) for _ in range(PASSING)]
            crowded += [clients.create_task(crowd.stay(number)) for number in range(STAYING)]
            for ticker in arena.tickers:
                await ticker.guest.resume()
            over = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                daemon = (reload, exhaust_descriptors, fill_disk, step_clock)
                let_happen(arena, residents, tasks, over, guest_pause=GUEST_PAUSE_S, pause=PAUSE_S, daemon=daemon)
                samples = await look_on(arena, bystander, minutes)
                over.set()
            await become_well(arena, residents)
            for each in crowded:
                each.cancel()
            assert not bystander.reasons
    return report(minutes, arena, residents, crowd, samples)


async def look_on(arena: Arena, bystander: Follower, minutes: float) -> list[Sample]:
    """Look at the daemon again and again, for so long, and show how far it has come; and, at the end, of what it has
    more than once it was warm."""
    samples: list[Sample] = []
    warm: Census | None = None
    began = asyncio.get_running_loop().time()
    while (now := (asyncio.get_running_loop().time() - began) / 60) < minutes:
        (echoes,) = await echoes_for(SAMPLE_S, bystander, way=())
        samples.append(await sample(arena.mux, now, echoes))
        if len(samples) % 12 == 0:
            print(f"{now:5.1f} min, {len(arena.deeds)} faults: {samples[-1]}", flush=True)
        if warm is None and now >= WARMING_UP * minutes:
            warm = await arena.mux.watch.census()
    if warm is not None:
        print(f"objects more: {(await arena.mux.watch.census()).grown(warm)}")
    return samples


def report(minutes: float, arena: Arena, residents: list[Resident], crowd: Crowd, samples: Sequence[Sample]) -> bool:
    """Keep the table and the plots; gives whether all was well."""
    oracle = judge(arena, residents)
    for contradiction in oracle.contradictions + crowd.lost:
        print(contradiction, file=sys.stderr)
    what = f"{TICKERS + len(crowd) + 1} consoles, {len(residents) + STAYING + PASSING + 1} clients"
    found = targets(samples)
    table = (
        f"{machine()}\n{minutes:g} minutes, {what}; {crowd.visits} came and went\n"
        f"{crowd.received >> 20} MiB of consoles to which nothing was done\n{oracle.figures}\n\n"
    )
    keep("soak", table, found)
    draw(samples, what)
    return not oracle.contradictions and not crowd.lost and all(target.is_met for target in found)


def main() -> None:
    """Exits with 1 where anything grew or contradicts."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.soak")
    parser.add_argument("--minutes", type=float, default=30.0)
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="vmx-soak-") as directory:
            fine = asyncio.run(soak(Path(directory), options.minutes))
    finally:
        remove_cgroups()
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
