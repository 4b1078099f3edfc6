"""`virtmux screen` and `attach --replay screen` with a real full-screen program in a real guest."""

import json
from typing import Any

import pyte

from tests.harness.daemon import Daemon
from tests.harness.follower import PATIENCE, Follower, boot, follow
from tests.harness.guest import Guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import ESCAPE, at_terminal
from tests.integration.conftest import StartDaemon, StartGuest

#: What busybox's editor shows at its bottom.
STATUS = b"- profile 1/2 50%"


async def editing(libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon) -> tuple[Guest, Daemon]:
    """A guest that has a file open in an editor on its console, on the alternate screen."""
    guest = await linux(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as client:
        await boot(guest, client)
        await client.write(b"cd /etc; vi profile\r")
        await client.until_output(STATUS)
        await settled(client)
    return guest, mux


async def settled(client: Follower) -> None:
    """The editor has drawn its screen: it takes the next key."""
    await client.write(b"j")
    await client.until_output(b"- profile 2/2 100%")


async def test_a_full_screen_program_is_shown_as_it_looks(
    libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon
) -> None:
    guest, mux = await editing(libvirtd, linux, daemon)
    status, out, _ = await mux.run_client("screen", guest.name)
    lines = out.decode().splitlines()
    assert (status, lines[:2], lines[2:-1]) == (0, ["PS1='virtmux-guest# '", "cd /root"], ["~"] * 21)
    assert lines[-1] == "- profile 2/2 100%"
    status, out, _ = await mux.run_client("screen", guest.name, "--json")
    told: dict[str, Any] = json.loads(out)
    assert (told["alternate"], told["cursor"]["y"], told["text"]) == (True, 1, lines)


async def test_attach_repaints_it_and_what_is_typed_then_appears_in_its_place(
    libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon
) -> None:
    guest, mux = await editing(libvirtd, linux, daemon)
    shown = pyte.Screen(80, 24)
    stream = pyte.ByteStream(shown)
    arguments = ["attach", guest.name, "--replay", "screen", "--quiet"]
    async with at_terminal(mux.socket, *arguments, seconds=PATIENCE) as person:
        stream.feed(await person.expect(STATUS.replace(b"1/2 50%", b"2/2 100%")))
        assert [line.rstrip() for line in shown.display[:3]] == ["PS1='virtmux-guest# '", "cd /root", "~"]
        person.send(b"otyped")
        await person.expect(b"typed")
        person.send(ESCAPE)
        status, _ = await person.exit()
    assert status == 0
    status, out, _ = await mux.run_client("screen", guest.name)
    assert out.decode().splitlines()[2] == "typed"
