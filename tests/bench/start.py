"""How fast the command starts, beside virsh, against a real libvirtd with a real guest: `make bench`.

Each figure is the time of a whole process, or from its start to the guest's first byte; the median of many runs, which
take turns so that whatever else the machine does is in all of them. For two processors, as many as the budget names.

QEMU looks once a second whether somebody has opened the terminal of its guest, and until it has seen that, the guest is
deaf and dumb. What a person waits for is measured as it is: for virsh that second, or part of it; for virtmux, which
shows what the guest said before, it does not matter. What the programs themselves take is measured with that terminal
held open by somebody else.
"""

import asyncio
import os
import pty
import random
import resource
import statistics
import subprocess
import sys
import termios
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from tests.bench.tables import Target, keep, machine
from tests.harness.daemon import PROGRAMS, Daemon
from tests.harness.follower import boot, follow
from tests.harness.guest import BANNER, Guest, boot_sector_guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import Terminal

RUNS = 5
CPUS = 2
#: Milliseconds.
LIST_BUDGET = 150.0
#: Seconds; QEMU may be anywhere in its second.
QEMU_LOOKS = 1.0
CONNECTED = b"Escape character is ^] (Ctrl + ])\r\n"
ESCAPE = b"\x1d"
#: What neither command says by itself.
TYPED = b"@"
DEADLINE_S = 20.0


class Row(NamedTuple):
    """What is measured, and which other row it is held against."""

    name: str
    measure: Callable[[], Awaitable[float]]
    beside: str | None = None


