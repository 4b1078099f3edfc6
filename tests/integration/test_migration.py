"""A guest that moves between two hypervisors that the daemon knows takes its console along.

The order of what libvirt says in each case: docs/libvirt.md, "Migration".
"""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest

from tests.harness.daemon import Daemon
from tests.harness.flood import numbers
from tests.harness.follower import PATIENCE, Follower, boot, follow, follow_all
from tests.harness.guest import BANNER, DEFINITION_TOO, FLOOD, Guest
from tests.harness.libvirtd import Libvirtd, VirshError
from tests.harness.matrix import Told, decode, told
from tests.harness.paster import pasting
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Attached, Break, Cause, Ended, MarkMessage, Note, Output, Reason

#: What is told of a move; where to is told beside it.
MOVED = Told(Cause.GUEST_MIGRATED, 10, event=("STOPPED", "MIGRATED"))

#: At one MiB/s a Linux guest is on its way for half a minute.
SLOWLY = ("--bandwidth", "1")

SECOND_SERIAL = "<serial type='pty'><target port='1'/></serial>"
#: Lines that differ; it would take a guest the better part of a minute to echo them.
PASTE = b"".join(b"paste %09d\n" % number for number in range(16384))

Hosts = tuple[Libvirtd, Libvirtd]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """Two hypervisors between which guests move."""
    with ExitStack() as stack:
        yield stack.enter_context(Libvirtd()), stack.enter_context(Libvirtd())


async def consoles_of(mux: Daemon, guest: Guest) -> list[dict[str, Any]]:
    return [row for row in await mux.consoles() if row.get("id", {}).get("uuid") == str(guest.uuid)]


def notes(client: Follower) -> list[str]:
    """The notes on migration, in order; that a guest is paused for a moment while it moves is no matter here."""
    return [mark.note for mark in client.marks(Note) if mark.note.startswith("migrat")]


def openings_and_ends(client: Follower) -> list[type]:
    marks = (record.record for record in client.records if isinstance(record, MarkMessage))
    return [type(mark) for mark in marks if isinstance(mark, Attached | Ended)]


@pytest.mark.parametrize("options", [DEFINITION_TOO, ()], ids=["definition and all", "the definition stays"])
async def test_clients_stay_attached_while_their_guest_moves_away_and_back(
    hosts: Hosts, boot_guest: StartGuest, daemon: StartDaemon, options: tuple[str, ...]
) -> None:
    here, there = hosts
    guest = await boot_guest(here, state="paused")
    mux = await daemon(here.uri, there.uri)
    async with follow(mux.socket, guest.name) as first, follow(mux.socket, guest.name) as second:
        clients = (first, second)
        await boot(guest, *clients, says=BANNER)
        handle, history = first.console.place.info.console, first.console.position.history
        for moves, to in enumerate((there, here), 1):
            await guest.migrate(to, options)
            for client in clients:
                await client.until(lambda one, moves=moves: one.console.attachment == moves + 1)  # type: ignore[misc]
                assert openings_and_ends(client)[-2:] == [Ended, Attached]
                reason = client.reasons[-1]
                assert (told(reason), reason.moved_to) == (MOVED, to.uri)
                assert reason.offset == first.console.position.offset
            await first.echo(f"move {moves}".encode())
            await second.until_output(f"move {moves}".encode())
            (listed,) = [row for row in await consoles_of(mux, guest) if row["state"] == "attached"]
            assert (listed["console"], listed["id"]["uri"]) == (handle, to.uri)
            assert listed["position"].startswith(history)
        for client in clients:
            assert openings_and_ends(client)[-4:] == [Ended, Attached, Ended, Attached]
            assert len(client.reasons) == 2
            assert len(client.offsets) == 1, "offsets go on"
            assert all(isinstance(record, Output | MarkMessage) for record in client.records), "never disconnected"
        assert first.output == second.output


