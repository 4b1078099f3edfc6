"""`virtmux --host`: the machine's ssh, a server of the tests' own, and real daemons with real guests beyond it."""

import asyncio
import json
import os
import shlex
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.harness.command import Running, running
from tests.harness.daemon import PROGRAMS, Daemon
from tests.harness.follower import PATIENCE, boot, follow
from tests.harness.guest import BANNER, FLOOD
from tests.harness.libvirtd import Libvirtd
from tests.harness.sshd import Sshd, serve_ssh
from tests.harness.tmux import Tmux
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import SshHost, connect

#: No daemon is there.
NOWHERE = Path("/nowhere")


@asynccontextmanager
async def host(directory: Path, mux: Daemon) -> AsyncIterator[Sshd]:
    """Another host, where `mux` is the daemon that `virtmux` finds."""
    await asyncio.to_thread(directory.mkdir)
    variables = {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "VIRTMUX_SOCKET": str(mux.socket)}
    async with serve_ssh(directory, variables) as sshd:
        yield sshd


def ssh(directory: Path, **hosts: Sshd) -> dict[str, str]:
    """Variables for a command whose ssh knows these hosts."""
    config = directory / "ssh_config"
    config.write_text("".join(sshd.config(name) for name, sshd in hosts.items()))
    return {"VIRTMUX_SSH": f"{shutil.which('ssh')} -F {shlex.quote(str(config))}"}


