"""When the console is held, and what that leaves to other libvirt clients."""

import asyncio
import json
import subprocess
from pathlib import Path

from tests.harness.daemon import PROGRAMS
from tests.harness.follower import PATIENCE, follow
from tests.harness.guest import BANNER
from tests.harness.libvirtd import Libvirtd
from tests.harness.terminal import ESCAPE
from tests.harness.virsh_console import held_by_virsh, virsh_console
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Attached, Cause


async def test_on_demand_nothing_is_held_until_somebody_attaches(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    await mux.until_listed(guest.name, state="absent")
    async with virsh_console(guest) as virsh:
        virsh.send(ESCAPE)
        await virsh.exit()


async def test_on_demand_the_console_is_let_go_when_the_last_client_has_left(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    config = tmp_path / "virtmuxd.toml"
    config.write_text("linger = 0.1\n")
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, arguments=["--config", str(config)])
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
        position = client.console.position
    await mux.until_listed(guest.name, state="absent")
    async with virsh_console(guest) as virsh:
        virsh.send(ESCAPE)
        await virsh.exit()
    async with follow(mux.socket, guest.name, position=str(position)) as again:
        await again.until(lambda one: one.console.position.mark > position.mark + 2)
        assert [reason.cause for reason in again.reasons] == [Cause.CONSOLE_RELEASED]
        assert again.marks(Attached), "and taken again for the next"


async def test_always_holds_the_console_before_anybody_asks(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    mux = await daemon(libvirtd.uri, attach="always")
    guest = await boot_guest(libvirtd, state="paused")
    await mux.until_listed(guest.name, state="attached")
    await guest.resume()
    async with follow(mux.socket, guest.name, position="0") as client:
        await client.until_output(BANNER)
        assert client.offsets == [(0, len(BANNER))], "the first byte of the boot is there"


async def test_a_console_that_is_busy_when_the_daemon_starts_is_asked_for_ever_less_often_and_taken_when_it_is_free(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    def refusals() -> int:
        return libvirtd.output.count("Active console session exists")

    guest = await boot_guest(libvirtd)
    async with held_by_virsh(guest):
        before = refusals()
        mux = await daemon(libvirtd.uri, attach="always")
        events = await mux.client("events", "--json")
        assert events.stdout is not None
        interval = 0.0
        async with asyncio.timeout(PATIENCE):
            while interval < 1.0:
                event = json.loads(await events.stdout.readline())
                if event["event"] == "waiting":
                    interval = event["reason"]["retry"]["after_s"]
        # For 2 s every 0.1 s; behind that at intervals that double: no more than 9 of them fit into PATIENCE.
        assert 1 < refusals() - before <= 20 + 9
        events.terminate()
        await events.communicate()
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
        await client.echo(b"taken")


async def test_a_policy_may_be_for_some_consoles_only(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    always, never, other = [await boot_guest(libvirtd) for _ in range(3)]
    config = tmp_path / "virtmuxd.toml"
    config.write_text(f'[[console]]\nmatch = "{never.name}:serial?"\nattach = "always"\n')
    rules = ["--attach", f"{never.name}=never", "--attach", f"{always.name}:*=always"]
    mux = await daemon(libvirtd.uri, arguments=["--config", str(config), *rules])
    await mux.until_listed(always.name, state="attached")
    await mux.until_listed(other.name, state="absent")
    status, _, talk = await mux.run_client("attach", never.name)
    assert (status, "'never'" in talk) == (8, True)


async def test_never_opens_for_nobody_and_says_so(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, attach="never")
    status, _, talk = await mux.run_client("attach", guest.name)
    assert status == 8
    assert "'never'" in talk


async def test_the_policy_of_a_console_is_that_of_the_first_rule_that_names_it(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    held, shunned = await boot_guest(libvirtd), await boot_guest(libvirtd)
    config = tmp_path / "virtmuxd.toml"
    config.write_text(f'[[console]]\nmatch = "{shunned.name}:serial*"\nattach = "never"\n')
    rules = ["--config", str(config), "--attach", f"{held.name}=always"]
    mux = await daemon(libvirtd.uri, arguments=rules)
    await mux.until_listed(held.name, state="attached", policy="always")
    await mux.until_listed(shunned.name, state="absent", policy="never")


async def test_the_read_only_socket_can_watch_and_not_type(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    for socket in (mux.socket, mux.read_only_socket):
        assert socket.stat().st_mode & 0o777 == 0o600
    async with follow(mux.socket, guest.name) as writer, follow(mux.read_only_socket, guest.name) as watcher:
        assert watcher.console.place.read_only
        await writer.write(b"seen by both")
        await watcher.until_output(b"seen by both")


async def test_a_second_daemon_is_kept_out(libvirtd: Libvirtd, daemon: StartDaemon) -> None:
    mux = await daemon(libvirtd.uri)
    command = [str(PROGRAMS / "virtmuxd"), "--socket", str(mux.socket), "--uri", libvirtd.uri]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    second = await asyncio.to_thread(run)
    assert second.returncode == 1
    assert "another virtmuxd" in second.stderr
    assert len(second.stderr.splitlines()) == 1