async def test_the_history_is_found_again_where_the_guest_went(
    hosts: Hosts, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    here, there = hosts
    guest = await boot_guest(here)
    mux = await daemon(here.uri, there.uri)
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
        await client.echo(b"before")
        position = client.console.position
        await guest.migrate(there)
        await client.until(lambda one: one.console.attachment == 2)
        await client.echo(b"after")
    await mux.kill()
    await mux.start()
    async with follow(mux.socket, guest.name, position=str(position)) as again:
        await again.until_output(b"after")
        assert not again.console.place.missing
        assert again.offsets[0][0] == position.offset
        assert [reason.moved_to for reason in again.reasons] == [there.uri]


async def test_a_flood_crosses_over_with_nothing_twice(
    hosts: Hosts, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    here, there = hosts
    guest = await boot_guest(here, state="paused")
    mux = await daemon(here.uri, there.uri)
    async with follow(mux.socket, guest.name) as client:
        await boot(guest, client, says=BANNER)
        await client.write(FLOOD)
        await client.until_output(b"line 00000100")
        await guest.migrate(there)
        await client.until(lambda one: one.reasons)
        seam = client.reasons[0].offset
        assert seam is not None
        await client.until(lambda one: len(one.output) > seam + 10_000)
        before, after = (numbers(part) for part in (client.output[:seam], client.output[seam:]))
        assert before == list(range(before[0], before[0] + len(before)))
        # QEMU there throws away what is not read at once, until it notices that its terminal has been opened.
        assert after == sorted(set(after)), "none comes twice"
        assert after[0] > before[-1]
        if after[0] > before[-1] + 2:  # the line at the seam may be in two parts
            assert client.marks(Break), "what may be missing is named"
        await guest.destroy()


@pytest.mark.ends_before_its_input
async def test_input_on_its_way_stays_behind_and_is_accounted_for(
    hosts: Hosts, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    here, there = hosts
    guest = await boot_guest(here, state="paused")
    mux = await daemon(here.uri, there.uri)
    async with pasting(mux.socket, guest.name) as one, asyncio.TaskGroup() as tasks:
        await guest.resume()
        await one.until_output(BANNER)
        tasks.create_task(one.type(PASTE))
        await one.until(lambda one: len(one.output) > 2000)
        await guest.migrate(there)
        reason = await one.until_ended(1)
        assert (reason.cause, reason.moved_to) == (Cause.GUEST_MIGRATED, there.uri)
        await one.until_decided(1)
        await one.until_attached(2)
        fate = one.fate(1)
        assert fate.cause is Cause.GUEST_MIGRATED
        assert fate.accepted > 0
        assert fate.rejected > 0
        assert fate.accepted + fate.unknown + fate.rejected == one.sent[1]
        one.put(b"late", 1)  # it still means the source
        await one.until_decided(1, rejected=fate.rejected + 4)
        await one.type(b"=end=", 2)
        await one.until_output(b"=end=")
        assert reason.offset is not None
        before, after = one.output[len(BANNER) : reason.offset], one.output[reason.offset :].removesuffix(b"=end=")
        arrived = PASTE[: fate.accepted + fate.unknown]
        assert arrived.startswith(before)
        assert after in arrived[len(before) :], "what the guest had not yet echoed when it moved, once"


async def test_a_guest_takes_all_of_its_consoles_along(
    hosts: Hosts, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    here, there = hosts
    guest = await boot_guest(here, state="paused", extra_devices=SECOND_SERIAL)
    mux = await daemon(here.uri, there.uri)
    async with follow_all(mux.socket, [(guest.name, f"serial{number}") for number in range(2)]) as clients:
        for client in clients:
            await client.until_attached()
        await guest.resume()
        await clients[0].until_output(BANNER)
        before = [(client.console.place.info.console, client.console.position.history) for client in clients]
        await guest.migrate(there)
        for client in clients:
            await client.until(lambda one: one.console.attachment == 2)
            assert openings_and_ends(client) == [Attached, Ended, Attached]
            assert [reason.moved_to for reason in client.reasons] == [there.uri]
            await client.write(b"moved")
        await clients[0].until_output(b"moved")
        await mux.until_listed(guest.name, state="attached")  # those of the definition that is left behind go with it
        listed = await consoles_of(mux, guest)
        assert [(row["console"], row["position"].partition(":")[0]) for row in listed] == before
        assert {(row["state"], row["id"]["uri"]) for row in listed} == {("attached", there.uri)}


async def test_a_paused_guest_that_moves_is_followed_too(
    hosts: Hosts, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    here, there = hosts
    guest = await boot_guest(here, state="paused")
    mux = await daemon(here.uri, there.uri)
    async with follow(mux.socket, guest.name) as client:
        await boot(guest, client, says=BANNER)
        await guest.suspend()
        await guest.migrate(there)
        await client.until(lambda one: len(one.marks(Attached)) == 2)
        assert [reason.moved_to for reason in client.reasons] == [there.uri]
        await guest.resume()
        await client.echo(b"awake at the new host")


async def test_a_migration_that_fails_leaves_notes_and_no_end(
    hosts: Hosts, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    here, there = hosts
    guest = await boot_guest(here, state="paused")
    mux = await daemon(here.uri, there.uri)
    async with follow(mux.socket, guest.name) as client:
        await boot(guest, client, says=BANNER)
        for failures in (1, 2):
            await guest.fail_to_migrate(there)
            await client.until(lambda one, failures=failures: len(notes(one)) == 2 * failures)  # type: ignore[misc]
            assert notes(client) == ["migrating", "migration-failed"] * failures
            await client.echo(f"stayed {failures}".encode())
        assert openings_and_ends(client) == [Attached]
        await guest.migrate(there)
        await client.until(lambda one: len(one.marks(Attached)) == 2)
        assert [reason.moved_to for reason in client.reasons] == [there.uri], "after failures it can still be moved"


async def test_a_migration_that_fails_on_its_way_is_no_end_however_late(
    libvirtd: Libvirtd, own_libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon
) -> None:
    guest = await linux(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, own_libvirtd.uri)
    async with follow(mux.socket, guest.name) as client:
        await boot(guest, client)
        async with asyncio.TaskGroup() as tasks:
            moving = tasks.create_task(_fail(guest, own_libvirtd, "canceled by client"))
            await client.until(lambda one: notes(one) == ["migrating"])
            await client.echo(b"echo on its way\r")
            await libvirtd.virsh("domjobabort", guest.name)
            await moving
        await client.until(lambda one: notes(one) == ["migrating", "migration-failed"])
        await client.echo(b"echo called off\r")

        # The destination dies when the guest stands still already.
        async with asyncio.TaskGroup() as tasks:
            moving = tasks.create_task(_fail(guest, own_libvirtd, "client socket is closed"))
            await client.until(lambda one: notes(one)[2:] == ["migrating"])
            await guest.until_on_its_way()
            own_libvirtd.freeze()
            await libvirtd.virsh("migrate-setspeed", guest.name, "1000")
            await guest.until("paused (migrating)")
            own_libvirtd.kill()
            await moving
        await client.until(lambda one: notes(one)[2:] == ["migrating", "migration-failed"])
        await client.echo(b"echo stayed\r")
        assert openings_and_ends(client) == [Attached]


async def _fail(guest: Guest, to: Libvirtd, why: str) -> None:
    with pytest.raises(VirshError, match=why):
        await guest.migrate(to, SLOWLY)


async def test_a_guest_that_moves_where_virtmux_does_not_look_has_ended(
    hosts: Hosts, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    here, there = hosts
    guest = await boot_guest(here, state="paused")
    mux = await daemon(here.uri)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(follow(mux.socket, guest.name))
        await boot(guest, client, says=BANNER)
        leaving = [await _attach(stack, mux, guest, b"a", *options) for options in ([], ["--once"])]
        await guest.migrate(there, ())
        reason = await client.until_ended()
        assert (told(reason), reason.moved_to) == (MOVED, None)
        assert "does not know" in reason.text
        assert openings_and_ends(client) == [Attached, Ended]
        for attach in leaving:
            await _leaves_with(attach, reason)


async def test_attach_rides_out_a_move_that_is_followed_and_once_does_not(
    hosts: Hosts, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    here, there = hosts
    guest = await boot_guest(here, state="paused")
    mux = await daemon(here.uri, there.uri)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(follow(mux.socket, guest.name))
        await boot(guest, client, says=BANNER)
        riding = await _attach(stack, mux, guest, b"r")
        once = await _attach(stack, mux, guest, b"o", "--once")
        assert riding.stdout is not None
        assert await riding.stdout.readexactly(1) == b"o"
        await guest.migrate(there)
        async with asyncio.timeout(PATIENCE):
            await client.until(lambda one: len(one.marks(Attached)) == 2)
            (reason,) = client.reasons
            assert (told(reason), reason.moved_to) == (MOVED, there.uri)
            await _leaves_with(once, reason)
            await client.echo(b"at its new host")
            assert await riding.stdout.readexactly(15) == b"at its new host"
        assert riding.returncode is None


def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


async def _attach(
    stack: AsyncExitStack, mux: Daemon, guest: Guest, key: bytes, *options: str
) -> asyncio.subprocess.Process:
    """`virtmux attach`, which has typed `key` and seen its echo."""
    process = await mux.client("attach", guest.name, "--json", *options)
    stack.callback(_end, process)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(key)
    async with asyncio.timeout(PATIENCE):
        assert await process.stdout.readexactly(1) == key
    return process


async def _leaves_with(attach: asyncio.subprocess.Process, reason: Reason) -> None:
    async with asyncio.timeout(PATIENCE):
        _, talk = await attach.communicate()
    assert (attach.returncode, decode(talk.decode())) == (reason.exit_status, reason)


async def test_two_domains_of_one_uuid_are_two_consoles(
    hosts: Hosts, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    here, there = hosts
    guest = await boot_guest(here, state="paused")
    twin = Guest(there, guest.name, guest.uuid, guest.xml)
    await twin.define()
    mux = await daemon(here.uri, there.uri)
    async with follow(mux.socket, guest.name, uri=here.uri) as client:
        await boot(guest, client, says=BANNER)
        await twin.start(paused=True)
        async with follow(mux.socket, guest.name, uri=there.uri) as other:
            await boot(twin, other, says=BANNER)
            await client.echo(b"one")
            await other.echo(b"the other")
            assert b"other" not in client.output
            assert len({row["console"] for row in await consoles_of(mux, guest)}) == 2
            await twin.destroy()
            assert (await other.until_ended()).cause is Cause.GUEST_DESTROYED
            await client.echo(b"still one")
            assert openings_and_ends(client) == [Attached]
            assert not notes(client)
