"""A disk that takes nothing: consoles go on, what the journal missed is a gap, and it recovers by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import virtmux
from tests.harness.console_log import ConsoleLog, raw_log
from tests.harness.daemon import Daemon
from tests.harness.flood import flood
from tests.harness.follower import PATIENCE, Follower, follow
from tests.harness.guest import BANNER, Guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.small_disk import SmallDisk, small_disk
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Event

RING = 65536
#: Bytes, while the disk takes nothing: more than the ring holds.
MISSED = 2 * RING
#: The disk of the tests is never empty enough for the usual share.
CONFIG = f'ring = {RING}\njournal_free = 0\njournal_sync = "batch"\n'


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 8 MiB."""
    with small_disk(tmp_path) as made:
        yield made


class Watcher:
    """What is told of all consoles."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Condition()

    async def run(self, mux: virtmux.Client) -> None:
        """Listen."""
        async with aclosing(mux.events()) as happening:
            async for each in happening:
                async with self._news:
                    if isinstance(each, Event):
                        self.events.append(each)
                    self._news.notify_all()

    async def until(self, kind: str) -> Event:
        """Wait for the first event of a kind."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: any(event.event == kind for event in self.events))
        return next(event for event in self.events if event.event == kind)


@asynccontextmanager
async def watching(mux: Daemon) -> AsyncIterator[Watcher]:
    """A watcher, until the context is left."""
    async with virtmux.connect(mux.socket) as client, asyncio.TaskGroup() as tasks:
        watcher = Watcher()
        task = tasks.create_task(watcher.run(client))
        try:
            yield watcher
        finally:
            task.cancel()


async def test_on_a_full_disk_a_console_goes_on_and_its_journal_once_there_is_room(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, disk: SmallDisk
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always", config=CONFIG, journal=disk.journal)
    await _goes_on(guest, mux, disk.fill, disk.make_room, "No space left on device")


async def test_on_a_read_only_disk_a_console_goes_on_and_its_journal_once_it_can_be_written(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, disk: SmallDisk
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always", config=CONFIG, journal=disk.journal)
    await _goes_on(guest, mux, disk.freeze, disk.thaw, "Read-only file system")


async def _goes_on(guest: Guest, mux: Daemon, fail: Callable[[], None], recover: Callable[[], None], why: str) -> None:
    log = ConsoleLog(mux.journal, guest.name)
    async with follow(mux.socket, guest.name) as live, watching(mux) as watcher:
        await guest.resume()
        await log.until_data(BANNER)
        fail()
        await flood(live, MISSED)
        failed = await watcher.until("journal-failed")
        assert failed.detail == why
        assert failed.console.domain == guest.name
        assert await _told(mux) == ("failing", 1, 0)
        assert live.offsets == [(0, len(live.output))], "the console goes on"
        recover()
        await watcher.until("journal-recovered")
        gap = await watcher.until("journal-gap")
        start, end = gap.offset, gap.to_offset
        assert end is not None
        await log.until(lambda log: len(log.data) + end - start == len(live.output))
        await _until_told(mux, ("disk", 1, end - start))
        assert log.data == live.output[:start] + live.output[end:]
        await live.write(b"after")
        await log.until(lambda log: log.data.endswith(b".after"))
        await live.until_output(b".after")
        await _reads_around_the_gap(guest, mux, live, (start, end))


async def _reads_around_the_gap(guest: Guest, mux: Daemon, live: Follower, gap: tuple[int, int]) -> None:
    rest = live.output[: gap[0]] + live.output[gap[1] :]
    async with follow(mux.socket, guest.name, replay="all") as late:
        await late.until_offset(live.console.position.offset)
        assert late.gaps == [gap]
        assert late.output == rest
    for stop in (False, True):
        if stop:
            await mux.stop()
        output, said = await raw_log(mux, guest.name)
        assert output == rest
        assert f"{gap[1] - gap[0]} bytes of output are missing here ({gap[0]} to {gap[1]})" in said


async def _told(mux: Daemon) -> tuple[Any, ...]:
    """What `virtmux list --json` tells of the journal."""
    (console,), (hypervisor,) = await mux.consoles(), await mux.hypervisors()
    counters = hypervisor["counters"]
    return console["journal"], counters["journal_failures"], counters["journal_lost"]


async def _until_told(mux: Daemon, what: tuple[Any, ...]) -> None:
    async with asyncio.timeout(PATIENCE):
        while await _told(mux) != what:
            await asyncio.sleep(0.1)


async def test_a_directory_that_cannot_be_made_is_made_once_it_can(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    obstacle = tmp_path / "obstacle"
    obstacle.write_text("no directory\n")
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always", journal=obstacle / "journal")
    log = ConsoleLog(mux.journal, guest.name)
    async with follow(mux.socket, guest.name) as live, watching(mux) as watcher:
        await guest.resume()
        await live.until_output(BANNER)
        await live.echo(b"early")
        await mux.until_logged("the journal cannot be used")
        assert (await _told(mux))[0] == "failing"
        obstacle.unlink()
        await watcher.until("journal-recovered")
        await log.until_data(BANNER + b"early")
        assert not [event for event in watcher.events if event.event == "journal-gap"]
        await _until_told(mux, ("disk", 1, 0))


async def test_nothing_is_written_where_too_little_of_the_disk_is_free(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, disk: SmallDisk
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always", config="journal_free = 20\n", journal=disk.journal)
    log = ConsoleLog(mux.journal, guest.name)
    async with follow(mux.socket, guest.name) as live, watching(mux) as watcher:
        await guest.resume()
        await log.until_data(BANNER)
        disk.fill(free=1 << 20)
        await live.write(b"meanwhile")
        failed = await watcher.until("journal-failed")
        assert failed.detail == "less than 20% of the file system is free"
        assert b"meanwhile" not in log.data
        disk.make_room()
        await watcher.until("journal-recovered")
        await log.until(lambda log: log.data.endswith(b"meanwhile"))
        assert not [event for event in watcher.events if event.event == "journal-gap"]
        assert await raw_log(mux, guest.name) == (BANNER + b"meanwhile", "")
