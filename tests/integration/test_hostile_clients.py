"""Clients that are broken or mean harm: each harms itself alone, and nothing of it is left.

Who is at the console meanwhile keeps every byte, and waits no longer for an echo.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.harness.attacks import ATTACKS
from tests.harness.counts import seed
from tests.harness.daemon import Daemon
from tests.harness.echo import Echoes, echoing, on_the_way, quiet_echoes
from tests.harness.follower import PATIENCE, Follower
from tests.harness.guest import Guest, boot_sector_guest
from tests.harness.journal_writer import EPOCH, JournalWriter
from tests.harness.libvirtd import Libvirtd
from tests.harness.processes import ended, python_path
from tests.integration.conftest import bystanding, guest_factory
from virtmux.records import Note, rfc3339

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: A console is let go at once; who says nothing is sent away after a second.
CONFIG = "linger = 0\n[limits]\nhandshake = 1\n"
#: How much longer an echo may take: that so many come at once keeps a processor busy for a second.
TIMES = {"thousands": 2.5}
#: Marks that are stored of a guest that rebooted over and over, and is undefined by now.
STORED = 20_000
#: What the allocators may keep, in KiB, of an attack that was made before; and, by chance, of one for which some 12 MiB
#: of marks are read in a thread, mostly 1 to 3 MiB. That no object is left, the census says.
KEPT_KIB, READ_KIB = 8192, 16384


class Attacked(NamedTuple):
    """A daemon, who is at a console of it, the processes on the way there, and how long echoes take when all is quiet;
    and a guest beside it that is paused."""

    mux: Daemon
    guest: Guest
    paused: Guest
    bystander: Follower
    way: set[int]
    quiet: Echoes

    async def attack(self, name: str) -> int:
        """Have it made, by a process of its own; gives how many connections it made."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.harness.attacks",
            name, self.mux.socket, self.guest.name, self.paused.name, str(seed()),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": python_path()},
        )  # fmt: skip
        said, _ = await ended(process, seconds=4 * PATIENCE)
        assert process.returncode == 0
        return int(said)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacked(libvirtd: Libvirtd) -> AsyncIterator[Attacked]:
    """One for all attacks."""
    mux = Daemon([libvirtd.uri], config=CONFIG, watched=True)
    writer = JournalWriter(mux.journal)
    writer.begin()
    writer.marks(STORED, Note(rfc3339(EPOCH), "rebooted"))
    async with (
        guest_factory(libvirtd, boot_sector_guest) as start,
        bystanding(libvirtd, mux) as (guest, bystander),
    ):
        paused = await start(libvirtd, state="paused")
        way = on_the_way(mux, guest)
        yield Attacked(mux, guest, paused, bystander, way, await quiet_echoes(bystander, way=way))


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_harms_nobody_else_and_leaves_nothing_behind(attacked: Attacked, name: str) -> None:
    for _ in range(2):
        await attacked.attack(name)  # what it has imported, cached and laid out stays
    before = await attacked.mux.watch.with_clients(1)
    memory, seen = attacked.mux.anonymous_kib, len(attacked.bystander.output)
    async with echoing(attacked.bystander, attacked.way) as echoes:
        assert await attacked.attack(name) > 0

    echoes.hold_against(attacked.quiet, TIMES.get(name, 1.0))
    assert attacked.bystander.output[seen:] == b"." * (len(attacked.bystander.output) - seen)
    assert not attacked.bystander.gaps
    assert not attacked.bystander.reasons
    after = await attacked.mux.watch.settled(before)
    assert not after.more_than(before), after.grown(before)
    assert attacked.mux.anonymous_kib - memory < (READ_KIB if name == "looking_back" else KEPT_KIB)
