"""What happens to a console, and to those at it, while its guest is on its way to another hypervisor."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from tests.harness.daemon import Daemon
from tests.harness.follower import Follower, boot, follow
from tests.harness.guest import DEFINITION_TOO, PROMPT, Guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import ESCAPE
from tests.harness.virsh_console import virsh_console
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Attached, Cause, Ended, MarkMessage, Note, PlaceEnded

#: At one MiB/s a Linux guest is on its way for half a minute, unless it is sped up.
SLOWLY = (*DEFINITION_TOO, "--bandwidth", "1")


@asynccontextmanager
async def moving(mux: Daemon, guest: Guest, to: Libvirtd) -> AsyncIterator[Follower]:
    """A client of a guest that was started paused and is on its way; left, the context brings it there."""
    source = guest.libvirtd
    async with follow(mux.socket, guest.name, uri=source.uri) as client:
        await boot(guest, client)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(guest.migrate(to, SLOWLY))
            await client.until_noted("migrating")
            await guest.until_on_its_way()
            yield client
            await source.virsh("migrate-setspeed", guest.name, "1000")


def story(client: Follower) -> Sequence[str]:
    """The marks, but for what only tells that the guest stands still for a moment."""
    marks = (record.record for record in client.records if isinstance(record, MarkMessage))
    return [
        mark.note if isinstance(mark, Note) else mark.reason.cause if isinstance(mark, Ended) else type(mark).__name__
        for mark in marks
        if not isinstance(mark, Note) or mark.note.startswith("migrat")
    ]


async def answers(client: Follower, text: bytes) -> None:
    """The guest hears and echoes."""
    await client.write(b"echo " + text + b"\r")
    await client.until(lambda one: text + b"\r\n" in one.output)


async def test_a_console_that_is_released_is_free_where_its_guest_arrives(
    libvirtd: Libvirtd, own_libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon
) -> None:
    guest = await linux(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, own_libvirtd.uri)
    async with follow(mux.socket, guest.name) as client:
        async with moving(mux, guest, own_libvirtd):
            assert (await mux.run_client("release", guest.name))[0] == 0
        async with virsh_console(guest) as virsh:
            virsh.send(b"\r")
            await virsh.expect(PROMPT)
            virsh.send(ESCAPE)
            await virsh.exit()
        assert (await mux.run_client("reclaim", guest.name))[0] == 0
        await client.until(lambda one: len(one.marks(Attached)) == 2)
        await answers(client, b"taken back")
        assert story(client)[1:] == ["migrating", Cause.CONSOLE_RELEASED, "Break", "Attached"]


async def test_a_destination_that_is_out_of_sight_for_a_moment_is_where_the_guest_goes_all_the_same(
    libvirtd: Libvirtd, own_libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon
) -> None:
    guest = await linux(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, own_libvirtd.uri)
    async with moving(mux, guest, own_libvirtd) as client:
        control, *_ = await own_libvirtd.clients()
        await own_libvirtd.disconnect(control)
    # The follower of `moving` is gone; what it would have seen is in the history.
    async with follow(mux.socket, guest.name, position="0") as again:
        await again.until(lambda one: len(one.marks(Attached)) == 2)
        await answers(again, b"at its new host")
        assert again.reasons[0].moved_to == own_libvirtd.uri
        assert story(again) == ["Attached", "migrating", Cause.GUEST_MIGRATED, "Attached"]
        assert client.console.position.history == again.console.position.history


async def test_who_waits_at_the_destination_since_the_migration_began_is_told_to_attach_again(
    libvirtd: Libvirtd, own_libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon
) -> None:
    guest = await linux(libvirtd, state="paused")
    await Guest(own_libvirtd, guest.name, guest.uuid, guest.xml).define()
    mux = await daemon(libvirtd.uri, own_libvirtd.uri)
    async with AsyncExitStack() as stack:
        async with moving(mux, guest, own_libvirtd) as client:
            waiting = await stack.enter_async_context(follow(mux.socket, guest.name, uri=own_libvirtd.uri))
        await waiting.until(lambda one: one.records and isinstance(one.records[-1], PlaceEnded))
        last = waiting.records[-1]
        assert isinstance(last, PlaceEnded)
        assert (last.reason.cause, last.reason.exit_status) == (Cause.EVICTED, 12)
        assert "attach again" in last.reason.text
        async with follow(mux.socket, guest.name, uri=own_libvirtd.uri) as again:
            await again.until_attached()
            await answers(again, b"at its new host")
            assert again.console.position.history == client.console.position.history
