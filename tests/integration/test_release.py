"""A console that is released: free for others while that lasts, and taken back without force."""

import asyncio
import time

from tests.harness.daemon import Daemon
from tests.harness.follower import PATIENCE, follow
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import ESCAPE, at_terminal
from tests.harness.virsh_console import virsh_console
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Cause


async def _released(mux: Daemon, domain: str) -> object:
    return next(row["released"] for row in await mux.consoles() if row["id"]["domain"] == domain)


async def test_while_a_command_runs_the_console_is_its_own(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, attach="always")
    virsh = ["virsh", "-c", libvirtd.uri, "console", guest.name]
    async with follow(mux.socket, guest.name) as watcher:
        await watcher.until_attached()
        async with at_terminal(mux.socket, "release", guest.name, "--", *virsh) as person:
            await person.expect(b"Escape character is")
            assert await _released(mux, guest.name) == "while-in-use"
            person.send(ESCAPE)
            status, _ = await person.exit()
        assert status == 0
        await watcher.until(lambda one: one.console.attachment == 2)
    assert [reason.cause for reason in watcher.reasons] == [Cause.CONSOLE_RELEASED]
    assert await _released(mux, guest.name) is None


async def test_a_release_lasts_over_a_restart_until_it_is_reclaimed(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, attach="always")
    async with follow(mux.socket, guest.name) as watcher:
        await watcher.until_attached()
        assert await mux.run_client("release", guest.name) == (0, b"", "")
        await watcher.until_ended()
        await mux.stop()
        await mux.start()
        assert await _released(mux, guest.name) == "until-reclaimed"
        assert await mux.run_client("reclaim", guest.name, seconds=PATIENCE) == (0, b"", "")
        await watcher.until_attached()
    assert [reason.cause for reason in watcher.reasons] == [Cause.CONSOLE_RELEASED]


async def test_when_its_time_is_over_a_released_console_is_taken_back_as_soon_as_it_is_free(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, attach="always")
    async with follow(mux.socket, guest.name) as watcher:
        await watcher.until_attached()
        assert await mux.run_client("release", guest.name, "--for", "2") == (0, b"", "")
        async with virsh_console(guest) as person:
            await watcher.until(lambda one: len(one.reasons) == 2)
            assert await _released(mux, guest.name) is None
            person.send(b"still mine")
            await person.expect(b"still mine")
            person.send(ESCAPE)
            status, _ = await person.exit()
        assert status == 0
        await watcher.until_attached()
        await watcher.echo(b"=back=")
    assert [reason.cause for reason in watcher.reasons] == [Cause.CONSOLE_RELEASED, Cause.CONSOLE_BUSY]


async def test_a_release_with_an_end_lasts_over_a_crash_and_is_over_when_its_time_is(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, attach="always")
    async with follow(mux.socket, guest.name) as watcher:
        await watcher.until_attached()
        assert await mux.run_client("release", guest.name, "--for", "1h") == (0, b"", "")
        until = await _released(mux, guest.name)
        await mux.kill()
        await mux.start()
        assert await _released(mux, guest.name) == until
        async with virsh_console(guest):
            pass

        assert await mux.run_client("release", guest.name, "--for", "2") == (0, b"", "")
        over = time.time() + 2
        await mux.kill()
        await asyncio.sleep(over - time.time())  # until the time that the daemon was told is over
        await mux.start()
        await watcher.until_attached()
        assert await _released(mux, guest.name) is None
    assert [reason.cause for reason in watcher.reasons] == [Cause.CONSOLE_RELEASED]
