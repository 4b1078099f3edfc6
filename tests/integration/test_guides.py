"""The examples in the guides, as they stand there: in a shell, with real guests, virsh and journald."""

import asyncio
import json
import os
import re
import shlex
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from tests.harness.daemon import PROGRAMS, Daemon
from tests.harness.follower import PATIENCE, follow
from tests.harness.guest import BANNER, POWER_OFF
from tests.harness.journald import Journald
from tests.harness.libvirtd import Libvirtd
from tests.harness.pages import COMMANDS, OPERATORS, SCRIPTS, blocks, commands
from tests.harness.privilege import run_as_root
from tests.harness.terminal import Terminal
from tests.integration.conftest import StartDaemon, StartGuest


def example(page: Path, heading: str, guest: str) -> str:
    """The shell lines below a heading, with the name of a guest that is there."""
    return re.sub(r"\bweb1\b", guest, commands(page, heading))


@asynccontextmanager
async def shell(script: str, mux: Daemon, libvirtd: Libvirtd, *, through: Sequence[str] = ()) -> AsyncIterator[Process]:
    """A shell that does what a script says, with virtmux and virsh as the reader has them; killed behind the block."""
    variables = {
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "VIRTMUX_SOCKET": str(mux.socket),
        "LIBVIRT_DEFAULT_URI": libvirtd.uri,
    }
    told = ["env", *(f"{name}={value}" for name, value in variables.items())]  # behind `through`: sudo passes none on
    process = await asyncio.create_subprocess_exec(
        *through, *told, "sh", "-c", script, cwd=mux.directory, stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            run_as_root("kill", "-KILL", "--", f"-{process.pid}")
        await process.communicate()


async def ended(process: Process) -> tuple[int | None, str, str]:
    """Its status, stdout and stderr."""
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    except TimeoutError as error:
        os.killpg(process.pid, signal.SIGKILL)
        error.add_note(str(await process.communicate()))
        raise
    return process.returncode, out.decode(), err.decode()


async def test_watch_an_install(libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    script = example(SCRIPTS, "Watch an install", guest.name)
    async with shell(script, mux, libvirtd) as watching, follow(mux.socket, guest.name, replay="all") as installer:
        await installer.until_output(BANNER)
        await installer.console.write(POWER_OFF)
        status, said, error = await ended(watching)
    assert (status, said) == (0, f"{guest.name} ended with status 10\n")
    assert "guest-shutdown" in error
    assert (mux.directory / "install.log").read_bytes().startswith(BANNER)


async def test_wait_for_a_login_prompt_in_ci(libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    script = example(SCRIPTS, "Wait for a login prompt in CI", guest.name)
    async with shell(script, mux, libvirtd) as waiting, follow(mux.socket, guest.name, replay="all") as other:
        await other.until_output(BANNER)
        await other.console.write(b"login: ")  # the guest echoes
        assert (await ended(waiting))[0] == 0
        await other.until_output(b"login: root\r")


@pytest.mark.parametrize("asynchronous", [True, False], ids=["asyncio", "blocking"])
async def test_from_python(asynchronous: bool, libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    (block,) = blocks(SCRIPTS, "From Python", "python")
    lines = indent(block.split("\n\n")[not asynchronous].replace("web1", guest.name), "    ")
    program = f"import asyncio, select, virtmux.sync\nasync def main():\n{lines}\nasyncio.run(main())"
    script = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(program)}"
    async with follow(mux.socket, guest.name) as other, shell(script, mux, libvirtd) as waiting:
        await mux.until_listed(guest.name, state="attached", clients=2)
        await other.console.write(b"login: ")  # the guest echoes
        assert (await ended(waiting))[0] == 0
        await other.until_output(b"login: root\r")


async def test_log_all_consoles_to_journald(libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, attach="always")
    script = example(OPERATORS, "Log all consoles to journald", guest.name)
    with Journald() as journald:
        async with shell(script, mux, libvirtd, through=journald.through):
            await _logged(journald, "appeared")
            await guest.destroy()
            logged = await _logged(journald, "ended")
    assert logged["reason"]["cause"] == "guest-destroyed"
    assert logged["console"]["domain"] == guest.name


async def _logged(journald: Journald, event: str) -> dict[str, Any]:
    """The first event of this kind that journald has got."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for entry in await journald.entries("virtmux"):
                said: dict[str, Any] = json.loads(entry["MESSAGE"])
                if said["event"] == event:
                    return said
            await asyncio.sleep(0.2)


async def test_share_a_console_between_two_people(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    lines = example(COMMANDS, "Share a console between two people", guest.name).splitlines()
    programs = [["--socket", str(mux.socket), *line.split()[1:]] for line in lines]
    async with Terminal(PROGRAMS / "virtmux", programs[0]) as alice, Terminal(PROGRAMS / "virtmux", programs[1]) as bob:
        await alice.expect(b"Escape character is")
        await bob.expect(b"Escape character is")
        alice.send(b"hello")
        await bob.expect(b"hello")
        status, who, _ = await mux.run_client(*programs[2][2:])
        assert status == 0
        assert sorted(re.findall(rb"read-only|writer", who)) == [b"read-only", b"writer"]
        async with Terminal(PROGRAMS / "virtmux", programs[3]) as carol:
            await carol.expect(b"Escape character is")
            await alice.expect(b"alone")
            carol.send(b"mine")
            await bob.expect(b"mine")