async def whole(program: str | Path, *arguments: str) -> float:
    """Milliseconds that the whole process takes; it must succeed."""
    began = time.perf_counter()
    await asyncio.to_thread(subprocess.run, [program, *arguments], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


async def whole_on_terminal(program: str | Path, *arguments: str) -> float:
    """The same, with a terminal for its stdout."""
    ours, terminal = pty.openpty()
    try:
        began = time.perf_counter()
        await asyncio.to_thread(subprocess.run, [program, *arguments], check=True, stdout=terminal)
        return (time.perf_counter() - began) * 1000
    finally:
        os.close(ours)
        os.close(terminal)


async def echo(program: str | Path, *arguments: str) -> float:
    """Milliseconds until what is typed as soon as the terminal is raw comes back from the guest."""
    began = time.perf_counter()
    async with Terminal(program, arguments) as person:
        await asyncio.to_thread(until_raw, person.child.fileno())
        person.send(TYPED)
        await person.expect(CONNECTED)
        await person.expect(TYPED)
        took = time.perf_counter() - began
        person.send(ESCAPE)
        await person.exit()
    return took * 1000


async def replayed(program: str | Path, *arguments: str) -> float:
    """Milliseconds until something is there that the guest said before."""
    began = time.perf_counter()
    async with Terminal(program, arguments) as person:
        await person.expect(BANNER[:8])
        took = time.perf_counter() - began
        await asyncio.to_thread(until_raw, person.child.fileno())
        person.send(ESCAPE)
        await person.exit()
    return took * 1000


def until_raw(terminal: int) -> None:
    """Wait until nothing that is typed is echoed by the terminal itself, or flushed by who makes it raw.

    It looks again and again: of a terminal's mode there is no event.
    """
    give_up_at = time.monotonic() + DEADLINE_S
    while termios.tcgetattr(terminal)[3] & termios.ECHO:
        if time.monotonic() > give_up_at:
            raise TimeoutError("the command has not made its terminal raw")
        time.sleep(0.0005)


def rows(mux: Daemon, libvirtd: Libvirtd, guest: Guest, device: Path) -> list[Row]:
    """All that is measured. `device` is the guest's terminal."""
    virtmux = (PROGRAMS / "virtmux", "--socket", str(mux.socket))
    attach = (*virtmux, "attach", guest.name)
    virsh = ("virsh", "--connect", libvirtd.uri)
    console = (*virsh, "console", guest.name)

    async def ready(command: Sequence[str | Path]) -> float:
        opened = os.open(device, os.O_RDONLY | os.O_NOCTTY)
        try:
            await asyncio.sleep(QEMU_LOOKS)
            return await echo(*map(str, command))
        finally:
            os.close(opened)

    async def ready_and_held() -> float:
        async with follow(mux.socket, guest.name) as other:
            await other.until_attached()
            return await ready((*attach, "--replay", "none"))

    async def as_it_is(measure: Callable[..., Awaitable[float]], command: Sequence[str | Path]) -> float:
        await asyncio.sleep(QEMU_LOOKS * random.random())
        return await measure(*command)

    return [
        Row("python3 -c pass", lambda: whole(sys.executable, "-c", "pass")),
        Row("virsh list --all", lambda: whole(*virsh, "list", "--all")),
        Row("virtmux list", lambda: whole(*virtmux, "list"), "virsh list --all"),
        Row("virtmux list, on a terminal", lambda: whole_on_terminal(*virtmux, "list"), "virsh list --all"),
        Row("virtmux --help", lambda: whole(*virtmux, "--help")),
        Row("virsh console, first byte", lambda: as_it_is(echo, console)),
        Row("virtmux attach, first byte", lambda: as_it_is(replayed, attach), "virsh console, first byte"),
        Row("virsh console, itself", lambda: ready(console)),
        Row("virtmux attach, itself", lambda: ready((*attach, "--replay", "none")), "virsh console, itself"),
        Row("virtmux attach, console held", ready_and_held, "virsh console, itself"),
    ]


class Taken(NamedTuple):
    """Milliseconds of one run: until it was there, and of a processor's time, which a busy machine does not stretch."""

    wall: float
    cpu: float


async def take(row: Row) -> Taken:
    """Measure once."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = await row.measure()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(wall, 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))


def report(taken: dict[str, list[Taken]], measured: Sequence[Row]) -> str:
    """The table: medians and quartiles in milliseconds, and the ratios to what a row is held against."""
    lines = [
        f"{machine()}, load {os.getloadavg()[1]:.1f}, {RUNS} runs; milliseconds",
        f"{'':<30}{'median':>8}{'quartiles':>18}{'CPU':>8}   beside",
    ]
    medians = {name: statistics.median(each.wall for each in runs) for name, runs in taken.items()}
    for row in measured:
        low, median, high = statistics.quantiles([each.wall for each in taken[row.name]], n=4)
        cpu = statistics.median(each.cpu for each in taken[row.name])
        beside = f"{median / medians[row.beside]:.2f} of {row.beside}" if row.beside else ""
        lines.append(f"{row.name:<30}{median:8.1f}{f'{low:.1f} to {high:.1f}':>18}{cpu:8.1f}   {beside}".rstrip())
    return "\n".join(lines) + "\n"


def targets(taken: dict[str, list[Taken]]) -> list[Target]:
    """How what was measured stands to them."""
    return [
        Target("ms for `virtmux list`", statistics.median(each.wall for each in taken["virtmux list"]), LIST_BUDGET)
    ]


async def measure() -> tuple[list[Row], dict[str, list[Taken]]]:
    """Start what is needed, and measure; all rows, and what was taken of each by its name."""
    async with AsyncExitStack() as stack:
        libvirtd = stack.enter_context(Libvirtd())
        guest = boot_sector_guest(libvirtd)
        await guest.define()
        mux = Daemon([libvirtd.uri], config="linger = 0\n")
        stack.push_async_callback(mux.close)
        await mux.start()
        await guest.start(paused=True)
        async with follow(mux.socket, guest.name) as witness:
            await boot(guest, witness, says=BANNER)
        device = libvirtd.outside(await libvirtd.virsh("ttyconsole", guest.name))
        measured = rows(mux, libvirtd, guest, device)
        taken: dict[str, list[Taken]] = {row.name: [] for row in measured}
        for run in range(-1, RUNS):  # the first one warms what is cached
            for row in measured:
                took = await take(row)
                if run >= 0:
                    taken[row.name].append(took)
        return measured, taken


def main() -> None:
    """Measure, print the table and keep it."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CPUS])
    measured, taken = asyncio.run(measure())
    keep("start", report(taken, measured), targets(taken))


if __name__ == "__main__":
    main()
