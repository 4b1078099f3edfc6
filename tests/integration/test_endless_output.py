"""Output that does not end: a line of many MiB in a sequence that is never finished, and a flood for minutes.

Both come from a container, whose console is as fast as libvirt is.
"""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import virtmux
from tests.harness.container import FLOOD, FLOODED, GREETING, PRINT, STOP_FLOODING
from tests.harness.counts import count
from tests.harness.daemon import PROGRAMS, Daemon
from tests.harness.echo import echoing, on_the_way, quiet_echoes
from tests.harness.follower import follow
from tests.harness.hostile_output import is_harmless
from tests.harness.libvirtd import Libvirtd
from tests.harness.memory import Ran, kib, run_measured
from tests.harness.stream import ROOMY
from tests.harness.terminal import shown
from tests.integration.conftest import StartDaemon, StartGuest

pytestmark = pytest.mark.where_it_can_be_had

MIB = 1 << 20
#: A line of 24 MiB, which begins with a sequence that is not finished.
ENDLESS = b"\x1b]52;c;" + b"ABCDEFGHIJKL" * (2 * MIB)
#: What a reader may hold of it, in KiB: ten pieces of a MiB as the files are read, and what is made of the last.
HELD_KIB = 16384
#: Seconds of the flood, and after how many memory is to have ceased to grow.
FLOODS_FOR, GROWS_FOR = count(6, 180), count(3, 30)
#: What it may grow by after that, in KiB: what the allocators leave open.
GROWN_KIB = 8192


def readers(name: str) -> list[list[str]]:
    """Everything that reads what a console has said, from its beginning."""
    return [
        ["log", name],
        ["log", name, "-n", "10"],
        ["log", name, "--timestamps"],
        ["log", name, "-o", "raw"],
        ["log", name, "-o", "json"],
        ["log", name, "-o", "asciicast"],
        ["screen", name],
        ["expect", name, "never", "--from", "0", "--timeout", "2"],
        ["attach", name, "--replay", "all", "--linger", "0.2"],
        ["events", "--since", "-1h"],
    ]


async def read_by_all(mux: Daemon, arguments: list[list[str]]) -> dict[str, Ran]:
    """What each of them makes of it, side by side."""
    ran = await asyncio.gather(*(run_measured(mux.socket, mux.journal, *each) for each in arguments))
    return dict(zip(map(" ".join, arguments), ran, strict=True))


async def test_a_line_that_never_ends_costs_no_reader_more_than_a_part_of_it(
    lxc: Libvirtd, start_talker: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    (tmp_path / "output").write_bytes(ENDLESS)
    guest = await start_talker(lxc, output=tmp_path / "output")
    mux = await daemon(lxc.uri, config=ROOMY)  # all of it is to be in the journal, however slow the disk
    name, end = guest.name, len(GREETING) + len(ENDLESS)
    async with follow(mux.socket, name) as watcher:
        await watcher.until_output(GREETING)
        before = await read_by_all(mux, readers(name))
        empty = mux.anonymous_kib
        await watcher.write(PRINT)
        await watcher.until_offset(end)
        after = await read_by_all(mux, readers(name))
        assert mux.anonymous_kib - empty < HELD_KIB
        assert is_harmless(await shown(mux.socket, "log", name, "-n", "1"))
    assert after[f"log {name} -o raw"].output == GREETING + ENDLESS
    assert ENDLESS in after[f"log {name}"].output
    assert len(after[f"log {name} -n 10"].output) < 2 * MIB
    await mux.stop()
    files = await read_by_all(mux, [["log", name, "-n", "10"], ["log", name, "-o", "raw"]])
    assert files[f"log {name} -o raw"].output == GREETING + ENDLESS
    for way, ran in (*after.items(), *((f"{way} of the files", ran) for way, ran in files.items())):
        held = ran.peak_kib - before[way.removesuffix(" of the files")].peak_kib
        print(f"{way}: {ran.peak_kib} KiB, {held} more than without it")
        assert held < HELD_KIB, way
        assert ran.status in {0, 7}, ran.talk


@contextmanager
def going_on(mux: Daemon, *arguments: str, stdout: int = subprocess.DEVNULL) -> Iterator[int]:
    """The pid of a command that goes on until the context is left."""
    command: list[str | Path] = [PROGRAMS / "virtmux", "--socket", mux.socket, *arguments]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.kill()


@contextmanager
def terminal() -> Iterator[int]:
    """A terminal whose person sees all that is shown."""
    person, theirs = os.openpty()
    with subprocess.Popen(["cat"], stdin=person, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        os.close(person)
        try:
            yield theirs
        finally:
            os.close(theirs)


@contextmanager
def unread() -> Iterator[int]:
    """A pipe that nobody reads, and nobody closes."""
    reads, writes = os.pipe()
    try:
        yield writes
    finally:
        os.close(reads)
        os.close(writes)


async def test_a_flood_costs_no_memory_and_no_other_console_waits_for_it(
    lxc: Libvirtd,
    libvirtd: Libvirtd,
    start_talker: StartGuest,
    boot_guest: StartGuest,
    daemon: StartDaemon,
) -> None:
    flooding, beside = await start_talker(lxc), await boot_guest(libvirtd)
    name = flooding.name
    mux = await daemon(lxc.uri, libvirtd.uri)
    with ExitStack() as stack:
        commands = {
            "attach on a terminal": going_on(mux, "attach", name, stdout=stack.enter_context(terminal())),
            "attach in a pipe that nobody reads": going_on(mux, "attach", name, stdout=stack.enter_context(unread())),
            "log": going_on(mux, "log", "-f", name),
            "expect": going_on(mux, "expect", name, "never"),
            "events": going_on(mux, "events", "--json"),
        }
        pids = {"virtmuxd": mux.pid, **{what: stack.enter_context(each) for what, each in commands.items()}}
        async with follow(mux.socket, beside.name) as neighbour:
            await neighbour.until_attached()
            way = on_the_way(mux, beside)
            quiet = await quiet_echoes(neighbour, way=way)
            async with follow(mux.socket, name, replay="all") as typist:
                await typist.until_output(GREETING)
                await mux.until_listed(name, clients=5)
                await typist.console.send(FLOOD)
            async with echoing(neighbour, way) as meanwhile:
                await asyncio.sleep(GROWS_FOR)
                before, printed = memory(pids), await said(mux, name)
                await asyncio.sleep(FLOODS_FOR - GROWS_FOR)
                after, printed = memory(pids), await said(mux, name) - printed
            async with follow(mux.socket, name) as typist:
                await typist.write(STOP_FLOODING)
                await typist.until_output(FLOODED)
    rate = printed / MIB / (FLOODS_FOR - GROWS_FOR)
    grown = {what: after[what] - before[what] for what in pids}
    figures = f"{rate:.1f} MiB/s; memory in KiB, and what it grew by: " + ", ".join(
        f"{what} {after[what]} ({grown[what]:+})" for what in pids
    )
    print(figures)
    assert rate > 1, figures
    assert all(each < GROWN_KIB for each in grown.values()), figures
    meanwhile.hold_against(quiet)


def memory(pids: dict[str, int]) -> dict[str, int]:
    """What these processes have now that is not shared with files, in KiB."""
    return {what: kib(Path(f"/proc/{pid}/status"), "RssAnon") for what, pid in pids.items()}


async def said(mux: Daemon, name: str) -> int:
    """How many bytes a console has said."""
    async with virtmux.connect(mux.socket) as client:
        infos = await client.consoles()
    return next(virtmux.Position.parse(info.position).offset for info in infos if info.id.domain == name)
