"""The matrix, consoles: those that somebody else holds or takes, those that cannot be opened, and many of one guest.

One virtmuxd lives through all of it, and a bystander's console notices nothing.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.harness.counts import REPEAT, count
from tests.harness.domain_xml import NOT_A_PTY, no_pty_xml
from tests.harness.follower import follow
from tests.harness.guest import FLOOD, PROMPT, Guest, linux_guest
from tests.harness.matrix import MISSING, SHUTDOWN, TAKEN_OVER, Row, Scene, Told, open_scene, play, refusal, told
from tests.harness.privilege import run_as_root
from tests.harness.terminal import Terminal
from tests.harness.virsh_console import held_by_virsh, virsh_console
from tests.integration.conftest import Stage, State, guest_factory
from virtmux import Cause, Phase

pytestmark = pytest.mark.asyncio(loop_scope="module")

VIRTIO_CONSOLE = "<console type='pty'><target type='virtio' port='1'/></console>"

#: Seconds within which everybody is told of a takeover, even where libvirtd tells nobody.
TAKEOVER_TOLD = 15.0


@asynccontextmanager
async def take_over_in_a_flood(scene: Scene) -> AsyncIterator[None]:
    await scene.clients[0].write(FLOOD)
    for client in scene.clients:
        await client.until_output(b"line 00000100")
    async with virsh_console(scene.guest, "--force"):
        async with asyncio.timeout(TAKEOVER_TOLD):
            await scene.reason()
        yield


#: Where libvirtd says nothing.
FOUND_BY_THE_PROBE = replace(TAKEN_OVER, phase=Phase.SEND, error=None)
IN_A_FLOOD = Row("taken over in a flood", take_over_in_a_flood, TAKEN_OVER, or_told=FOUND_BY_THE_PROBE)


async def test_a_console_taken_over_while_the_guest_floods_is_told_in_time(
    stage: Stage, progress: Callable[[str], None]
) -> None:
    turns, found = count(3, 30), 0
    for turn in range(1, 10 * turns + 1):
        guest = await stage.start(stage.libvirtd, state="paused")
        async with open_scene(stage.mux, guest, stage.bystander) as scene:
            reason = await play(IN_A_FLOOD, scene)
        await guest.destroy()
        found += told(reason) == FOUND_BY_THE_PROBE
        progress(f"{turn} of {turns} told in time, {found} of them found by the probe")
        if turn >= turns and (found or not REPEAT):
            return
    pytest.fail("libvirtd was silent not once")


# Consoles that somebody else holds.


@asynccontextmanager
async def locked(guest: Guest) -> AsyncIterator[None]:
    """As by minicom, cu or ppp; libvirt looks whether the process lives that the lock names."""
    tty = (await guest.libvirtd.virsh("ttyconsole", guest.name)).removeprefix("/dev")
    lock = guest.libvirtd.locks / f"LCK..{tty.replace('/', '_')}"
    run_as_root("sh", "-c", f"printf '%10d\n' {os.getpid()} >{lock}")
    try:
        async with Terminal("virsh", ["-c", guest.libvirtd.uri, "console", guest.name, "--force"]) as virsh:
            assert b"is locked by lock file" in (await virsh.exit())[1], "force does not help"
        yield
    finally:
        run_as_root("rm", lock)


class Held(NamedTuple):
    """Who holds the console before virtmux asks for it, and what libvirt says to that."""

    name: str
    hold: Callable[[Guest], AbstractAsyncContextManager[None]]
    told: Told
    message: str


def busy(error_domain: str) -> Told:
    return Told(Cause.CONSOLE_BUSY, 8, Phase.OPEN, error=("VIR_ERR_OPERATION_FAILED", error_domain))


HELD = [
    Held("virsh console", held_by_virsh, busy("VIR_FROM_QEMU"), "Active console session exists for this domain"),
    Held("a UUCP lock", locked, busy("VIR_FROM_NONE"), "is locked by lock file"),
]


@pytest.mark.parametrize("row", HELD, ids=lambda row: row.name)
async def test_a_console_held_by_somebody_else_is_busy_until_it_is_free(row: Held, stage: Stage) -> None:
    guest = await stage.start(stage.libvirtd)
    async with AsyncExitStack() as stack:
        async with row.hold(guest):
            first = await stack.enter_async_context(follow(stage.mux.socket, guest.name))
            second = await stack.enter_async_context(follow(stage.mux.socket, guest.name))
            places = [client.console.place.reason for client in (first, second)]
            for reason in (*places, await first.until_ended(), await refusal(stage.mux, guest.name)):
                assert reason is not None
                assert told(reason) == row.told
                assert reason.error is not None
                assert row.message in reason.error.message
        for client in (first, second):
            await client.until_attached()
        assert len(first.reasons) == 1
        assert not second.reasons, "what its answer said is not said again"


# What cannot be opened.


async def test_a_device_that_is_no_pty_is_no_console(stage: Stage, tmp_path: Path) -> None:
    guest = await stage.start(stage.libvirtd, extra_devices=no_pty_xml(tmp_path))
    error = ("VIR_ERR_INTERNAL_ERROR", "VIR_FROM_QEMU")
    no_pty = Told(Cause.CONSOLE_NOT_PTY, 3, Phase.OPEN, error=error, will_retry=False)

    async def attach(device: str) -> None:
        reason = await refusal(stage.mux, f"{guest.name}:{device}")
        assert told(reason) == no_pty
        assert reason.error is not None
        assert reason.error.message == f"internal error: character device {device} is not using a PTY"

    async with asyncio.TaskGroup() as tasks:
        for port in range(1, len(NOT_A_PTY) + 1):
            tasks.create_task(attach(f"serial{port}"))


class NoConsole(NamedTuple):
    """A console that is asked for in vain."""

    name: str
    device: str
    told: Told
    state: State = "running"


NO_CONSOLE = [
    NoConsole("a guest that is off", "", Told(Cause.GUEST_NOT_RUNNING, 9, Phase.LIFECYCLE), "defined"),
    NoConsole("no such device", ":serial7", MISSING),
]


@pytest.mark.parametrize("row", NO_CONSOLE, ids=lambda row: row.name)
async def test_what_cannot_be_opened_is_said_at_once(row: NoConsole, stage: Stage) -> None:
    guest = await stage.start(stage.libvirtd, state=row.state)
    assert told(await refusal(stage.mux, guest.name + row.device)) == row.told


async def test_a_guest_without_a_console_has_none(stage: Stage) -> None:
    guest = await stage.start(stage.libvirtd, state="defined")
    bare = re.sub("<(serial|console).*</\\1>", "", guest.xml)
    await stage.libvirtd.define(guest.name, bare)
    await guest.start()
    assert told(await refusal(stage.mux, guest.name)) == MISSING


# Many consoles of one guest.

FOUR_CONSOLES = f"""
<serial type='pty'><log file='{{log}}'/><target port='1'/></serial>
<serial type='pty'><target type='pci-serial' port='2'/></serial>
{VIRTIO_CONSOLE}"""


async def test_the_consoles_of_one_guest_end_each_by_itself_or_all_together(stage: Stage) -> None:
    async with guest_factory(stage.libvirtd, linux_guest) as start, AsyncExitStack() as stack:
        log = stage.libvirtd.base / "serial1.log"
        guest = await start(stage.libvirtd, state="paused", extra_devices=FOUR_CONSOLES.format(log=log))
        consoles = {
            device: await stack.enter_async_context(follow(stage.mux.socket, guest.name, device))
            for device in ("serial0", "serial1", "serial2", "console1")
        }
        for client in consoles.values():
            await client.until_attached()
        await guest.resume()
        shell, second, on_pci, _ = consoles.values()
        await shell.until_output(PROMPT)
        await shell.write(b"for port in 1 2; do (echo this is $port; exec cat) <>/dev/ttyS$port >&0 & done\r")
        for port, client in enumerate((second, on_pci), 1):
            await client.until_output(b"this is %d\r\n" % port)
            await client.write(b"typed at %d\r" % port)
            await client.until_output(b"typed at %d\r\n" % port * 2)
        assert "this is 1\n" in run_as_root("cat", log)

        await stage.libvirtd.virsh("detach-device-alias", guest.name, "serial2")
        unplugged = Told(Cause.DEVICE_REMOVED, 10, event=("DEVICE_REMOVED", "serial2"))
        assert told(await on_pci.until_ended()) == unplugged

        await shell.press(b"poweroff -f\r")
        for device, client in consoles.items():
            ends = [unplugged, replace(SHUTDOWN, phase=Phase.LIFECYCLE)] if client is on_pci else [SHUTDOWN]
            await client.until(lambda one, ends=ends: len(one.reasons) == len(ends))  # type: ignore[misc]
            seen = [told(reason) for reason in client.reasons]
            if client is on_pci and seen[-1].phase is Phase.OPEN:  # the unplugged one is asked for again at times
                seen[-1] = replace(seen[-1], phase=Phase.LIFECYCLE, error=None)
            assert seen == ends
            last = client.reasons[-1]
            assert last.console is not None
            assert last.console.device == device
            assert last.offset == len(client.output)
