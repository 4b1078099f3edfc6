"""Containers: a driver whose consoles take no flags, and which several libvirt clients can hold at once."""

from collections.abc import AsyncIterator

import pytest

from tests.harness.container import END, GREETING, container
from tests.harness.follower import follow
from tests.harness.guest import Guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import ESCAPE
from tests.harness.virsh_console import virsh_console
from tests.integration.conftest import StartDaemon, container_factory
from virtmux import Cause, LibvirtEvent

pytestmark = pytest.mark.where_it_can_be_had

STOPPED = LibvirtEvent("STOPPED", "SHUTDOWN")
#: What libvirt makes of `virsh destroy`: of one that has just started now and then FAILED.
KILLED = [
    (Cause.GUEST_DESTROYED, LibvirtEvent("STOPPED", "DESTROYED")),
    (Cause.GUEST_FAILED, LibvirtEvent("STOPPED", "FAILED")),
]


@pytest.fixture
async def guest(lxc: Libvirtd) -> AsyncIterator[Guest]:
    """A container that runs."""
    async with container_factory(lxc, container) as start:
        yield await start(lxc)


async def test_one_sits_at_a_container_and_is_told_of_its_end(guest: Guest, daemon: StartDaemon) -> None:
    mux = await daemon(guest.libvirtd.uri)
    async with follow(mux.socket, guest.name) as client:
        await client.until_output(GREETING)
        await client.echo(b"hello\n")
        await client.console.send(END)  # it may end before it is known to have heard
        reason = await client.until_ended()
        assert reason.error is None
        assert reason.offset == len(client.output) == len(GREETING) + len("hello\n")
        if libvirt_missed := await guest.state() == "running (booted)":  # docs/libvirt.md, "Devices"
            await guest.destroy()
        told = (Cause.STREAM_ENDED, None) if libvirt_missed else (Cause.GUEST_SHUTDOWN, STOPPED)
        assert (reason.cause, reason.event) == told

        await guest.start()
        await client.until(lambda one: one.output.count(GREETING) == 2)
        await guest.destroy()
        await client.until(lambda one: one.reasons[-1].console and one.reasons[-1].console.incarnation == 2)
        last = client.reasons[-1]
        assert (last.cause, last.event) in KILLED


async def test_nothing_keeps_other_libvirt_clients_from_a_containers_console(guest: Guest, daemon: StartDaemon) -> None:
    mux = await daemon(guest.libvirtd.uri)
    async with follow(mux.socket, guest.name) as client:
        await client.until_output(GREETING)
        (exclusive,) = [
            row["exclusive"] for row in await mux.consoles() if row.get("id", {}).get("domain") == guest.name
        ]
        assert exclusive is False
        async with virsh_console(guest) as other:
            other.send(ESCAPE)
            await other.exit()
        await client.echo(b"still ours\n")
        assert not client.reasons
