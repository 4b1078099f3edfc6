"""What README.md shows of two people at a console, and docs/scripts.md of a reason, is what comes of it."""

import json
import os
import re
from typing import Any

from tests.harness.daemon import PROGRAMS
from tests.harness.follower import PATIENCE, boot, follow
from tests.harness.guest import PROMPT, Guest
from tests.harness.libvirtd import Libvirtd
from tests.harness.pages import README, SCRIPTS, blocks
from tests.harness.processes import ended
from tests.harness.terminal import ESCAPE
from tests.harness.tmux import SESSION, Tmux
from tests.harness.virsh_console import virsh_console
from tests.integration.conftest import StartDaemon, StartGuest

#: What is another each time, and what stands for it here.
VARIES = ((r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN"), (r"[\w.-]+ \(pid \d+\)", "SOMEBODY"))
GUEST_PROMPT = PROMPT.decode().rstrip()


def constant(shown: str) -> str:
    """A transcript without what is another each time."""
    for pattern, word in VARIES:
        shown = re.sub(pattern, word, shown)
    return shown


class Shell:
    """A shell in a window of tmux, and the person before it; the guest is called as it is in the page."""

    def __init__(self, tmux: Tmux, person: str, guest: Guest) -> None:
        self._tmux = tmux
        self._window = f"{SESSION}:{person}"
        self._guest = guest.name
        new = ["new-window", "-t", SESSION] if SESSION in tmux.sessions() else ["new-session", "-s", SESSION]
        tmux.run(*new, "-d", "-n", person, "env 'PS1=$ ' sh")

    @property
    def shown(self) -> str:
        """All that the terminal has shown, without blanks at the ends of its lines."""
        shown = "\n".join(line.rstrip() for line in self._tmux.screen(self._window).splitlines())
        return shown.rstrip().replace(self._guest, "web1")

    async def until(self, *ends: str) -> None:
        """Wait until the last lines end so."""
        await self._tmux.until(lambda: constant(self.shown).endswith("\n".join(ends)))

    def type(self, line: str) -> None:
        self._tmux.type(self._window, line.replace("web1", self._guest).encode() + b"\r")

    async def until_answered(self) -> None:
        """Wait until the guest, which asks at each prompt how wide the terminal is, has been answered: what is typed
        behind the answer is echoed, and taken back here."""
        self._tmux.type(self._window, b"x")
        await self.until(f"{GUEST_PROMPT} x")
        self._tmux.type(self._window, b"\x7f")
        await self.until(GUEST_PROMPT)

    async def attach(self, *options: str) -> None:
        """Type the command, and wait until what is typed goes to the guest."""
        await self.until("$")
        self.type(" ".join(["virtmux attach web1", *options]))
        await self._tmux.until_shown(self._window, "Escape character is")
        await self._tmux.until_raw(self._window)


async def test_two_people_at_a_console_see_what_the_readme_shows(
    libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon, tmux: Tmux
) -> None:
    guest = await linux(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as first:
        await boot(guest, first)
    path = f"{PROGRAMS}:{os.environ['PATH']}"
    tmux.set_environment({"VIRTMUX_SOCKET": str(mux.socket), "PATH": path, "ENV": ""})

    alice = Shell(tmux, "alice", guest)
    await alice.attach("--replay", "none")
    alice.type("")
    await alice.until(GUEST_PROMPT)
    await alice.until_answered()
    async with virsh_console(guest, "--force") as virsh:
        await alice.until("; waiting to attach again", GUEST_PROMPT)
        virsh.send(ESCAPE)
        await virsh.exit()
    await alice.until("virtmux: attached again", GUEST_PROMPT)
    alice.type("echo hello from alice")
    await alice.until("hello from alice", GUEST_PROMPT)

    bob = Shell(tmux, "bob", guest)
    await bob.attach("--replay", "none")
    await bob.until("SOMEBODY is attached too and may type")
    await alice.until("SOMEBODY attached too and may type", GUEST_PROMPT)
    bob.type("")
    await bob.until("", GUEST_PROMPT)
    bob.type("hostname")
    for one in (alice, bob):
        await one.until("virtmux-guest", GUEST_PROMPT)
    for one in (alice, bob):
        await one.until_answered()
    await guest.destroy()
    for one in (alice, bob):
        await one.until("; leaving (--stay waits for its next start)", "$")
        one.type("echo $?")
        await one.until("10", "$")

    for one, block in zip((alice, bob), blocks(README, "A transcript"), strict=True):
        print(one.shown)  # for the readme, where this fails
        assert constant(one.shown) == constant(f"{block}$")


async def test_a_reason_is_as_the_guide_shows_it(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    process = await mux.client("attach", guest.name, "--json")
    await mux.until_listed(guest.name, state="attached", clients=1)
    await guest.destroy()
    _, said = await ended(process, seconds=PATIENCE)
    (block,) = blocks(SCRIPTS, "Why it ended", "json")
    assert fields(said.splitlines()[-1]) == fields(block)


def fields(text: str | bytes) -> list[tuple[str, Any]]:
    """The fields of a reason in their order, without what is another each time."""
    reason = json.loads(text)
    reason |= dict.fromkeys(("offset", "at"), "...")
    reason["text"] = reason["text"].replace(reason["console"]["domain"], "web1")
    reason["console"] = [(name, value if name == "device" else "...") for name, value in reason["console"].items()]
    return list(reason.items())
