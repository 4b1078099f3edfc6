"""Names that mean harm: libvirt takes nearly any, and a new name may be of any bytes. None acts or forges a line."""

import asyncio
import json
import os

from tests.harness.daemon import Daemon
from tests.harness.follower import follow
from tests.harness.hostile_output import is_harmless
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import ESCAPE, at_terminal, shown
from tests.integration.conftest import StartDaemon, StartGuest

FORGED = "virtmux: forged"
#: What a guest may be renamed to, and be run with: control functions of one character, and what parts lines.
RUNNING = f"\x9d0;titled\x9cb\tc\"'\\ \x9b31m\u202e\x85\n{FORGED}\u2028c\n"
#: What it may be renamed to, but not be run with: of these libvirt itself makes no XML that can be read.
UNREADABLE = "\x1b]0;titled\x07"
NO_UTF_8 = b"\xff\xfe"


def harmless(shown: bytes, *, colours: bool = False) -> bool:
    """Whether it is lines of text that are virtmux's own."""
    return is_harmless(shown, colours=colours, forged=FORGED)


async def said(mux: Daemon, *arguments: str) -> tuple[bytes, bytes]:
    """What a command prints in a pipe, and says."""
    _, output, talk = await mux.run_client(*arguments)
    return output, talk.encode()


def commands(name: str) -> list[list[str]]:
    """What tells of a guest in lines, and has a form in JSON."""
    return [
        ["list"],
        ["status"],
        ["who"],
        ["events", "--since", "-1h"],
        ["doctor", name],
        ["screen", name],
        ["wait", name, "attached", "--timeout", "0.1"],
        ["expect", name, "never", "--timeout", "0.1"],
        ["attach", name, "--linger", "0.1"],
    ]


def further_commands(name: str) -> list[list[str]]:
    """What has none, or several."""
    logs = [["log", name], ["log", name, "--list-boots"], ["log", name, "-o", "json"], ["log", name, "-o", "asciicast"]]
    return [*logs, ["start", name, "--attach"], ["console", name], ["release", name, "--for", "1"], ["reclaim", name]]


async def test_no_name_acts_on_a_terminal_or_forges_a_line(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri, arguments=["--domain", f"{guest.name}*"])
    await guest.rename(guest.name + RUNNING)
    await guest.start()
    await mux.until_listed(guest.name)
    name = str(guest.uuid)
    async with follow(mux.socket, name) as watcher:
        await watcher.until_attached()
        own = commands(name)
        in_pipes = [*own, *([*each, "--json"] for each in own), *further_commands(name)]
        told = await asyncio.gather(*(said(mux, *each) for each in in_pipes))
        for command, (output, talk) in zip(in_pipes, told, strict=True):
            assert harmless(output), f"{command}: {output!r}"
            assert harmless(talk), f"{command}: {talk!r}"
            if "--json" in command:
                assert all(map(json.loads, output.splitlines()))
        for each in [*own[:5], ["status", "--openmetrics"]]:
            assert harmless(await shown(mux.socket, *each), colours=True), each
        async with at_terminal(mux.socket, "attach", name) as person:
            words = await person.expect(b"Escape character")
            person.send(ESCAPE)
            assert harmless(words + (await person.exit())[1])
    for line in mux.log.splitlines():
        assert harmless(line.encode()), line
    for path in mux.journal.iterdir():
        assert harmless(path.name.encode())


async def test_a_domain_that_libvirt_cannot_tell_of_is_no_matter_to_the_others(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    well, unreadable, no_utf_8 = [
        await boot_guest(libvirtd, state=state) for state in ("running", "defined", "defined")
    ]
    mux = await daemon(libvirtd.uri)
    for guest in (unreadable, no_utf_8):
        await mux.until_listed(guest.name, running=False)  # by their names of before
    try:
        await libvirtd.virsh("domrename", unreadable.name, unreadable.name + UNREADABLE)
        await libvirtd.virsh("domrename", no_utf_8.name, no_utf_8.name + os.fsdecode(NO_UTF_8))
        await mux.until_logged(rf"{no_utf_8.name}\\xff\\xfe")
        _, talk = await said(mux, "start", str(unreadable.uuid))
        assert b"titled" in talk, "libvirt quotes it"
        assert harmless(talk)
        for restarted in (False, True):
            if restarted:
                await mux.stop()
                await mux.start()
            assert [each["connected"] for each in await mux.hypervisors()] == [True]
            async with follow(mux.socket, well.name) as client:
                await client.until_attached()
                await client.echo(b"typed")
        assert harmless(mux.log.encode())
    finally:
        for guest in (unreadable, no_utf_8):
            await libvirtd.virsh("undefine", str(guest.uuid))
