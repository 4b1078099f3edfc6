"""Many clients at one console: the same bytes at the same offsets, and what one types reaches the guest."""

from contextlib import AsyncExitStack

from tests.harness.follower import follow
from tests.harness.guest import BANNER
from tests.harness.libvirtd import Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest


async def test_three_clients_see_the_same_bytes_from_the_same_offsets(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with AsyncExitStack() as stack:
        followers = [await stack.enter_async_context(follow(mux.socket, guest.name)) for _ in range(3)]
        await guest.resume()
        for follower in followers:
            await follower.until_output(BANNER)
        await followers[1].write(b"what one types")
        for follower in followers:
            await follower.until_output(BANNER + b"what one types")
            assert follower.output == BANNER + b"what one types"
            assert follower.offsets == [(0, len(follower.output))]


async def test_a_client_that_comes_later_sees_what_follows_at_its_true_offset(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as early:
        await guest.resume()
        await early.until_output(BANNER)
        async with follow(mux.socket, guest.name) as late:
            await late.echo(b"echo")
            assert late.offsets == [(len(BANNER), len(BANNER) + 4)]


async def test_one_connection_follows_many_consoles_of_one_domain(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, extra_devices="<serial type='pty'><target port='1'/></serial>")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as first, follow(mux.socket, str(guest.uuid)) as by_uuid:
        assert first.console.place.info.id == by_uuid.console.place.info.id
    assert [each["id"]["device"] for each in await mux.consoles() if each["id"]["domain"] == guest.name] == [
        "serial0",
        "serial1",
    ]
