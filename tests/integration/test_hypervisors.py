"""Several hypervisors in one daemon, some of them sick, and connections that consoles share."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import virtmux
from tests.harness.daemon import Daemon
from tests.harness.follower import PATIENCE, Follower, follow
from tests.harness.guest import BANNER, STOP_READING, Guest
from tests.harness.libvirtd import LOOK_AGAIN_S, Libvirtd
from tests.harness.sshd import serve_ssh
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Attached, Cause, Reason, Refused


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration file that a test may write."""
    return tmp_path / "virtmuxd.toml"


def pooled(config: Path, libvirtd: Libvirtd, size: int, *settings: str) -> list[str]:
    """The arguments for a daemon whose connections to a libvirtd are shared, as those to a remote one are."""
    config.write_text("\n".join([*settings, "[[hypervisor]]", f'uri = "{libvirtd.uri}"', f"pool = {size}", ""]))
    return ["--config", str(config)]


async def refusal(mux: Daemon, uri: str) -> Reason:
    """Why there is no console at a hypervisor."""
    async with virtmux.connect(mux.socket) as client, asyncio.timeout(PATIENCE):
        with pytest.raises(Refused) as refused:
            async with client.attach("any", uri=uri):
                pass
    reason: Reason = refused.value.reason
    return reason


@contextlib.asynccontextmanager
async def following(mux: Daemon, guests: list[Guest]) -> AsyncIterator[list[Follower]]:
    """A follower of each guest's console, attached."""
    async with contextlib.AsyncExitStack() as stack:
        followers = [await stack.enter_async_context(follow(mux.socket, guest.name)) for guest in guests]
        for follower in followers:
            await follower.until_attached()
        yield followers


async def until_connections(libvirtd: Libvirtd, number: int) -> None:
    """Wait until it has so many connections: that it has dropped one that was closed is no event for anybody."""
    async with asyncio.timeout(PATIENCE):
        while len(await libvirtd.clients()) != number:
            await asyncio.sleep(LOOK_AGAIN_S)


async def test_guests_of_two_hypervisors_are_served_side_by_side_one_with_shared_connections(
    libvirtd: Libvirtd, own_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, config: Path
) -> None:
    mux = await daemon(libvirtd.uri, own_libvirtd.uri, arguments=pooled(config, own_libvirtd, 2))
    here = await boot_guest(libvirtd, state="paused")
    there = [await boot_guest(own_libvirtd, state="paused") for _ in range(5)]
    async with following(mux, [here, *there]) as followers:
        for guest, follower in zip([here, *there], followers, strict=True):
            await guest.resume()
            await follower.until_output(BANNER)
            await follower.echo(b"hello " + guest.name.encode())
        assert len(await own_libvirtd.clients()) == 3, "events, and two that are shared"

        await there[0].destroy()
        assert (await followers[1].until_ended()).cause is Cause.GUEST_DESTROYED
        await here.destroy()
        assert (await followers[0].until_ended()).cause is Cause.GUEST_DESTROYED
        for follower in followers[2:]:
            await follower.echo(b"still here")
            assert not follower.reasons
            assert follower.output.startswith(BANNER + b"hello ")


async def test_consoles_that_are_let_go_leave_one_shared_connection(
    own_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, config: Path
) -> None:
    mux = await daemon(own_libvirtd.uri, arguments=pooled(config, own_libvirtd, 3, "linger = 0"))
    guests = [await boot_guest(own_libvirtd) for _ in range(4)]
    async with following(mux, guests):
        assert len(await own_libvirtd.clients()) == 4
    await until_connections(own_libvirtd, 2)
    async with following(mux, guests) as followers:
        for follower in followers:
            await follower.echo(b"again")
    assert await mux.stop() == 0
    await until_connections(own_libvirtd, 0)


async def test_a_shared_connection_that_is_killed_ends_its_consoles_alone_and_they_come_back(
    own_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, config: Path
) -> None:
    mux = await daemon(own_libvirtd.uri, arguments=pooled(config, own_libvirtd, 2))
    guests = [await boot_guest(own_libvirtd) for _ in range(4)]
    async with following(mux, guests) as followers:
        *_, last = await own_libvirtd.clients()
        await own_libvirtd.disconnect(last)
        async with asyncio.timeout(PATIENCE):
            while len(ended := [follower for follower in followers if follower.reasons]) < 2:
                await asyncio.sleep(LOOK_AGAIN_S)  # which two share it is told by their ends alone
        for follower in ended:
            assert (await follower.until_ended()).cause is Cause.HYPERVISOR_LOST
            await follower.until(lambda one: len(one.marks(Attached)) == 2 and one.console.attachment is not None)
            await follower.echo(b"back")
        others = [follower for follower in followers if follower not in ended]
        for follower in others:
            await follower.echo(b"never gone")
            assert not follower.reasons
        assert len(await own_libvirtd.clients()) == 3


