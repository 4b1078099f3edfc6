"""`send`, `expect`, `wait` and the blocking library against real guests."""

import asyncio
import json
from pathlib import Path

import pytest

import virtmux
import virtmux.sync
from tests.harness.follower import PATIENCE, follow
from tests.harness.guest import BANNER, POWER_OFF, PROMPT
from tests.harness.libvirtd import Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest

CI = """
timeout = 60

[[step]]
wait = "attached"

[[step]]
expect = 'virtmux-guest# '
fail = "Kernel panic"

[[step]]
send = 'echo $((6 * 7))'
line = true

[[step]]
expect = '42\\r'

[[step]]
send = "poweroff -f"
line = true

[[step]]
wait = "ended"
"""


async def test_a_guest_that_is_started_paused_is_waited_for_and_loses_no_byte(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    waiting = await mux.client("wait", guest.name, "attached", "--json")
    assert waiting.stderr is not None
    assert b"guest-not-running" in await waiting.stderr.readline()
    await guest.start(paused=True)
    out, _ = await waiting.communicate()
    position = json.loads(out)["position"]
    await guest.resume()
    status, out, _ = await mux.run_client("expect", guest.name, r"\A(?s:.*)ready\r\n", "--from", position)
    assert (status, out) == (0, BANNER)


async def test_by_hand_in_a_shell_the_first_byte_is_there(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    await guest.start(paused=True)
    status, out, _ = await mux.run_client("wait", guest.name, "attached")
    assert status == 0
    await guest.resume()
    status, log, _ = await mux.run_client("expect", guest.name, "ready", "--from", out.decode().strip())
    assert (status, log) == (0, b"ready\n")
    async with follow(mux.socket, guest.name, replay="all") as client:
        await client.until_output(BANNER)
        assert client.output.startswith(BANNER)


async def test_what_send_says_is_where_expect_begins(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always")
    await mux.run_client("wait", guest.name, "attached")
    await guest.resume()
    async with follow(mux.socket, guest.name, replay="all") as client:
        await client.until_output(BANNER)
        status, out, _ = await mux.run_client("send", guest.name, "one", "two", "--key", "f2", "--json")
        assert status == 0
        await client.until_output(b"one two\x1bOQ")
        position = json.loads(out)["position"]
        assert position.split(":")[1] == str(len(BANNER))
        arguments = ("expect", guest.name, "three", "t(w)o", "--from", position, "--json")
        status, out, _ = await mux.run_client(*arguments)
    assert status == 21
    match = json.loads(out)
    assert (match["index"], match["groups"]) == (1, ["w"])
    status, out, _ = await mux.run_client("expect", guest.name, "OQ", "--from", match["position"])
    assert (status, out) == (0, b"OQ\n")


async def test_input_for_a_paused_guest_is_said_to_wait_and_then_accepted(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    sending = await mux.client("send", guest.name, "hello")
    assert sending.stderr is not None
    async with asyncio.timeout(PATIENCE):
        assert b"takes no input now" in await sending.stderr.readline()
        await guest.resume()
        await sending.communicate()
    assert sending.returncode == 0


async def test_the_end_of_the_guest_is_the_status_of_expect_and_told_by_wait(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    waiting = await mux.client("wait", guest.name, "ended")
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
        expecting = await mux.client("expect", guest.name, "never said")
        await client.until(lambda self: self.console.attachment)
        while next(each for each in await mux.consoles() if each["id"]["domain"] == guest.name)["clients"] < 3:
            await asyncio.sleep(0.05)
        await guest.destroy()
    async with asyncio.timeout(PATIENCE):
        out, _ = await waiting.communicate()
        _, err = await expecting.communicate()
    assert (waiting.returncode, out) == (0, f"guest {guest.name} was destroyed (guest-destroyed)\n".encode())
    assert expecting.returncode == 10
    assert b"(guest-destroyed)" in err
    status, _, told = await mux.run_client("expect", guest.name, "x")
    assert (status, "is not running" in told) == (9, True)
    status, out, _ = await mux.run_client("wait", guest.name, "ended")
    assert (status, b"guest-not-running" in out) == (0, True)


async def test_a_script_boots_a_linux_guest_uses_it_and_shuts_it_down(
    libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = await linux(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    script = tmp_path / "ci.toml"
    script.write_text(CI)
    running = await mux.client("expect", guest.name, "--script", str(script))
    assert running.stderr is not None
    assert b"waiting to attach" in await running.stderr.readline()
    await guest.start(paused=True)
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
        await guest.resume()
    async with asyncio.timeout(2 * PATIENCE):
        out, err = await running.communicate()
    assert running.returncode == 0, err
    assert out.splitlines()[:2] == [PROMPT, b"42"]
    assert out.splitlines()[2] == f"guest {guest.name} shut down (guest-shutdown)".encode()


async def test_expect_goes_on_over_a_killed_daemon(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with virtmux.connect(mux.socket) as client, client.attach(guest.name) as console:
        await guest.resume()
        await console.expect(b"ready\r\n", timeout=PATIENCE)
        async with asyncio.TaskGroup() as tasks:
            expecting = tasks.create_task(console.expect(b"whole line", timeout=PATIENCE))
            await mux.kill()
            await mux.start()
            async with follow(mux.socket, guest.name) as other:
                await other.until_attached()
                await other.write(b"a whole line")
        assert expecting.result().before.endswith(b"a ")


async def test_the_blocking_library_drives_a_guest_to_its_end(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    loop = asyncio.get_running_loop()

    def drive() -> virtmux.Reason:
        with virtmux.sync.connect(mux.socket) as client, client.attach(guest.name) as console:
            console.until_attached(PATIENCE)
            asyncio.run_coroutine_threadsafe(guest.resume(), loop).result(PATIENCE)
            assert console.expect(rb"(\w+)\r\n", PATIENCE).match[1] == b"ready"
            console.write(b"typed")
            assert console.expect(b"typed", PATIENCE).before == b""
            asyncio.run_coroutine_threadsafe(press(mux.socket, guest.name), loop).result(PATIENCE)
            with pytest.raises(virtmux.ConsoleEnded) as ended:
                console.expect(b"never said", PATIENCE)
            return ended.value.reason

    assert (await asyncio.to_thread(drive)).cause is virtmux.Cause.GUEST_SHUTDOWN


async def press(socket: Path, name: str) -> None:
    async with virtmux.connect(socket) as client, client.attach(name) as console:
        await console.send(POWER_OFF)
        await console.until_ended(timeout=PATIENCE)
