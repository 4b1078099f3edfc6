"""The log of a virtmuxd under a real journald: records with their fields, the audit, and a journald that hangs."""

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import virtmux
from tests.harness.daemon import Daemon
from tests.harness.echo import echoing, on_the_way, quiet_echoes
from tests.harness.follower import PATIENCE, follow
from tests.harness.journald import Journald
from tests.harness.libvirtd import Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest

PAGE = Path(__file__).parents[2] / "docs" / "logging.md"
SECRET = b"hunter2"
#: Places that come and go, of which there are two records each: more than a journald that hangs has room for.
VISITS = 600
assert int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) < 2 * VISITS
#: What this process is called, which is the client.
COMMAND = Path("/proc/self/comm").read_text().removesuffix("\n")


async def logged(journald: Journald, *matches: str, times: int = 1) -> list[dict[str, Any]]:
    """The entries with these fields, once there are so many."""
    async with asyncio.timeout(PATIENCE):
        while len(entries := await journald.entries("virtmuxd", *matches)) < times:
            await asyncio.sleep(0.1)
    return entries


async def visit(mux: Daemon, domain: str, times: int) -> None:
    """Take a place and give it up, so often."""
    async with virtmux.connect(mux.socket) as client:
        for _ in range(times):
            async with client.attach(domain):
                pass


async def test_records_have_their_fields_in_the_journal(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    with Journald() as journald:
        mux = await daemon(libvirtd.uri, through=journald.as_service)
        async with follow(mux.socket, guest.name) as client:
            await client.until_attached()
            await client.echo(SECRET)
            await guest.destroy()
            await client.until_ended()
        about = f"VIRTMUX_DOMAIN={guest.name}"
        (attached,) = await logged(journald, about, "VIRTMUX_ACTION=attach")
        (typed,) = await logged(journald, about, "VIRTMUX_ACTION=input")
        (detached,) = await logged(journald, about, "VIRTMUX_ACTION=detach")
        (ended,) = await logged(journald, about, "VIRTMUX_MESSAGE=a console has ended")
        await mux.stop()
        await logged(journald, "VIRTMUX_MESSAGE=stopped")
        assert SECRET.decode() not in await journald.journalctl("-o", "json", "--all")
        told = await journald.journalctl("-t", "virtmuxd", "-o", "cat", about, "VIRTMUX_CAUSE=guest-destroyed")
    assert (
        ended.items()
        >= {
            "VIRTMUX_URI": libvirtd.uri,
            "VIRTMUX_DEVICE": "serial0",
            "VIRTMUX_CAUSE": "guest-destroyed",
            "VIRTMUX_REASON": f"guest {guest.name} was destroyed",
            "PRIORITY": "6",
            "_TRANSPORT": "journal",
            "_PID": attached["_PID"],
        }.items()
    )
    who = {"VIRTMUX_UID": str(os.getuid()), "VIRTMUX_PID": str(os.getpid()), "VIRTMUX_COMMAND": COMMAND}
    for record in (attached, typed, detached):
        assert record.items() >= {**who, "VIRTMUX_READ_ONLY": "false"}.items()
    assert (attached["VIRTMUX_ROLE"], typed["VIRTMUX_BYTES"]) == ("writer", str(len(SECRET)))
    assert (detached["VIRTMUX_CAUSE"], detached["VIRTMUX_BYTES"]) == ("detached", str(len(SECRET)))
    assert told.startswith(f"a console has ended uri='{libvirtd.uri}' domain='{guest.name}' ")
    assert "cause='guest-destroyed'" in told


async def test_what_the_page_looks_for_is_found(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    (script,) = re.findall(r"```sh\n(journalctl.*?)```", PAGE.read_text(), re.DOTALL)
    lines = [line.partition("#")[0].strip().replace("web1", guest.name) for line in script.splitlines()]
    with Journald() as journald:
        mux = await daemon(libvirtd.uri, through=journald.as_service)
        await visit(mux, guest.name, 1)
        await logged(journald, "VIRTMUX_ACTION=detach")
        found = {line: await journald.sh(line) for line in lines}
        await mux.stop()
    about = [said for line, said in found.items() if line.endswith(f"VIRTMUX_DOMAIN={guest.name}")]
    attached = [said for line, said in found.items() if "VIRTMUX_ACTION=attach" in line]
    assert "audit: detached" in about[0]
    assert "audit: attached" in attached[0]
    assert "audit: detached" not in attached[0]
    assert '"VIRTMUX_USER"' in attached[1]


async def test_a_journald_that_hangs_holds_nothing_up_and_misses_nothing(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    with Journald() as journald:
        mux = await daemon(libvirtd.uri, through=journald.as_service)
        async with follow(mux.socket, guest.name) as client:
            await client.until_attached()
            quiet = await quiet_echoes(client, way=on_the_way(mux, guest))
            with journald.frozen():
                async with echoing(client, on_the_way(mux, guest)) as meanwhile:
                    await visit(mux, guest.name, VISITS)
            meanwhile.hold_against(quiet)
            assert len(await logged(journald, "VIRTMUX_ACTION=attach", times=1 + VISITS)) == 1 + VISITS
            assert len(await logged(journald, "VIRTMUX_ACTION=detach", times=VISITS)) == VISITS
        assert await journald.entries("virtmuxd", "VIRTMUX_MESSAGE=log records were dropped") == []
        await mux.stop()


async def test_a_journald_that_hangs_does_not_hold_up_the_end(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    with Journald() as journald:
        mux = await daemon(libvirtd.uri, through=journald.as_service)
        with journald.frozen():
            await visit(mux, guest.name, VISITS)
            assert await mux.stop() == 0
