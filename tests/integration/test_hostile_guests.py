"""Guests that mean harm by what they say: the terminal that is attached gets it as from a serial line, and nobody else.

What never ends is in test_endless_output, what they are called in test_hostile_names, windows of tmux in test_tmux.
"""

import asyncio
import base64
import json
import random
import re
import shlex

import pytest

from tests.harness.counts import seed
from tests.harness.daemon import PROGRAMS, Daemon
from tests.harness.follower import boot, follow
from tests.harness.guest import BANNER, SAY_AGAIN, SAYS_AGAIN
from tests.harness.hostile_output import ACTIONS, REQUESTS, is_harmless
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import at_terminal, shown
from tests.harness.tmux import SESSION, Tmux
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux.escapes import MAX_SEQUENCE

INTERRUPT = b"\x03"
PANE = f"{SESSION}:"
#: What the boot-sector guest does not merely echo.
_COMMANDS = re.compile(rb"[\x04\x06\x10\x12\x13]")
HOSTILE = b"".join(each for each in (*REQUESTS, *ACTIONS) if not _COMMANDS.search(each))
#: What `attach` has the terminal do itself before the guest may set a title.
KEEP_TITLE = b"\x1b[22;0t"
ANSWER = re.compile(rb"\x1b\[\d+;\d+R")


async def test_a_terminal_that_is_attached_gets_every_byte_as_the_guest_says_it(
    libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon
) -> None:
    guest = await linux(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    alone = b"".join(b"\r\n%02x:%c." % (byte, byte) for byte in range(256))
    said = b"".join([alone, HOSTILE, bytes(range(256)), random.Random(seed()).randbytes(2048)])
    end = b"\x1b\\\r\n.the end."
    async with follow(mux.socket, guest.name) as watcher:
        await boot(guest, watcher)
        await watcher.write(SAY_AGAIN)
        await watcher.until_output(SAYS_AGAIN)
        async with at_terminal(mux.socket, "attach", guest.name, "--replay", "none") as person:
            await person.expect(b"attached too and may type\r\n")
            await watcher.write(said + end)
            assert (await person.expect(end)).replace(KEEP_TITLE, b"", 1) == said


def attach_in(tmux: Tmux, mux: Daemon, *arguments: str) -> None:
    """Run `virtmux attach ARGUMENTS` in the pane of a new tmux, which stays when that ends."""
    command = [PROGRAMS / "virtmux", "--socket", mux.socket, "attach", *arguments]
    tmux.run("new-session", "-d", "-s", SESSION, f"{shlex.join(map(str, command))}; sleep 1000")


@pytest.mark.parametrize("replay", [[], ["--replay", "all"], ["--replay", "screen"]])
async def test_a_terminal_answers_what_is_asked_now_and_nothing_of_the_past(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmux: Tmux, replay: list[str]
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as watcher:
        await boot(guest, watcher, says=BANNER)
        await watcher.echo(HOSTILE + b"\r\nthe past> \x1b[6")
        before = len(watcher.output)
        attach_in(tmux, mux, *replay, guest.name)
        await tmux.until_shown(PANE, "the past>")
        await watcher.write(b"n")  # which makes a request of the last that was said before
        tmux.type(PANE, b"!")
        await watcher.until(lambda one: len(one.output) > before + 1)
        assert watcher.output[before:] == b"n!", "what the terminal had answered would stand before it"
        await watcher.echo(b"\x1b[6n")
        await watcher.until(lambda one: ANSWER.search(one.output, before))


async def test_a_sequence_that_never_ends_hides_nothing_that_attach_says(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmux: Tmux
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as watcher:
        await watcher.until_attached()
        attach_in(tmux, mux, "--replay", "none", guest.name)
        await tmux.until_shown(PANE, "is attached too")
        await watcher.echo(b"login: \x1b]2;" + b"x" * (2 * MAX_SEQUENCE))
        await tmux.until_shown(PANE, "login: ")
        await guest.suspend()
        await tmux.until_shown(PANE, "login: \nvirtmux: guest paused")
        await guest.destroy()
        await tmux.until_shown(PANE, f"virtmux: guest {guest.name} was destroyed (guest-destroyed)")


async def test_whatever_a_guest_says_acts_nowhere_else_and_is_whole_in_a_pipe(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    name = guest.name
    async with follow(mux.socket, name) as watcher:
        await boot(guest, watcher, says=BANNER)
        await watcher.echo(HOSTILE + bytes(range(0x80, 0x100)) + "\r\n\u202e\u2028-- forged --\r\nthe end".encode())
        said = watcher.output
        commands = [
            ["log", name],
            ["log", name, "--timestamps", "-n", "5"],
            ["log", name, "-o", "json"],
            ["log", name, "-o", "asciicast"],
            ["log", name, "--list-boots"],
            ["screen", name],
            ["screen", name, "--json"],
            ["expect", name, "(?s)ready.*the end", "--from", "0"],
            ["expect", name, "(?s)ready.*(the end)", "--from", "0", "--json"],
            ["expect", name, "never", "--from", "0", "--timeout", "0.1"],
            ["events", "--since", "-1h"],
            ["who", name],
            ["list"],
            ["doctor", name],
        ]
        for command, words in zip(
            commands, await asyncio.gather(*(shown(mux.socket, *each) for each in commands)), strict=True
        ):
            assert is_harmless(words, colours=command[0] in {"who", "list"}), f"{command}: {words!r}"
        assert is_harmless(await shown(mux.socket, "screen", "--ansi", name), colours=True)
        async with at_terminal(mux.socket, "log", "-f", name) as person:
            words = await person.expect(b"the end")
            await watcher.echo(HOSTILE + b"\r\nand more")
            words += await person.expect(b"and more")
            person.send(INTERRUPT)
            assert (await person.exit())[0] == 130
        assert is_harmless(words)
    status, raw, talk = await mux.run_client("log", name, "-o", "raw")
    assert (status, raw[: len(said)], talk) == (0, said, "")
    _, text, _ = await mux.run_client("log", name)
    assert said.removeprefix(BANNER) in text  # libvirt may tell late that the guest was resumed: behind its first words
    _, match, _ = await mux.run_client("expect", name, r"\xf0[\xf1-\xff]+(.)", "--from", "0")
    assert match == bytes(range(0xF0, 0x100)) + b"\r\n"
    _, match, _ = await mux.run_client("expect", name, r"\xf0[\xf1-\xff]+(.)", "--from", "0", "--json")
    told = json.loads(match)
    assert (base64.b64decode(told["text"]["base64"]), told["groups"]) == (bytes(range(0xF0, 0x100)) + b"\r", ["\r"])
