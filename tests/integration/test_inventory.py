"""Which consoles there are: domains that come, go, change and end while nobody looks."""

import asyncio
import os
import signal
from pathlib import Path

from tests.harness.command import running
from tests.harness.follower import PATIENCE, follow
from tests.harness.guest import BANNER, Guest, boot_sector_guest
from tests.harness.libvirtd import LOOK_AGAIN_S, Libvirtd
from tests.harness.terminal import ESCAPE
from tests.harness.virsh_console import virsh_console
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Cause

VIRTIO_CONSOLE = "<console type='pty'><target type='virtio' port='1'/><alias name='ua-again'/></console>"


async def create(libvirtd: Libvirtd, guest: Guest, directory: Path) -> None:
    """Start the guest as a transient domain, which exists only while it runs."""
    xml = directory / "transient.xml"
    xml.write_text(guest.xml)
    await libvirtd.virsh("create", xml)


async def test_a_guest_that_is_defined_and_started_at_once_is_held_from_its_first_boot(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    mux = await daemon(libvirtd.uri, attach="always")
    guests = [await boot_guest(libvirtd) for _ in range(5)]
    for guest in guests:
        await mux.until_listed(guest.name, state="attached")


async def test_a_transient_guest_that_ends_is_gone_and_its_watchers_know(
    libvirtd: Libvirtd, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = boot_sector_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    await create(libvirtd, guest, tmp_path)
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
        await guest.destroy()
        await client.until(lambda one: len(one.reasons) == 2)
        assert [reason.cause for reason in client.reasons] == [Cause.GUEST_DESTROYED, Cause.GUEST_UNDEFINED]
    assert guest.name not in [row["id"]["domain"] for row in await mux.consoles()]


async def test_a_guest_that_went_while_libvirtd_was_down_is_missed(
    own_libvirtd: Libvirtd, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = boot_sector_guest(own_libvirtd)
    mux = await daemon(own_libvirtd.uri)
    await create(own_libvirtd, guest, tmp_path)
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
        own_libvirtd.kill()
        await client.until_ended()
        guest.kill_qemu()
        own_libvirtd.start()
        await client.until(lambda one: len(one.reasons) == 2)
        assert [reason.cause for reason in client.reasons] == [Cause.HYPERVISOR_LOST, Cause.GUEST_UNDEFINED]


async def test_a_device_that_is_plugged_in_again_at_once_is_attached_again(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = await boot_guest(libvirtd, extra_devices=VIRTIO_CONSOLE)
    mux = await daemon(libvirtd.uri)
    xml = tmp_path / "device.xml"
    xml.write_text(VIRTIO_CONSOLE)
    async with follow(mux.socket, guest.name, "ua-again") as client:
        await client.until_attached()
        os.kill(mux.pid, signal.SIGSTOP)  # when it looks, the device is there as before
        try:
            await libvirtd.virsh("detach-device-alias", guest.name, "ua-again")
            async with asyncio.timeout(PATIENCE):
                while "ua-again" in await libvirtd.virsh("dumpxml", guest.name):
                    await asyncio.sleep(LOOK_AGAIN_S)
            await libvirtd.virsh("attach-device", guest.name, xml)
        finally:
            os.kill(mux.pid, signal.SIGCONT)
        assert (await client.until_ended()).cause is Cause.DEVICE_REMOVED
        await client.until_attached()


async def test_a_console_that_is_lent_stays_so_while_its_domain_is_defined_anew(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, attach="always")
    await mux.until_listed(guest.name, state="attached")
    command = ["release", guest.name, "--", "sh", "-c", "echo lent >&2; read x"]
    async with running(mux.socket, *command) as lending:
        assert await lending.line() == "lent\n"
        await guest.destroy()
        await guest.undefine()
        await guest.define()
        await guest.start()
        await guest.until_booted()
        async with virsh_console(guest) as virsh:
            virsh.send(b"ours")
            await virsh.expect(b"ours")
            virsh.send(ESCAPE)
            await virsh.exit()
        (row,) = [row for row in await mux.consoles() if row["id"]["domain"] == guest.name]
        assert row["released"] == "while-in-use"
        lending.type(b"\n")
        await lending.finish()
    await mux.until_listed(guest.name, state="attached")


async def test_a_second_uri_of_a_known_hypervisor_is_refused_and_harms_nothing(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, f"{libvirtd.uri}&mode=direct")
    async with follow(mux.socket, guest.name) as client:
        await guest.resume()
        await client.until_output(BANNER)
    await mux.until_logged("a second URI of one hypervisor is not served")
    assert len([row for row in await mux.consoles() if row["id"]["domain"] == guest.name]) == 1
