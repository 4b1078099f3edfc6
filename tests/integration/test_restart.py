"""The daemon dies and comes back: no byte twice, none missing unnamed, no address used twice."""

import asyncio

import pytest

from tests.harness.follower import Follower, follow
from tests.harness.guest import BANNER, STOP_READING
from tests.harness.libvirtd import Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Attached, Break, Cause, Disconnected, Ended, InputRejected, Mark, MarkMessage, Record, Resumed


async def test_after_a_sigkill_a_client_goes_on_where_it_was(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always")
    async with follow(mux.socket, guest.name, replay="all") as client:
        await guest.resume()
        await client.until_output(BANNER)
        await mux.kill()
        await client.until(lambda one: any(isinstance(each, Disconnected) for each in one.records))
        await mux.start()
        await client.until(lambda one: len(one.marks(Attached)) == 2)
        await client.echo(b"after")

        assert client.output == BANNER + b"after"
        assert client.offsets == [(0, len(BANNER) + 5)], "what it had seen keeps its address"
        resumed = next(each for each in client.records if isinstance(each, Resumed))
        assert resumed.continuous
        assert [type(mark) for mark in _marks_behind(client.records, resumed)] == [Break, Attached]
        assert [mark.incarnation for mark in client.marks(Attached)] == [1, 1]
        assert not client.marks(Ended), "the console did not end, the daemon did"


async def test_a_client_that_was_away_meanwhile_resumes_at_its_position(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always")
    async with follow(mux.socket, guest.name) as before:
        await guest.resume()
        await before.until_output(BANNER)
        position = before.console.position
    async with follow(mux.socket, guest.name) as other:
        await other.echo(b"while away")
    await mux.kill()
    await mux.start()
    async with follow(mux.socket, guest.name, position=str(position)) as again:
        await again.until(lambda one: one.marks(Attached))
        assert again.output == b"while away"
        assert again.offsets == [(len(BANNER), len(BANNER) + 10)]
        assert len(again.marks(Break)) == 1


async def test_sigterm_tells_each_client_that_the_server_stops(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as first, follow(mux.socket, guest.name) as second:
        assert await mux.stop() == 0
        for client in (first, second):
            await client.until(lambda one: any(isinstance(each, Disconnected) for each in one.records))
            lost = next(each for each in client.records if isinstance(each, Disconnected))
            assert lost.reason.cause is Cause.SERVER_STOPPING
            assert lost.reason.exit_status == 5
        await mux.start()
        for client in (first, second):
            await client.until_attached()
            assert not client.marks(Ended)


def _marks_behind(records: list[Record], resumed: Resumed) -> list[Mark]:
    behind = records[records.index(resumed) :]
    return [each.record for each in behind if isinstance(each, MarkMessage)]


async def test_a_hypervisor_that_hangs_holds_neither_start_nor_stop_up(
    own_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(own_libvirtd)
    mux = await daemon(own_libvirtd.uri)
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
        own_libvirtd.freeze()
        assert await mux.stop() == 0
        await mux.start()
        assert await mux.consoles() == []
        own_libvirtd.thaw()
        await client.until(lambda one: any(isinstance(each, Resumed) for each in one.records))
        await client.until_attached()
        await client.echo(b"thawed")


@pytest.mark.ends_before_its_input
async def test_a_stop_with_input_on_its_way_is_no_end_of_the_console(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
        await client.write(STOP_READING)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_type_to_the_deaf(client))
            await asyncio.sleep(0)  # let it begin
            assert await mux.stop() == 0
        await mux.start()
        await client.until(lambda one: len(one.marks(Break)) == 1)
        assert not client.marks(Ended)


async def _type_to_the_deaf(client: Follower) -> None:
    with pytest.raises(InputRejected) as caught:
        await client.write(b"x" * 200_000)
    assert caught.value.unknown + caught.value.rejected > 0
