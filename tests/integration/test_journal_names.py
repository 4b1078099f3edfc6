"""Whatever a domain is called, its log is found by its name, until it is forgotten."""

import asyncio
import os

from tests.harness.console_log import ConsoleLog, holding, raw_log, raw_log_of_files
from tests.harness.daemon import Daemon
from tests.harness.flood import flood
from tests.harness.follower import PATIENCE, boot, follow
from tests.harness.guest import BANNER, Guest
from tests.harness.libvirtd import Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest

#: What libvirt takes as a name; it takes no slash.
NAMES = ["with space", "..dots", "-dash", "grün 🦊", "a:b", "a:serial0", "by-id", "50%2F~"]


async def test_whatever_a_domain_is_called_its_log_is_found_by_its_name(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guests = [await boot_guest(libvirtd, state="paused", name=name) for name in NAMES]
    mux = await daemon(libvirtd.uri, attach="always")
    for guest in guests:
        said = BANNER + guest.name.encode()
        async with follow(mux.socket, guest.name) as client:
            await guest.resume()
            await client.until_output(BANNER)
            await client.write(guest.name.encode())
            await ConsoleLog(mux.journal, guest.name).until_data(said)
            async with follow(mux.socket, guest.name, replay="all", hold=False) as late:
                await late.until_output(said)
    links = [path for path in mux.journal.iterdir() if path.name != "by-id"]
    by_id = (mux.journal / "by-id").resolve()
    assert sorted(link.resolve().name for link in links) == sorted(str(guest.uuid) for guest in guests)
    assert all(by_id in link.resolve().parents for link in links)
    assert not any(link.name.startswith(("-", ".")) for link in links)
    await mux.stop()
    shown = await asyncio.gather(*(raw_log(mux, guest.name) for guest in guests))
    assert [output for output, _ in shown] == [BANNER + guest.name.encode() for guest in guests]


async def test_guests_of_one_name_on_two_hypervisors_have_a_log_each(
    libvirtd: Libvirtd, own_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    one = await boot_guest(libvirtd)
    other = await boot_guest(own_libvirtd, name=one.name)
    mux = await daemon(libvirtd.uri, own_libvirtd.uri, attach="always")
    for guest in (one, other):
        async with follow(mux.socket, guest.name, uri=guest.libvirtd.uri) as client:
            await client.until_attached()
            await client.echo(str(guest.uuid).encode())
        status, output, error = await mux.run_client("log", "-o", "raw", guest.name, "--uri", guest.libvirtd.uri)
        assert (status, error) == (0, "")
        assert output.endswith(str(guest.uuid).encode())
    plain = ConsoleLog(mux.journal, one.name)
    (long,) = mux.journal.glob(f"{one.name}~*")
    logs = {path: (path / "serial0.log") for path in (plain.link, long)}
    await plain.until(lambda _: all(path.stat().st_size >= 36 for path in logs.values()))
    for link, path in logs.items():
        assert path.read_bytes().endswith(link.resolve().name.encode())
    assert {link.resolve().name for link in logs} == {str(one.uuid), str(other.uuid)}


async def test_a_domain_that_is_renamed_keeps_its_log_and_its_link_moves(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    former = guest.name
    mux = await daemon(libvirtd.uri, attach="always")
    async with follow(mux.socket, former) as client:
        await guest.resume()
        await client.until_output(BANNER)
        await guest.destroy()
        await client.until_ended()
        await guest.rename(f"{former}-renamed")
        await client.until_noted("renamed")
        log = ConsoleLog(mux.journal, guest.name)
        await log.until_data(BANNER)
        await log.until(lambda _: not os.path.lexists(mux.journal / former))
        await guest.start(paused=True)
        await client.until(lambda one: one.console.attachment is not None)
        await guest.resume()
        await client.until(lambda one: one.output.count(BANNER) == 2)  # before that it reads nothing
        await client.write(b"renamed")
        await log.until(lambda log: log.data.endswith(b"renamed"))
        assert log.data == client.output
        assert not log.rotated
    for read in (raw_log, raw_log_of_files):
        assert (await read(mux, former))[0] == (await read(mux, guest.name))[0] == log.data


async def test_a_domain_that_is_defined_anew_has_a_log_of_its_own_and_the_name(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    former = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always")
    await _say(mux, former, b"former")
    await _undefine(mux, former)
    guest = await boot_guest(libvirtd, state="paused", name=former.name)
    await _say(mux, guest, b"anew")
    log = ConsoleLog(mux.journal, guest.name)
    await log.until_data(BANNER + b"anew")
    assert log.path.resolve().parent.name == str(guest.uuid)
    for read in (raw_log, raw_log_of_files):
        assert (await read(mux, guest.name))[0] == BANNER + b"anew"
        assert (await read(mux, str(former.uuid)))[0] == BANNER + b"former"
    (aside,) = mux.journal.glob(f"{guest.name}~*")
    assert (aside / "serial0.log").read_bytes() == BANNER + b"former"


async def test_what_an_undefined_guest_said_is_found_until_it_is_forgotten(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always")
    await _say(mux, guest, b"a secret")
    await _undefine(mux, guest)
    for name in (guest.name, str(guest.uuid)):
        assert (await raw_log(mux, name))[0] == BANNER + b"a secret"
        assert (await raw_log_of_files(mux, name))[0] == BANNER + b"a secret"
    assert (await mux.run_client("forget", guest.name))[0] == 0
    for directory in (mux.journal, mux.runtime):
        assert holding(directory, guest.name, guest.uuid, "a secret") == []
    for name in (guest.name, str(guest.uuid)):
        assert (await mux.run_client("log", name))[0] == 3
    assert (await mux.run_client("forget", guest.name))[0] == 3, "nothing is left to be forgotten"


async def test_what_is_forgotten_of_a_console_that_is_held_is_gone_and_the_console_goes_on(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    config = 'journal_size = 65536\njournal_sync = "never"\n'
    mux = await daemon(libvirtd.uri, attach="always", config=config)
    log = ConsoleLog(mux.journal, guest.name)
    async with follow(mux.socket, guest.name) as client:
        await guest.resume()
        await client.until_output(BANNER)
        await flood(client, 65536)
        await client.write(b"a secret")
        await log.until(lambda log: log.rotated and log.data.endswith(b"a secret"))
        await client.until_output(b"a secret")
        forgotten = client.console.position.offset
        assert (await mux.run_client("forget", guest.name))[0] == 0
        assert holding(mux.directory, "line 000", "a secret") == []
        await client.write(b"what comes then")
        await log.until(lambda log: log.data == b"what comes then")
        await client.until_output(b"what comes then")
        assert client.offsets == [(0, forgotten + 15)]
        assert not client.gaps
    async with follow(mux.socket, guest.name, position="0") as late:
        await late.until_output(b"what comes then")
        assert late.gaps == [(0, forgotten)]
        assert late.output == b"what comes then"
    for _ in range(2):
        assert (await raw_log_of_files(mux, guest.name))[0] == b"what comes then"
        assert holding(mux.directory, "line 000", "a secret") == []
        await mux.kill()
        await mux.start()


async def _say(mux: Daemon, guest: Guest, said: bytes) -> None:
    """Start a guest that is paused, and let it say something; returns once that is in its log."""
    async with follow(mux.socket, guest.name) as client:
        await boot(guest, client, says=BANNER)
        await client.echo(said)
        await ConsoleLog(mux.journal, guest.name).until_data(BANNER + said)


async def _undefine(mux: Daemon, guest: Guest) -> None:
    """Returns once the daemon knows."""
    await guest.destroy()
    await guest.undefine()
    async with asyncio.timeout(PATIENCE):
        while any(row["id"]["uuid"] == str(guest.uuid) for row in await mux.consoles()):
            await asyncio.sleep(0.05)