async def test_list_shows_two_hosts(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with host(tmp_path / "a", mux) as alpha, host(tmp_path / "b", mux) as beta:
        variables = ssh(tmp_path, alpha=alpha, beta=beta)
        async with running(NOWHERE, "-H", "alpha", "-H", "beta", "list", guest.name, variables=variables) as command:
            status, output, error = await command.finish()
    assert (status, error) == (0, "")
    rows = [line.split()[:2] for line in output.decode().splitlines()]
    assert rows == [["HOST", "CONSOLE"], ["alpha", f"{guest.name}:serial0"], ["beta", f"{guest.name}:serial0"]]


async def test_one_types_at_a_guest_of_another_host(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always")
    async with host(tmp_path / "a", mux) as alpha:
        variables = ssh(tmp_path, alpha=alpha)
        async with follow(mux.socket, guest.name) as watcher:
            await boot(guest, watcher, says=BANNER)
            async with running(NOWHERE, "-H", "alpha", "attach", guest.name, variables=variables) as command:
                typed = b"typed over ssh " * 400
                command.type(typed)
                assert await command.read(len(typed)) == typed
                await guest.destroy()
                assert (await command.finish())[0] == 10


async def test_events_of_two_hosts_are_told_together(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = await boot_guest(libvirtd)
    both = [await daemon(libvirtd.uri, attach=policy) for policy in ("always", "never")]
    async with host(tmp_path / "a", both[0]) as alpha, host(tmp_path / "b", both[1]) as beta:
        variables = ssh(tmp_path, alpha=alpha, beta=beta)
        arguments = ("-H", "alpha", "-H", "beta", "events", "--json")
        async with running(NOWHERE, *arguments, variables=variables) as command:
            seen: set[tuple[str, str]] = set()

            async def until(*wanted: tuple[str, str]) -> None:
                assert command.process.stdout is not None
                async with asyncio.timeout(PATIENCE):
                    while not seen.issuperset(wanted):
                        event = json.loads(await command.process.stdout.readline())
                        if event["console"]["domain"] == guest.name:
                            seen.add((event["host"], event["event"]))

            await until(("alpha", "appeared"), ("beta", "appeared"))
            await guest.destroy()
            await until(("alpha", "ended"))
            command.process.send_signal(signal.SIGINT)
            status, _, error = await command.finish()
    assert (status, error) == (130, "")


async def test_a_tmux_session_has_windows_of_two_hosts(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    with Tmux() as tmux:
        async with host(tmp_path / "a", mux) as alpha, host(tmp_path / "b", mux) as beta:
            tmux.set_environment(ssh(tmp_path, alpha=alpha, beta=beta))
            command = ("-H", "alpha", "-H", "beta", "tmux", "--no-attach", guest.name)
            process = await asyncio.create_subprocess_exec(
                PROGRAMS / "virtmux", *command, stderr=asyncio.subprocess.PIPE
            )
            async with asyncio.timeout(PATIENCE):
                _, error = await process.communicate()
            assert process.returncode == 0, error
            windows = [f"{guest.name}@alpha", f"{guest.name}@beta"]
            await tmux.until_named(*windows)
            first, second = (each.id for each in tmux.windows() if each.name in windows)
            await tmux.until_raw(first)
            tmux.type(first, b"typed at alpha")
            await tmux.until_shown(second, "typed at alpha")
            await guest.destroy()
            await tmux.until_named(*(f"{name} (guest-destroyed)" for name in windows))


async def test_an_ssh_that_is_killed_in_the_midst_of_output_costs_no_byte(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri, attach="always", config="ring = 67108864\n")
    async with host(tmp_path / "a", mux) as alpha, follow(mux.socket, guest.name) as watcher:
        await boot(guest, watcher, says=BANNER)
        await watcher.write(FLOOD)
        arguments = ("-H", "alpha", "attach", "--from", "0", "--too-slow", "wait", guest.name)
        async with running(NOWHERE, *arguments, variables=ssh(tmp_path, alpha=alpha)) as command:
            output = await command.read(len(BANNER) + 10_000)
            for _ in range(3):
                os.kill(await _ssh_of(command), signal.SIGKILL)
                output += await command.read(100_000)
                alpha.drop()
                output += await command.read(100_000)
            command.process.terminate()
            assert (await command.finish())[0] == 143
    lines = output.removeprefix(BANNER).split(b"\r\n")[:-1]
    assert output.startswith(BANNER)
    assert lines == [b"line %08d" % number for number in range(1, len(lines) + 1)]


async def test_the_library_goes_on_over_another_ssh(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with host(tmp_path / "a", mux) as alpha:
        monkeypatch.setenv("VIRTMUX_SSH", ssh(tmp_path, alpha=alpha)["VIRTMUX_SSH"])
        async with connect(SshHost("alpha")) as client:
            assert [info.id.domain for info in await client.consoles()].count(guest.name) == 1
            alpha.drop()
            assert [info.id.domain for info in await client.consoles()].count(guest.name) == 1


async def test_a_host_whose_key_is_not_known_and_one_that_lets_nobody_in_are_said(
    libvirtd: Libvirtd, daemon: StartDaemon, tmp_path: Path
) -> None:
    mux = await daemon(libvirtd.uri)
    async with host(tmp_path / "a", mux) as alpha, host(tmp_path / "b", mux) as beta:
        variables = ssh(tmp_path, alpha=alpha, beta=beta)
        (tmp_path / "a" / "known_hosts").write_text("")
        (tmp_path / "b" / "key").write_text((tmp_path / "a" / "key").read_text())
        said = {}
        for name in ("alpha", "beta"):
            async with running(NOWHERE, "-H", name, "list", variables=variables) as command:
                said[name] = await command.finish()
    assert said["alpha"] == (
        5,
        b"",
        "virtmux: no connection to alpha: Host key verification failed.; try `ssh alpha` (server-lost)\n",
    )
    assert said["beta"][:2] == (4, b"")
    assert "tester@127.0.0.1: Permission denied (publickey" in said["beta"][2]


async def _ssh_of(command: Running) -> int:
    """The pid of its ssh. Between two it has none, and that it has one is no event for anybody."""
    async with asyncio.timeout(PATIENCE):
        while not (children := _children(command.process.pid)):
            await asyncio.sleep(0.02)
    (child,) = children
    return child


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
