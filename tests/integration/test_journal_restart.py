"""The daemon dies, the machine is started again: what the journal holds goes on, or is closed and kept, and said."""

import asyncio
import json
import random
from pathlib import Path

from tests.harness.console_log import ConsoleLog, raw_log
from tests.harness.counts import count, seed
from tests.harness.daemon import PROGRAMS, Daemon
from tests.harness.flood import flood
from tests.harness.follower import PATIENCE, follow
from tests.harness.guest import BANNER, FLOOD, Guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.machine import Machine, empty_rings
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Attached, Break

KILLS = count(3, 40)
#: A ring and segments that are much smaller than what is printed between two kills.
SMALL = 'ring = 65536\njournal_size = 65536\njournal_keep = 1000\njournal_sync = "never"\n'


async def test_after_sigkills_a_log_goes_on_with_no_byte_twice_and_none_missing(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    moments = random.Random(seed())
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always", config=SMALL)
    log = ConsoleLog(mux.journal, guest.name)
    async with follow(mux.socket, guest.name, replay="all") as client:
        await guest.resume()
        await client.until_output(BANNER)
        await client.write(FLOOD)
        for kill in range(1, KILLS + 1):
            await asyncio.sleep(moments.uniform(0.1, 1))
            await mux.kill()
            await mux.start()
            await client.until(lambda one, kill=kill: len(one.marks(Attached)) == kill + 1)  # type: ignore[misc]
        await client.write(b".")
        await client.until_last(b".")
        assert client.offsets == [(0, len(client.output))]
        await log.until_data(client.output)
        output, said = await raw_log(mux, guest.name)
        assert output == client.output
        assert "bytes of output are missing" not in said
        assert said.count("nobody held the console") == KILLS


async def test_a_history_goes_on_from_the_journals_clean_stop_where_its_ring_is_gone(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always")
    await _goes_on(guest, mux)


async def test_a_history_goes_on_over_a_restart_of_the_machine_behind_a_clean_stop(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    machine = Machine(tmp_path)
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always", through=machine.through)
    await _goes_on(guest, mux, machine)


async def _goes_on(guest: Guest, mux: Daemon, machine: Machine | None = None) -> None:
    log = ConsoleLog(mux.journal, guest.name)
    async with follow(mux.socket, guest.name, replay="all") as client:
        await guest.resume()
        await client.until_output(BANNER)
        assert await mux.stop() == 0
        assert log.data == BANNER, "all is written when it has stopped"
        _restart(mux, machine)
        await mux.start()
        await client.until(lambda one: len(one.marks(Attached)) == 2)
        await client.echo(b"after")
        assert client.output == BANNER + b"after"
        assert client.offsets == [(0, len(BANNER) + 5)]
        assert len(client.marks(Break)) == 1
        assert not client.console.place.missing
        await log.until_data(BANNER + b"after")
        assert not log.rotated
        async with follow(mux.socket, guest.name, replay="all") as late:
            await late.until_output(b"after")
            assert late.output == client.output
            assert late.marks(Attached) == client.marks(Attached)
            assert late.marks(Break) == client.marks(Break)
        output, said = await raw_log(mux, guest.name)
        assert output == BANNER + b"after"
        assert "history" not in said


def _restart(mux: Daemon, machine: Machine | None) -> None:
    if machine is None:
        empty_rings(mux)
    else:
        machine.restart(mux)


async def test_a_sigkill_with_the_rings_gone_begins_a_new_history_that_is_told(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always")
    await _begins_anew(guest, mux)


async def test_a_sigkill_and_a_restart_of_the_machine_close_the_log_and_begin_a_new_history(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    machine = Machine(tmp_path)
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always", through=machine.through)
    await _begins_anew(guest, mux, machine)


async def _begins_anew(guest: Guest, mux: Daemon, machine: Machine | None = None) -> None:
    log = ConsoleLog(mux.journal, guest.name)
    async with follow(mux.socket, guest.name) as client:
        await guest.resume()
        await client.until_output(BANNER)
        await flood(client, 20_000)
        former, output = client.console.position, client.output
        await log.until_data(output)
    await mux.kill()
    _restart(mux, machine)
    await mux.start()
    async with follow(mux.socket, guest.name, position=str(former)) as client:
        await client.until_attached()
        assert client.console.place.missing, "its history is not the one that goes on"
        assert client.console.position.history != former.history
        await client.echo(b"anew")
        assert client.offsets[0][0] == 0
        assert client.output == b"anew"
    await log.until(lambda log: log.path.read_bytes() == b"anew")
    assert [path.read_bytes() for path in log.rotated] == [output]
    closed = json.loads(log.path.with_name("serial0.idx.0").read_bytes().splitlines()[-1][9:])
    assert closed["entry"] == "closed"
    shown, said = await raw_log(mux, guest.name)
    assert shown == output + b"anew"
    assert "another history begins here" in said
    await mux.stop()
    assert await raw_log(mux, guest.name) == (shown, said)


async def test_a_second_daemon_cannot_have_the_same_journal(libvirtd: Libvirtd, daemon: StartDaemon) -> None:
    mux = await daemon(libvirtd.uri)
    socket = mux.directory / "another" / "virtmux.sock"
    command: list[str | Path] = [
        PROGRAMS / "virtmuxd",
        "--uri",
        libvirtd.uri,
        "--socket",
        socket,
        "--journal-directory",
        mux.journal,
    ]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(PATIENCE):
        _, error = await process.communicate()
    assert process.returncode == 1
    said = [line for line in error.decode().splitlines() if line.startswith("virtmuxd: ")]
    end = "end that one, or choose another directory with --journal-directory"
    assert said == [f"virtmuxd: another virtmuxd uses {mux.journal}; {end}"]
    assert await mux.hypervisors()
    assert b"Traceback" not in error
