"""The journal: the log of a console is its guest's bytes and nothing else, and what is read of it is every byte."""

import grp
import os
import stat
from pathlib import Path

import pytest

import virtmux
from tests.harness.console_log import ConsoleLog, holding, raw_log
from tests.harness.container import GREETING, PRINT
from tests.harness.counts import seed
from tests.harness.flood import burst, flood, is_whole
from tests.harness.follower import follow
from tests.harness.guest import BANNER
from tests.harness.libvirtd import Libvirtd
from tests.harness.stalled import stalled
from tests.harness.stream import Expected, checking, write_random
from tests.integration.conftest import StartDaemon, StartGuest

MIB = 1 << 20
#: Segments and a ring so small that a guest fills some within seconds, and a disk that need not hurry.
SMALL = 'journal_size = 65536\nring = 65536\njournal_sync = "never"\n'
SEGMENT = 65536
#: Bytes; in some five segments.
MANY = 5 * SEGMENT


async def test_a_log_is_the_guests_bytes_and_nothing_else(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    typed = bytes(range(0x20, 0x100))
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always")
    log = ConsoleLog(mux.journal, guest.name)
    async with follow(mux.socket, guest.name) as client:
        await guest.resume()
        await log.until_data(BANNER)
        await client.write(typed)
        await log.until_data(BANNER + typed)
        await guest.reset()
        await log.until_data(BANNER + typed + BANNER)
        assert client.output == log.data
    assert not log.rotated
    assert log.link.readlink().parts[0] == "by-id"
    assert log.path.resolve().parent.name == str(guest.uuid)


async def test_nobody_but_the_daemons_user_may_read_the_journal(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, attach="always")
    async with follow(mux.socket, guest.name) as client:
        await client.write(b"x")
        await ConsoleLog(mux.journal, guest.name).until(lambda log: b"x" in log.data)
    assert _modes(mux.journal) == {(0o600, os.getegid()), (0o700, os.getegid())}


async def test_a_group_may_read_the_journal_where_that_is_configured(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    group = grp.getgrgid(os.getgroups()[-1] if os.geteuid() else grp.getgrnam("adm").gr_gid)
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always", config=f'{SMALL}log_group = "{group.gr_name}"\n')
    async with follow(mux.socket, guest.name) as client:
        await guest.resume()
        await client.until_output(BANNER)
        await flood(client, SEGMENT)
        await ConsoleLog(mux.journal, guest.name).until(lambda log: log.rotated)
    await mux.stop()  # a file that is just being made is not the group's yet
    assert _modes(mux.journal) == {(0o640, group.gr_gid), (0o750, group.gr_gid)}


def _modes(directory: Path) -> set[tuple[int, int]]:
    """Modes and groups of all that lies there, links left out."""
    found = (path.stat() for path in (directory, *directory.rglob("*")) if not path.is_symlink())
    return {(stat.S_IMODE(each.st_mode), each.st_gid) for each in found}


async def test_every_byte_is_read_from_the_ring_and_the_rotated_logs(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always", config=f"{SMALL}journal_keep = 100\n")
    log = ConsoleLog(mux.journal, guest.name)
    async with follow(mux.socket, guest.name) as live:
        await guest.resume()
        await live.until_output(BANNER)
        await burst(live, log, MANY)
        printed = live.output
        assert is_whole(printed)
        await log.until_data(printed)
        assert len(log.rotated) >= 4
        assert [path.suffix for path in log.rotated] == [f".{number}" for number in reversed(range(len(log.rotated)))]
        async with follow(mux.socket, guest.name, replay="all") as late:
            await late.until_offset(len(printed))
            assert late.output == printed
            assert late.offsets == [(0, len(printed))]
            assert late.console.place.missing_from is None
            assert late.marks(virtmux.Attached) == live.marks(virtmux.Attached)
        assert await raw_log(mux, guest.name) == (printed, "")
    await mux.stop()
    assert await raw_log(mux, guest.name) == (printed, "")


async def test_what_is_kept_of_a_console_is_bounded_and_what_is_dropped_is_named(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    # The ring must not reach further back than what the journal keeps, which is one segment and a part of another.
    config = f"{SMALL}journal_keep = 1\n".replace("ring = 65536", "ring = 32768")
    mux = await daemon(libvirtd.uri, attach="always", config=config)
    log = ConsoleLog(mux.journal, guest.name)
    async with follow(mux.socket, guest.name) as live:
        await guest.resume()
        await live.until_output(BANNER)
        await burst(live, log, MANY)
        printed = live.output
        assert is_whole(printed)
    assert [path.suffix for path in log.rotated] == [".0"]
    sizes = sum(path.stat().st_size for path in log.path.parent.iterdir())
    assert sizes <= 2 * SEGMENT
    assert printed.endswith(log.data)
    first = len(printed) - len(log.data)
    assert first > SEGMENT
    async with follow(mux.socket, guest.name, replay="all") as late:
        await late.until_offset(len(printed))
        assert late.output == log.data
        assert late.offsets == [(first, len(printed))]
        assert late.console.place.missing_from == 0
    async with follow(mux.socket, guest.name, position="0") as late:
        await late.until_offset(len(printed))
        # Two of them where libvirt told of the resume behind the first bytes: its mark is between them.
        assert (late.gaps[0][0], late.gaps[-1][1]) == (0, first)
        assert late.output == log.data


@pytest.mark.where_it_can_be_had
async def test_a_reader_that_stalls_behind_the_ring_gets_every_byte(
    lxc: Libvirtd, start_talker: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    stream = write_random(tmp_path / "output", 2 * MIB, seed())
    guest = await start_talker(lxc, output=tmp_path / "output")
    mux = await daemon(lxc.uri, config="ring = 2097152\njournal_size = 1048576\njournal_keep = 20\n")
    log = ConsoleLog(mux.journal, guest.name, "console0")
    expected = Expected(GREETING, stream, times=4)
    async with checking(mux.socket, guest.name, expected) as live:
        await live.until_at(len(GREETING))
        async with stalled(mux.socket, guest.name, expected) as deaf:
            for printed in range(1, 5):
                await live.console.write(PRINT)
                await live.until_at(len(GREETING) + printed * len(stream))
                await log.until(lambda log, end=live.offset: len(log.data) == end)  # type: ignore[misc]
            await deaf.catch_up(live.console.position)
            assert not deaf.gaps
            assert deaf.received == 4 * len(stream)
        assert not live.gaps
        assert not expected.check(0, log.data)
        assert not expected.check(0, (await raw_log(mux, guest.name))[0])


async def test_consoles_that_are_not_for_the_disk_leave_nothing_there(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guests = [await boot_guest(libvirtd, state="paused") for _ in range(3)]
    rules = "".join(
        f'[[console]]\nmatch = "{guest.name}*"\njournal = "{keep}"\n'
        for guest, keep in zip(guests, ("disk", "memory", "none"), strict=True)
    )
    mux = await daemon(libvirtd.uri, attach="always", config=rules)
    disk, memory, none = guests
    for guest in guests:
        async with follow(mux.socket, guest.name) as client:
            await guest.resume()
            await client.until_output(BANNER)
            await client.echo(guest.name.encode())
    await ConsoleLog(mux.journal, disk.name).until_data(BANNER + disk.name.encode())
    for guest in guests:
        async with follow(mux.socket, guest.name, replay="all") as late:
            await late.until_output(guest.name.encode())
    rows = {row["id"]["domain"]: row["journal"] for row in await mux.consoles()}
    assert rows == {disk.name: "disk", memory.name: "memory", none.name: "none"}
    assert holding(mux.journal, memory.name, memory.uuid) == holding(mux.journal, none.name, none.uuid) == []
    assert holding(mux.runtime, memory.name, memory.uuid)
    assert holding(mux.runtime, none.name, none.uuid) == []
    await mux.stop()
    assert holding(mux.journal, memory.name, memory.uuid) == holding(mux.journal, none.name, none.uuid) == []
    assert holding(mux.runtime, none.name, none.uuid) == []


async def test_what_undefined_guests_left_goes_first_where_there_is_too_much_and_then_what_is_old(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    total = 3 * SEGMENT
    guests = [await boot_guest(libvirtd, state="paused") for _ in range(2)]
    config = f"{SMALL}journal_keep = 100\njournal_total = {total}\n"
    mux = await daemon(libvirtd.uri, attach="always", config=config)
    (undefined, log), (defined, other) = [(guest, ConsoleLog(mux.journal, guest.name)) for guest in guests]
    async with follow(mux.socket, undefined.name) as client:
        await undefined.resume()
        await client.until_output(BANNER)
        await burst(client, log, SEGMENT)
    await undefined.destroy()
    await undefined.undefine()
    async with follow(mux.socket, defined.name) as client:
        await defined.resume()
        await client.until_output(BANNER)
        await burst(client, other, SEGMENT)
        assert log.path.exists(), "there is room for both"
        await burst(client, other, total)
        assert client.output.endswith(other.data)
        assert len(other.data) > SEGMENT, "no more is dropped than has to be"
    assert holding(mux.journal, undefined.name, undefined.uuid) == []
    held = sum(path.stat().st_size for path in mux.journal.rglob("*") if path.is_file())
    assert held <= total + SEGMENT // 2, "a little more, until it is looked at again"
