"""A console that virsh holds is taken by force by whom a person tells to, once, and left alone by everybody else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.harness.follower import follow
from tests.harness.guest import Guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import Terminal
from tests.harness.virsh_console import virsh_console
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Cause, connect


@asynccontextmanager
async def virsh_at(guest: Guest, *flags: str) -> AsyncIterator[Terminal]:
    """Somebody uses the console by virsh: the guest has answered."""
    async with virsh_console(guest, *flags) as virsh:
        virsh.send(b"mine")
        await virsh.expect(b"mine")
        yield virsh


async def test_without_force_virsh_keeps_the_console(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with virsh_at(guest) as virsh, connect(mux.socket) as client, client.attach(guest.name) as console:
        assert console.place.reason is not None
        assert console.place.reason.cause is Cause.CONSOLE_BUSY
        virsh.send(b"still mine")
        await virsh.expect(b"still mine")


async def test_with_force_it_is_taken_for_all_who_wait_and_virsh_is_told(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with virsh_at(guest) as virsh, follow(mux.socket, guest.name) as waiter, connect(mux.socket) as client:
        async with client.attach(guest.name, force=True) as console:
            assert (console.place.reason, console.place.info.attachment) == (None, 1)
            status, last_words = await virsh.exit()
            assert status == 1
            assert b"error: " in last_words
        await waiter.until_attached()
        await waiter.echo(b"=ours=")
    await mux.until_logged("a console is taken by force")


async def test_what_somebody_takes_back_is_not_taken_again(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with (
        virsh_at(guest),
        connect(mux.socket) as client,
        client.attach(guest.name, force=True),
        follow(mux.socket, guest.name) as watcher,
    ):
        assert watcher.console.attachment == 1
        async with virsh_at(guest, "--force") as again:
            await watcher.until(lambda one: Cause.CONSOLE_TAKEN_OVER in [each.cause for each in one.reasons])
            again.send(b"and still")
            await again.expect(b"and still")
    await mux.stop()
    assert mux.log.count("a console is taken by force") == 1
