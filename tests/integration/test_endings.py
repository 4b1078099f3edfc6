"""Each way in which a console ends gives every attached client exactly one reason: the true one, behind the last byte.

In every test two clients are at the console that ends, and one at a bystander's console that must notice nothing.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from tests.harness.daemon import Daemon
from tests.harness.follower import Follower, follow
from tests.harness.guest import BANNER, POWER_OFF, Guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import Terminal
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Attached, Break, Cause, Ended, LibvirtEvent, Mark, MarkMessage, Output, Phase, Reason


@dataclass
class Scene:
    """A daemon, a guest whose console will end with two clients at it, and one client at a bystander's console."""

    mux: Daemon
    guest: Guest
    clients: tuple[Follower, Follower]
    bystander: Follower

    async def reason(self) -> Reason:
        """Wait until each client has its reason; hold that it is the same one, behind the last byte; and give it."""
        reasons = [await client.until_ended() for client in self.clients]
        assert reasons[0] == reasons[1]
        for client in self.clients:
            assert reasons[0].offset == _output_before_the_end(client) == len(BANNER)
        return reasons[0]

    async def starts_again(self) -> None:
        """Start the guest anew: the console is attached by itself, and nobody is told of a second end."""
        await self.guest.start()
        for client in self.clients:
            await client.until_attached()
            assert len(client.reasons) == 1

    async def bystander_is_well(self) -> None:
        """The other console answers, and has noticed nothing."""
        seen = len(self.bystander.output)
        await self.bystander.write(b"still here")
        await self.bystander.until(lambda one: one.output[seen:] == b"still here")
        assert not self.bystander.reasons


def _output_before_the_end(client: Follower) -> int:
    """The offset behind the last byte that came before the first `ended` mark."""
    offset = 0
    for record in client.records:
        if isinstance(record, MarkMessage) and isinstance(record.record, Ended):
            return offset
        if isinstance(record, Output):
            offset = record.offset + len(record.data)
    raise AssertionError("no end")


def _marks_behind_the_end(client: Follower) -> list[Mark]:
    marks = [record.record for record in client.records if isinstance(record, MarkMessage)]
    return marks[marks.index(client.marks(Ended)[0]) + 1 :]


@pytest.fixture
async def scene(libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon) -> AsyncIterator[Scene]:
    """The scene on the libvirtd that all tests share."""
    async with AsyncExitStack() as stack:
        yield await _set_up(stack, libvirtd, boot_guest, daemon)


async def _set_up(stack: AsyncExitStack, libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon) -> Scene:
    guest = await boot_guest(libvirtd, state="paused")
    other = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    clients = (
        await stack.enter_async_context(follow(mux.socket, guest.name)),
        await stack.enter_async_context(follow(mux.socket, guest.name)),
    )
    bystander = await stack.enter_async_context(follow(mux.socket, other.name))
    await guest.resume()
    for client in clients:
        await client.until_output(BANNER)
    return Scene(mux, guest, clients, bystander)


async def test_destroy(scene: Scene) -> None:
    await scene.guest.destroy()
    reason = await scene.reason()
    assert reason.cause is Cause.GUEST_DESTROYED
    assert reason.phase is Phase.RECEIVE
    assert reason.error is None, "libvirt says nothing but the end of the stream"
    assert reason.event == LibvirtEvent("STOPPED", "DESTROYED")
    assert reason.exit_status == 10
    await scene.bystander_is_well()
    await scene.starts_again()


async def test_power_off_from_inside(scene: Scene) -> None:
    await scene.clients[0].write(POWER_OFF)
    reason = await scene.reason()
    assert reason.cause is Cause.GUEST_SHUTDOWN
    assert reason.event == LibvirtEvent("STOPPED", "SHUTDOWN")
    assert reason.exit_status == 10
    await scene.bystander_is_well()
    await scene.starts_again()


async def test_qemu_killed(scene: Scene) -> None:
    scene.guest.kill_qemu()
    reason = await scene.reason()
    assert reason.cause is Cause.GUEST_FAILED
    assert reason.event == LibvirtEvent("STOPPED", "FAILED")
    assert reason.exit_status == 11
    await scene.bystander_is_well()
    await scene.starts_again()


async def test_taken_over_by_force(scene: Scene) -> None:
    arguments = ["-c", scene.guest.libvirtd.uri, "console", "--force", scene.guest.name]
    async with Terminal("virsh", arguments) as thief:
        await thief.expect(b"Escape character is")
        reason = await scene.reason()
        assert reason.cause is Cause.CONSOLE_TAKEN_OVER
        assert reason.error is not None
        assert (reason.error.code_name, reason.error.domain_name) == ("VIR_ERR_RPC", "VIR_FROM_STREAMS")
        assert reason.retry.will_retry
        assert reason.exit_status == 8
        await scene.bystander_is_well()
        thief.send(b"\x1d")
        await thief.exit()
    for client in scene.clients:
        await client.until_attached()
        assert len(client.reasons) == 1, "that it is busy now is no second end"
        assert [type(mark) for mark in _marks_behind_the_end(client)] == [Break, Attached]
    await scene.clients[0].write(b"ours again")
    await scene.clients[1].until_output(b"ours again")


async def test_console_held_by_somebody_else(libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with Terminal("virsh", ["-c", libvirtd.uri, "console", guest.name]) as holder:
        await holder.expect(b"Escape character is")
        async with follow(mux.socket, guest.name) as first, follow(mux.socket, guest.name) as second:
            for client in (first, second):
                reason = client.console.place.reason
                assert reason is not None
                assert reason.cause is Cause.CONSOLE_BUSY
                assert reason.error is not None
                assert "Active console session exists" in reason.error.message
                assert reason.retry.will_retry
            assert (await first.until_ended()).cause is Cause.CONSOLE_BUSY
            holder.send(b"\x1d")
            await holder.exit()
            for client in (first, second):
                await client.until_attached()
            assert len(first.reasons) == 1
            assert not second.reasons, "what its answer said is not said again"


async def test_libvirtd_killed_and_started_again(
    libvirtd: Libvirtd, own_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(own_libvirtd, state="paused")
    other = await boot_guest(libvirtd)
    mux = await daemon(own_libvirtd.uri, libvirtd.uri)
    async with AsyncExitStack() as stack:
        clients = (
            await stack.enter_async_context(follow(mux.socket, guest.name)),
            await stack.enter_async_context(follow(mux.socket, guest.name)),
        )
        bystander = await stack.enter_async_context(follow(mux.socket, other.name))
        scene = Scene(mux, guest, clients, bystander)
        await guest.resume()
        for client in clients:
            await client.until_output(BANNER)

        own_libvirtd.kill()
        reason = await scene.reason()
        assert reason.cause is Cause.HYPERVISOR_LOST
        assert reason.phase is Phase.CONNECTION
        assert reason.retry.will_retry
        assert reason.exit_status == 6
        await scene.bystander_is_well()

        own_libvirtd.start()
        for client in clients:
            await client.until_attached()
            assert len(client.reasons) == 1
            gap, attached = _marks_behind_the_end(client)
            assert isinstance(gap, Break)
            assert isinstance(attached, Attached)
            assert attached.incarnation == 1, "the guest ran on"
        await clients[0].write(b"back")
        await clients[1].until_output(b"back")
        await scene.bystander_is_well()
