"""The drivers in examples/, each used as its test system would use it, with a real guest."""

import asyncio
import os
import sys
from pathlib import Path

import pexpect
import pexpect.spawnbase
import pytest

import virtmux
from examples.avocado_session import ConsoleSession
from examples.labgrid_driver import VirtmuxDriver
from tests.harness.daemon import PROGRAMS
from tests.harness.follower import PATIENCE, boot, follow
from tests.harness.guest import PROMPT
from tests.harness.libvirtd import Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest

EXAMPLES = Path(__file__).parents[2] / "examples"


class Expect(pexpect.spawnbase.SpawnBase):  # type: ignore[misc]
    """As labgrid's PtxExpect: pexpect on a driver's `_read` and `_write`."""

    def __init__(self, driver: VirtmuxDriver) -> None:
        super().__init__(timeout=PATIENCE)
        self._driver = driver

    def read_nonblocking(self, size: int = 1, timeout: float = -1) -> bytes:
        data = self._driver._read(size=size, timeout=timeout)
        self._log(data, "read")
        return data

    def send(self, data: bytes) -> int:
        return self._driver._write(data)


async def test_the_labgrid_driver_reads_writes_and_ends_with_the_guest(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    loop = asyncio.get_running_loop()

    def use() -> None:
        driver = VirtmuxDriver(guest.name, str(mux.socket))
        driver.on_activate()
        expect = Expect(driver)
        asyncio.run_coroutine_threadsafe(guest.resume(), loop).result(PATIENCE)
        expect.expect_exact(b"ready\r\n")
        expect.send(b"typed")
        expect.expect_exact(b"typed")
        with pytest.raises(pexpect.TIMEOUT):
            driver._read(timeout=0.1)
        asyncio.run_coroutine_threadsafe(guest.destroy(), loop).result(PATIENCE)
        with pytest.raises(pexpect.EOF, match="was destroyed"):
            expect.expect_exact(b"never said")
        driver.on_deactivate()

    await asyncio.to_thread(use)


async def test_the_avocado_session_runs_commands_and_tells_why_the_guest_is_gone(
    libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon
) -> None:
    guest = await linux(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as first:
        await boot(guest, first)

    def use() -> None:
        session = ConsoleSession(guest.name, PROMPT, socket=str(mux.socket))
        assert session.cmd_status_output("echo one; echo two; false") == (1, "one\ntwo\n")
        assert session.cmd("hostname") == "virtmux-guest\n"
        with pytest.raises(RuntimeError, match="ended with 127"):
            session.cmd("no-such-command")
        with pytest.raises(virtmux.ConsoleEnded) as ended:
            session.cmd("poweroff -f")
        assert ended.value.reason.cause is virtmux.Cause.GUEST_SHUTDOWN
        session.close()

    await asyncio.to_thread(use)


async def test_pexpect_over_attach(libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon) -> None:
    guest = await linux(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as client:
        await boot(guest, client)
        environment = {
            **os.environ,
            "VIRTMUX_SOCKET": str(mux.socket),
            "PATH": os.pathsep.join([str(PROGRAMS), os.environ["PATH"]]),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            EXAMPLES / "pexpect_attach.py",
            guest.name,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        async with asyncio.timeout(2 * PATIENCE):
            out, _ = await process.communicate()
        assert (process.returncode, out.strip().count(b".")) == (0, 2)
        assert out.strip() in client.output
