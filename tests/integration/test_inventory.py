"""Which consoles there are: domains that come, go, change and end while nobody looks."""

import asyncio
from pathlib import Path

from tests.harness.daemon import Daemon
from tests.harness.follower import PATIENCE, follow
from tests.harness.guest import BANNER, Guest, boot_sector_guest
from tests.harness.libvirtd import Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Cause


async def until_attached(mux: Daemon, domain: str) -> None:
    """Wait until `virtmux events` tells that a console of the domain was attached."""
    events = await mux.client("events", "--json")
    assert events.stdout is not None
    async with asyncio.timeout(PATIENCE):
        async for line in events.stdout:
            rows = [row for row in await mux.consoles() if row["id"]["domain"] == domain]
            if domain.encode() in line and rows and rows[0]["state"] == "attached":
                break
    events.terminate()
    await events.communicate()


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
        await until_attached(mux, guest.name)


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


async def test_a_second_uri_of_a_known_hypervisor_is_refused_and_harms_nothing(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, f"{libvirtd.uri}&mode=direct")
    async with follow(mux.socket, guest.name) as client:
        await guest.resume()
        await client.until_output(BANNER)
    assert "a second URI of one hypervisor is not served" in mux.log
    assert len([row for row in await mux.consoles() if row["id"]["domain"] == guest.name]) == 1
