"""Where libvirt takes long to end a guest, as with hooks, or never ends its stream, the reason is the true one."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.harness.follower import follow
from tests.harness.guest import POWER_OFF
from tests.harness.libvirtd import Libvirtd
from tests.harness.ptys import leads_elsewhere
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Cause, LibvirtEvent, Phase

#: Longer than evidence is waited for before libvirt is asked, and than libvirt takes to answer when it is not busy.
SECONDS = 5


@pytest.fixture
def slow_libvirtd() -> Iterator[Libvirtd]:
    """A libvirtd that says of a guest how it ended only so long after its QEMU went."""
    with Libvirtd(hook=f'if [ "$2" = stopped ]; then sleep {SECONDS}; fi') as libvirtd:
        yield libvirtd


async def test_what_libvirt_says_late_is_waited_for(
    slow_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    leaving, destroyed = await boot_guest(slow_libvirtd), await boot_guest(slow_libvirtd)
    mux = await daemon(slow_libvirtd.uri)
    async with follow(mux.socket, leaving.name) as first, follow(mux.socket, destroyed.name) as second:
        for client in (first, second):
            await client.until_attached()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(first.press(POWER_OFF))
            tasks.create_task(destroyed.destroy())
            ends = [(await client.until_ended()) for client in (first, second)]
        expected = [(Cause.GUEST_SHUTDOWN, "SHUTDOWN"), (Cause.GUEST_DESTROYED, "DESTROYED")]
        for reason, (cause, detail) in zip(ends, expected, strict=True):
            assert reason.cause is cause
            # The event, and the answer to how the domain stands, come at one moment over two connections.
            assert reason.event in (LibvirtEvent("STOPPED", detail), LibvirtEvent("SHUTOFF", detail))
        for client in (first, second):
            assert len(client.reasons) == 1


async def test_a_stream_of_somebody_elses_terminal_is_ended_once_its_guest_is_gone(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    with leads_elsewhere(await libvirtd.virsh("ttyconsole", guest.name), libvirtd):
        async with follow(mux.socket, guest.name) as client:
            await client.until_attached()
            await guest.destroy()
            reason = await client.until_ended()
    assert (reason.cause, reason.phase) == (Cause.GUEST_DESTROYED, Phase.LIFECYCLE)
    assert reason.event == LibvirtEvent("STOPPED", "DESTROYED")
