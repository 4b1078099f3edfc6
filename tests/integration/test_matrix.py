"""The matrix, guests: whatever happens to one, everybody at its console is told the truth, exactly once.

Two tables: what ends a console, and what ends nothing; then what happens while a guest is off. Each row is a real event
on a real libvirtd and a real guest. One virtmuxd lives through all, and a bystander's console notices nothing.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import pytest

from tests.harness.command import running
from tests.harness.counts import count
from tests.harness.follower import PATIENCE, Follower, boot, follow
from tests.harness.guest import BANNER, PANIC, POWER_OFF, RESET, Guest
from tests.harness.libvirtd import VirshError
from tests.harness.matrix import (
    DESTROYED,
    FAILED,
    SAVED,
    SHUTDOWN,
    TAKEN_OVER,
    Row,
    Scene,
    Told,
    decode,
    open_scene,
    play,
    told,
)
from tests.harness.privilege import send_signal
from tests.harness.terminal import ESCAPE
from tests.harness.virsh_console import virsh_console
from tests.integration.conftest import Stage
from virtmux import Attached, Cause, Note, Phase

pytestmark = pytest.mark.asyncio(loop_scope="module")

PANIC_DEVICE = "<panic model='isa'/>"
VIRTIO_CONSOLE = "<console type='pty'><target type='virtio' port='1'/></console>"

# What ends a console.


@asynccontextmanager
async def shutdown_from_inside(scene: Scene) -> AsyncIterator[None]:
    await scene.clients[0].press(POWER_OFF)
    yield
    await scene.guest.start()


@asynccontextmanager
async def power_button(scene: Scene) -> AsyncIterator[None]:
    await scene.virsh("shutdown")
    yield
    await scene.guest.start()


@asynccontextmanager
async def destroy(scene: Scene) -> AsyncIterator[None]:
    await scene.guest.destroy()
    yield
    await scene.guest.start()


@asynccontextmanager
async def managed_save(scene: Scene) -> AsyncIterator[None]:
    await scene.virsh("managedsave")
    yield
    await scene.guest.start()
    await scene.clients[0].until_attached()
    await scene.clients[0].write(b"restored")  # without a boot, so without a banner
    await scene.clients[1].until(lambda one: one.output.endswith(b"ready\r\nrestored"))


@asynccontextmanager
async def panic(scene: Scene) -> AsyncIterator[None]:
    await scene.clients[0].press(PANIC)
    yield
    await scene.guest.start()


@asynccontextmanager
async def kill_qemu(scene: Scene) -> AsyncIterator[None]:
    scene.guest.kill_qemu()
    yield
    await scene.guest.start()


@asynccontextmanager
async def revert_to_snapshot(scene: Scene) -> AsyncIterator[None]:
    await scene.virsh("snapshot-create-as", "before")
    await scene.virsh("snapshot-revert", "before")  # ends QEMU and starts it from the snapshot
    yield


@asynccontextmanager
async def unplug(scene: Scene) -> AsyncIterator[None]:
    await scene.virsh("detach-device-alias", "console1")
    yield
    xml = scene.guest.libvirtd.base / "device.xml"
    xml.write_text(VIRTIO_CONSOLE)
    await scene.virsh("attach-device", xml)


@asynccontextmanager
async def take_over(scene: Scene) -> AsyncIterator[None]:
    async with virsh_console(scene.guest, "--force") as thief:
        yield
        thief.send(ESCAPE)
        await thief.exit()


ENDS = [
    Row("shutdown from inside", shutdown_from_inside, SHUTDOWN),
    Row("virsh shutdown, by ACPI", power_button, SHUTDOWN),
    Row("virsh destroy", destroy, DESTROYED),
    Row("virsh managedsave, then restored", managed_save, SAVED),
    Row(
        "panic, on_crash destroy",
        panic,
        Told(Cause.GUEST_CRASHED, 11, event=("STOPPED", "CRASHED")),
        guest={"extra_devices": PANIC_DEVICE},
    ),
    Row("QEMU killed", kill_qemu, FAILED),
    Row(
        "reverted to a snapshot",
        revert_to_snapshot,
        Told(Cause.GUEST_REVERTED, 10, event=("STOPPED", "FROM_SNAPSHOT")),
        guest={"snapshots": True},
    ),
    Row(
        "virtio console unplugged, then plugged in again",
        unplug,
        Told(Cause.DEVICE_REMOVED, 10, event=("DEVICE_REMOVED", "console1")),
        guest={"extra_devices": VIRTIO_CONSOLE},
        device="console1",
    ),
    Row("taken over by force", take_over, TAKEN_OVER),
]


@pytest.mark.parametrize("row", ENDS, ids=str)
async def test_what_ends_a_console_is_told_truly_and_once(row: Row, stage: Stage) -> None:
    guest = await stage.start(stage.libvirtd, state="paused", **row.guest)
    async with open_scene(stage.mux, guest, stage.bystander, device=row.device) as scene:
        await play(row, scene)


# What ends nothing.


def booted_twice(client: Follower) -> bool:
    """Only a guest that has booted listens."""
    return client.output.count(BANNER) == 2


async def reboot_from_inside(guest: Guest, client: Follower) -> None:
    await client.press(RESET)
    await client.until(booted_twice)


async def reset(guest: Guest, client: Follower) -> None:
    await guest.reset()
    await client.until(booted_twice)


async def suspend_and_resume(guest: Guest, client: Follower) -> None:
    await guest.suspend()
    await guest.resume()


async def stop_and_continue_qemu(guest: Guest, client: Follower) -> None:
    pid = guest.qemu_pid()
    send_signal(pid, signal.SIGSTOP)
    await client.write(b"while stopped")
    send_signal(pid, signal.SIGCONT)
    await client.until_output(b"while stopped")


async def panic_and_restart(guest: Guest, client: Follower) -> None:
    await client.press(PANIC)
    await client.until(booted_twice)


async def panic_and_be_preserved(guest: Guest, client: Follower) -> None:
    await client.press(PANIC)
    await guest.until("crashed (panicked)")
    await guest.resume()
    await guest.reset()  # else its processor halts for ever
    await client.until(booted_twice)


@dataclass(frozen=True)
class NoEnd:
    """Something that happens to a running guest and ends nothing: the notes that it makes.

    libvirt leaves open in which order, and how often; and those in `perhaps` depend on how busy it is.
    """

    name: str
    happen: Callable[[Guest, Follower], Awaitable[None]]
    notes: set[str]
    perhaps: set[str] = field(default_factory=set)
    guest: dict[str, Any] = field(default_factory=dict)


ENDS_NOTHING = [
    NoEnd("reboot from inside", reboot_from_inside, {"rebooted"}),
    NoEnd("virsh reset", reset, {"rebooted"}),
    NoEnd("virsh suspend and resume", suspend_and_resume, {"paused: PAUSED", "resumed: UNPAUSED"}),
    NoEnd("QEMU stopped and continued by signals", stop_and_continue_qemu, set()),
    NoEnd(
        "panic, on_crash restart",
        panic_and_restart,
        {"crashed: PANICKED", "rebooted", "resumed: UNPAUSED"},
        perhaps={"paused: PAUSED"},
        guest={"extra_devices": PANIC_DEVICE, "on_crash": "restart"},
    ),
    NoEnd(
        "panic, on_crash preserve, resumed and reset",
        panic_and_be_preserved,
        {"crashed: PANICKED", "resumed: UNPAUSED", "rebooted"},
        perhaps={"paused: PAUSED"},
        guest={"extra_devices": PANIC_DEVICE, "on_crash": "preserve"},
    ),
]


def told_notes(client: Follower) -> list[str]:
    return [f"{mark.note}: {mark.detail}" if mark.detail else mark.note for mark in client.marks(Note)]


@pytest.mark.parametrize("row", ENDS_NOTHING, ids=lambda row: row.name)
async def test_what_ends_nothing_is_a_note(row: NoEnd, stage: Stage) -> None:
    guest = await stage.start(stage.libvirtd, state="paused", **row.guest)
    socket = stage.mux.socket
    async with (
        follow(socket, guest.name) as client,
        follow(socket, guest.name) as other,
        running(socket, "attach", "--once", guest.name, "--from", "0") as command,
    ):
        await client.until_attached()
        await guest.resume()  # the first note
        await client.until_output(BANNER)
        assert await command.read(len(BANNER)) == BANNER
        await row.happen(guest, client)
        command.type(b"goes on")
        for one in (client, other):
            await one.until_output(b"goes on")
            await one.until(lambda one: row.notes <= set(told_notes(one)[1:]))
            assert set(told_notes(one)[1:]) <= row.notes | row.perhaps
            assert not one.reasons
            assert len(one.marks(Attached)) <= 1
        rest = client.output.removeprefix(BANNER)
        assert await command.read(len(rest)) == rest
        assert command.process.returncode is None


async def test_a_guest_that_panicked_and_is_preserved_is_paused(stage: Stage) -> None:
    guest = await stage.start(stage.libvirtd, state="paused", extra_devices=PANIC_DEVICE, on_crash="preserve")
    async with follow(stage.mux.socket, guest.name) as client:
        await boot(guest, client, says=BANNER)
        await client.press(PANIC)
        await client.until(lambda one: "crashed: PANICKED" in told_notes(one))
        (listed,) = [each for each in await stage.mux.consoles() if each["id"]["domain"] == guest.name]
        assert (listed["state"], listed["paused"]) == ("attached", True)


# What happens to a guest that is off, while somebody waits for it.


async def test_a_guest_that_is_undefined_ends_the_waiting(stage: Stage) -> None:
    guest = await stage.start(stage.libvirtd, state="defined")
    async with (
        follow(stage.mux.socket, guest.name) as client,
        running(stage.mux.socket, "attach", guest.name, "--wait", "--json") as command,
    ):
        assert decode(await command.line()).cause is Cause.GUEST_NOT_RUNNING
        await guest.undefine()
        reason = await client.until_ended()
        gone = Told(Cause.GUEST_UNDEFINED, 3, Phase.LIFECYCLE, event=("UNDEFINED", "REMOVED"), will_retry=False)
        assert told(reason) == gone
        status, talk = await command.end()
        assert (status, decode(talk)) == (3, reason)


async def test_a_guest_that_is_renamed_is_the_same_guest(stage: Stage) -> None:
    guest = await stage.start(stage.libvirtd, state="defined")
    async with follow(stage.mux.socket, guest.name) as client:
        old_name = guest.name
        await guest.rename(f"{old_name}-renamed")
        await client.until(lambda one: told_notes(one) == [f"renamed: {old_name} to {guest.name}"])
        await guest.start()
        await client.until_attached()
        assert not client.reasons
        async with follow(stage.mux.socket, guest.name) as by_new_name:
            assert by_new_name.console.position.history == client.console.position.history


async def test_a_guest_that_starts_is_attached_by_those_who_wait(stage: Stage) -> None:
    guest = await stage.start(stage.libvirtd, state="defined")
    async with (
        follow(stage.mux.socket, guest.name) as client,
        running(stage.mux.socket, "attach", guest.name, "--wait", "--json") as command,
    ):
        assert decode(await command.line()).cause is Cause.GUEST_NOT_RUNNING
        await guest.start(paused=True)
        await client.until_attached()
        await guest.resume()
        assert await command.read(len(BANNER)) == BANNER
        command.type(b"attached")
        assert await command.read(len(b"attached")) == b"attached"


# One end after the other.


async def destroy_and_start(guest: Guest) -> None:
    await guest.libvirtd.virsh(f"destroy {guest.name}; start {guest.name}")


async def save_and_start(guest: Guest) -> None:
    await guest.libvirtd.virsh(f"managedsave {guest.name}; start {guest.name}")


async def kill_and_start(guest: Guest) -> None:
    guest.kill_qemu()
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await guest.start()
            except VirshError as error:
                if "already active" not in str(error):  # libvirt has not seen yet that it is gone
                    raise


AT_ONCE = [(destroy_and_start, DESTROYED), (save_and_start, SAVED), (kill_and_start, FAILED)]


async def test_a_guest_that_ends_and_is_started_at_once_has_an_end_of_its_own_for_every_start(stage: Stage) -> None:
    guest = await stage.start(stage.libvirtd)
    ends = list(islice(cycle(AT_ONCE), count(3, 20)))
    async with follow(stage.mux.socket, guest.name) as first, follow(stage.mux.socket, guest.name) as second:
        clients = (first, second)
        for number, (end_and_start, _) in enumerate(ends, 1):
            for client in clients:
                await client.until_attached()
            await end_and_start(guest)
            for client in clients:
                await client.until(lambda one, number=number: len(one.reasons) == number)  # type: ignore[misc]
        for client in clients:
            await client.until_attached()
            assert [told(reason) for reason in client.reasons] == [expected for _, expected in ends]
            ended = [reason.console.incarnation for reason in client.reasons if reason.console]
            assert ended == list(range(1, len(ends) + 1))
            assert [mark.incarnation for mark in client.marks(Attached)][-len(ends) :] == [one + 1 for one in ended]
