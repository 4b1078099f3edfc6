"""The matrix, guests and consoles: whatever happens to them, everybody at the console is told the truth, exactly once.

Three small tables: what ends a console, what ends nothing, and what cannot be opened at all. Each row is a real event on
a real libvirtd and a real guest. One virtmuxd lives through all of them, and a bystander's console notices nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.harness.daemon import Daemon
from tests.harness.follower import Follower, follow
from tests.harness.guest import POWER_OFF, boot_sector_guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.matrix import Row, Scene, open_scene, play
from tests.harness.terminal import Terminal
from tests.integration.conftest import guest_factory
from virtmux import Cause

pytestmark = pytest.mark.asyncio(loop_scope="module")


# What happens: entered, it happens; left, the console can come back.


@asynccontextmanager
async def shutdown_from_inside(scene: Scene) -> AsyncIterator[None]:
    await scene.clients[0].write(POWER_OFF)
    yield
    await scene.guest.start()


@asynccontextmanager
async def destroyed(scene: Scene) -> AsyncIterator[None]:
    await scene.guest.destroy()
    yield
    await scene.guest.start()


@asynccontextmanager
async def qemu_killed(scene: Scene) -> AsyncIterator[None]:
    scene.guest.kill_qemu()
    yield
    await scene.guest.start()


@asynccontextmanager
async def taken_over(scene: Scene) -> AsyncIterator[None]:
    arguments = ["-c", scene.guest.libvirtd.uri, "console", "--force", scene.guest.name]
    async with Terminal("virsh", arguments) as thief:
        await thief.expect(b"Escape character is")
        yield
        thief.send(b"\x1d")
        await thief.exit()


ENDS = [
    Row(
        "shutdown from inside",
        shutdown_from_inside,
        Cause.GUEST_SHUTDOWN,
        exit_status=10,
        event=("STOPPED", "SHUTDOWN"),
    ),
    Row("destroy", destroyed, Cause.GUEST_DESTROYED, exit_status=10, event=("STOPPED", "DESTROYED")),
    Row("QEMU killed", qemu_killed, Cause.GUEST_FAILED, exit_status=11, event=("STOPPED", "FAILED")),
    Row(
        "taken over by force",
        taken_over,
        Cause.CONSOLE_TAKEN_OVER,
        exit_status=8,
        error=("VIR_ERR_RPC", "VIR_FROM_STREAMS"),
    ),
]


class Stage(NamedTuple):
    """What all rows share."""

    libvirtd: Libvirtd
    mux: Daemon
    bystander: Follower


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(libvirtd: Libvirtd) -> AsyncIterator[Stage]:
    mux = Daemon([libvirtd.uri])
    async with guest_factory(libvirtd, boot_sector_guest) as start:
        other = await start(libvirtd)
        await mux.start()
        try:
            async with follow(mux.socket, other.name) as bystander:
                yield Stage(libvirtd, mux, bystander)
        finally:
            await mux.close()


@pytest.mark.parametrize("row", ENDS, ids=str)
async def test_what_ends_a_console_is_told_truly_and_once(row: Row, stage: Stage) -> None:
    async with guest_factory(stage.libvirtd, boot_sector_guest) as start:
        guest = await start(stage.libvirtd, state="paused", **row.guest)
        async with open_scene(stage.mux, guest, stage.bystander) as scene:
            await play(row, scene)
