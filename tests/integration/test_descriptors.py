"""File descriptors that run out: the daemon goes on serving, and says why it lets nobody in."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

import virtmux
from tests.harness.daemon import Daemon
from tests.harness.echo import quiet_echoes
from tests.harness.follower import Follower, boot, follow
from tests.harness.guest import BANNER
from tests.harness.libvirtd import Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Cause

LIMIT = 200
#: What the daemon keeps back from clients there.
RESERVE = LIMIT // 4
SHORT = "there are no file descriptors left for clients"
AGAIN = "there are file descriptors for clients again"


def set_limit(mux: Daemon, number: int) -> None:
    _, hard = resource.prlimit(mux.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(mux.pid, resource.RLIMIT_NOFILE, (number, hard))


async def fill(mux: Daemon, stack: AsyncExitStack) -> int:
    """Connect as long as the daemon takes clients in; gives how many it took."""
    loop = asyncio.get_running_loop()
    for number in range(LIMIT):
        connection = stack.enter_context(socket.socket(socket.AF_UNIX))
        connection.setblocking(False)
        await loop.sock_connect(connection, str(mux.socket))
        if b'"goodbye"' in await loop.sock_recv(connection, 65536):
            return number
    pytest.fail("all were taken in")


@asynccontextmanager
async def refused(mux: Daemon) -> AsyncIterator[virtmux.Reason]:
    """Connect as people do, and be told why not."""
    with pytest.raises(virtmux.ConnectionLost) as caught:
        async with virtmux.connect(mux.socket):
            pass
    yield caught.value.reason


async def echoes(console: Follower, mux: Daemon) -> None:
    """The console is as live as ever."""
    await quiet_echoes(console, 20, way=[mux.pid])
    assert not console.reasons


async def test_clients_do_not_take_the_last_file_descriptors(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest, later = await boot_guest(libvirtd, state="paused"), await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri, attach="always", through=("prlimit", f"--nofile={LIMIT}:{LIMIT}"))
    async with follow(mux.socket, guest.name) as console, follow(mux.socket, later.name) as waiting:
        await guest.resume()
        await console.until_output(BANNER)
        async with AsyncExitStack() as crowd:
            taken = await fill(mux, crowd)
            assert LIMIT - RESERVE - 60 < taken < LIMIT - RESERVE
            for _ in range(5):
                async with refused(mux) as reason:
                    assert reason.cause is Cause.EVICTED
                    assert f"no file descriptors left for clients, of {LIMIT}" in reason.text
            await echoes(console, mux)
            await later.start(paused=True)  # its console needs some, and has them
            await boot(later, waiting, says=BANNER)
        status, _, error = await mux.run_client("list")
        assert (status, error) == (0, "")
    await mux.until_logged(AGAIN)
    assert (mux.log.count(SHORT), mux.log.count(AGAIN)) == (1, 1)


async def test_a_daemon_without_any_file_descriptor_left_goes_on_and_recovers(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest, later = await boot_guest(libvirtd, state="paused"), await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri, attach="always")
    before, _ = resource.prlimit(mux.pid, resource.RLIMIT_NOFILE)
    async with follow(mux.socket, guest.name) as console, follow(mux.socket, later.name) as waiting:
        await guest.resume()
        await console.until_output(BANNER)
        set_limit(mux, min(set(range(1000)) - set(mux.descriptors)))
        for _ in range(3):
            async with refused(mux) as reason:
                assert reason.cause is Cause.EVICTED
                assert "no file descriptors left for clients" in reason.text
        await echoes(console, mux)
        await later.start()
        ended = await waiting.until_ended()
        assert ended.error is not None
        assert "Too many open files" in ended.error.message
        await echoes(console, mux)

        set_limit(mux, before)
        await waiting.until_attached()
        await quiet_echoes(waiting, 1, way=[mux.pid])
        await echoes(console, mux)
        assert mux.log.count(SHORT) == 1


@pytest.mark.parametrize("left", (1, 2, 4))
async def test_with_too_few_file_descriptors_for_a_connection_that_fails_and_nothing_else(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, left: int
) -> None:
    guest, later = await boot_guest(libvirtd), await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri, attach="always")
    before, _ = resource.prlimit(mux.pid, resource.RLIMIT_NOFILE)
    async with follow(mux.socket, guest.name) as console, follow(mux.socket, later.name) as waiting:
        await console.until_attached()
        free = sorted(set(range(1000)) - set(mux.descriptors))
        set_limit(mux, free[left])
        await later.start()
        ended = await waiting.until_ended()
        assert ended.cause is Cause.HYPERVISOR_LOST
        assert ended.error is not None
        assert (ended.error.api, ended.error.message) == ("virConnectOpen", "Too many open files")
        await echoes(console, mux)
        set_limit(mux, before)
        await waiting.until_attached()
