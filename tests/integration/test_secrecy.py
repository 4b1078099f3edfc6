"""What a guest printed, what was typed and what is in the environment: where it is, and where it must not be."""

import asyncio
from pathlib import Path

import pytest

from tests.harness.console_log import ConsoleLog, holding
from tests.harness.daemon import Daemon
from tests.harness.follower import PATIENCE, boot, follow
from tests.harness.guest import BANNER
from tests.harness.libvirtd import Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest

OF_THE_DAEMON = "a-token-of-the-daemons-service"
TYPED = "hunter2-correct-horse"
#: All that tells of consoles, clients and the daemon, but not what a console said.
TELLING = (
    ("list", "--json"),
    ("who", "--json"),
    ("status", "--json"),
    ("status", "--openmetrics"),
    ("events", "--since", "-1h", "--json"),
    ("doctor", "--json"),
)


def command_line_of(process: int) -> bytes:
    """As every user of the machine can read it."""
    return Path(f"/proc/{process}/cmdline").read_bytes()


async def told(mux: Daemon, guest: str) -> str:
    """What these commands print, and the log, at its finest."""
    said = mux.log
    for command in (*TELLING, ("doctor", guest, "--json"), ("log", guest, "--list-boots")):
        _, output, error = await mux.run_client(*command)
        said += output.decode() + error
    return said


async def test_a_secret_is_in_ring_and_journal_once_a_guest_has_echoed_it_and_nowhere_else(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    monkeypatch.setenv("VIRTMUX_TEST_TOKEN", OF_THE_DAEMON)
    mux = await daemon(libvirtd.uri, attach="always")
    monkeypatch.setenv("VIRTMUX_TEST_TYPED", TYPED)
    async with follow(mux.socket, guest.name) as somebody:
        await boot(guest, somebody, says=BANNER)
        await guest.suspend()
        sending = await mux.client("send", guest.name, "--secret-env", "VIRTMUX_TEST_TYPED")
        assert sending.stderr is not None
        async with asyncio.timeout(PATIENCE):
            said = await sending.stderr.readline()  # that it waits for the guest, which is paused
        command_line = command_line_of(sending.pid)
        assert b"--secret-env\0VIRTMUX_TEST_TYPED\0" in command_line
        assert TYPED.encode() not in command_line + said
        await guest.resume()
        output, error = await sending.communicate()
        assert (sending.returncode, output) == (0, b"")
        assert TYPED.encode() not in error
        await somebody.until_output(BANNER + TYPED.encode())
        await ConsoleLog(mux.journal, guest.name).until_data(BANNER + TYPED.encode())
        while_it_runs = await told(mux, guest.name)
        await guest.destroy()
        await somebody.until_ended()
        afterwards = await told(mux, guest.name)

    for said_by_all in (while_it_runs, afterwards):
        assert guest.name in said_by_all
        assert TYPED not in said_by_all
        assert OF_THE_DAEMON not in said_by_all
    assert {path.suffix for path in holding(mux.directory, TYPED)} == {".ring", ".log"}
    assert holding(mux.directory, OF_THE_DAEMON) == []
    for path in holding(mux.directory, TYPED):
        assert path.stat().st_mode & 0o077 == 0