@pytest.mark.parametrize("why", ["paused", "deaf"])
async def test_a_guest_that_takes_no_input_and_a_paste_leave_the_others_on_its_connection_alive(
    own_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, config: Path, why: str
) -> None:
    mux = await daemon(own_libvirtd.uri, arguments=pooled(config, own_libvirtd, 1, "call_deadline = 3"))
    guests = [await boot_guest(own_libvirtd, state="paused") for _ in range(3)]
    paste = b"x" * 60_000  # more than a PTY and the packets that libvirtd takes from a connection hold
    async with following(mux, guests) as followers:
        for guest, follower in zip(guests, followers, strict=True):
            await guest.resume()
            await follower.until_output(BANNER)
        if why == "paused":
            await guests[0].suspend()
        else:
            await followers[0].write(STOP_READING)
        async with asyncio.TaskGroup() as tasks:
            pasting = tasks.create_task(followers[0].console.write(paste))
            for turn in range(20):  # longer than a call may take: a connection that is stuck would be cut by then
                for follower in followers[1:]:
                    await follower.echo(b"%d alive " % turn)
                await asyncio.sleep(0.2)
            assert not pasting.done()
            if why == "paused":
                await guests[0].resume()
                await pasting
                await followers[0].until_output(paste)
            pasting.cancel()
        for follower in followers:
            assert not follower.reasons


# Over ssh.


async def test_a_hypervisor_beyond_ssh_has_a_few_connections_and_comes_back_when_they_drop(
    own_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    async with serve_ssh(tmp_path) as sshd:
        mux = await daemon(sshd.uri(own_libvirtd.socket))
        guests = [await boot_guest(own_libvirtd, state="paused") for _ in range(6)]
        async with following(mux, guests) as followers:
            for guest, follower in zip(guests, followers, strict=True):
                await guest.resume()
                await follower.until_output(BANNER)
                await follower.echo(b"over ssh")
            assert len(sshd.connections) == 5, "events, and four that are shared"
            await guests[0].destroy()
            assert (await followers[0].until_ended()).cause is Cause.GUEST_DESTROYED

            sshd.drop()
            for follower in followers[1:]:
                assert (await follower.until_ended()).cause is Cause.HYPERVISOR_LOST
                await follower.until(lambda one: len(one.marks(Attached)) == 2 and one.console.attachment is not None)
                await follower.echo(b"back")
        assert await mux.stop() == 0


# Hypervisors that are sick.


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[list[str]]:
    """URIs of libvirtds that accept and say nothing."""
    path = tmp_path / "silent"
    with socket.socket(socket.AF_UNIX) as local, socket.create_server(("127.0.0.1", 0)) as tcp:
        local.bind(str(path))
        local.listen()
        port = tcp.getsockname()[1]
        yield [f"qemu+unix:///system?socket={path}", f"qemu+tcp://127.0.0.1:{port}/system"]


async def test_hypervisors_that_cannot_be_reached_harm_nobody_and_are_told(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, config: Path, silent: list[str]
) -> None:
    nowhere = "qemu+unix:///system?socket=/nonexistent/libvirt-sock"
    malformed = "qemu+unix://[/system"
    no_driver = f"quux+unix:///system?socket={libvirtd.socket}"  # not this machine's libvirtd, which may deny us
    sick = {
        nowhere: Cause.HYPERVISOR_LOST,
        malformed: Cause.HYPERVISOR_LOST,
        no_driver: Cause.HYPERVISOR_LOST,
        **dict.fromkeys(silent, Cause.HYPERVISOR_TIMEOUT),
    }
    mux = await daemon(*sick, libvirtd.uri, arguments=pooled(config, libvirtd, 0, "call_deadline = 1"))
    guest = await boot_guest(libvirtd, state="paused")
    async with follow(mux.socket, guest.name) as follower:
        await guest.resume()
        await follower.until_output(BANNER)
        for uri, cause in sick.items():
            reason = await refusal(mux, uri)
            assert (reason.cause, uri in reason.text) == (cause, True), reason
        await follower.echo(b"unharmed")
        assert not follower.reasons
    rows = [row for row in await mux.consoles() if row["id"]["uri"] in sick]
    assert rows == []
    assert await mux.stop() == 0
