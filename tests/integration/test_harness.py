"""The harness itself: its guests do what the other tests take for granted, and its libvirtd can be hurt and heals."""

import asyncio
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.follower import PATIENCE
from tests.harness.guest import BANNER, FLOOD, POWER_OFF, PROMPT, RESET, STOP_READING
from tests.harness.libvirtd import Libvirtd
from tests.harness.privilege import send_signal
from tests.harness.systemd_machine import SystemdMachine
from tests.harness.virsh_console import virsh_console
from tests.integration.conftest import StartGuest


async def test_a_guest_started_paused_loses_no_byte_of_its_banner(libvirtd: Libvirtd, boot_guest: StartGuest) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    async with virsh_console(guest) as console:
        await guest.resume()
        await console.expect(BANNER)


async def test_the_boot_sector_guest_echoes_floods_and_resets(libvirtd: Libvirtd, boot_guest: StartGuest) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    async with virsh_console(guest) as console:
        await guest.resume()
        await console.expect(BANNER)
        console.send(b"echo me")
        await console.expect(b"echo me")
        console.send(FLOOD)
        await console.expect(b"line 00000001\r\nline 00000002\r\n")
        await console.expect(b"line 00001000\r\n")
        console.send(b"!")
        await console.expect(b"\r\n!")
        console.send(RESET)
        await console.expect(BANNER)


async def test_the_boot_sector_guest_powers_off(libvirtd: Libvirtd, boot_guest: StartGuest) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    async with virsh_console(guest) as console:
        await guest.resume()
        await console.expect(BANNER)
        console.send(POWER_OFF)
        await guest.until("shut off (shutdown)")


async def test_the_boot_sector_guest_can_stop_reading_and_run_on(libvirtd: Libvirtd, boot_guest: StartGuest) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    async with virsh_console(guest) as console:
        await guest.resume()
        await console.expect(BANNER)
        console.send(STOP_READING + POWER_OFF)
        await guest.reset()
        await console.expect(BANNER)


async def test_the_linux_guest_has_a_shell(libvirtd: Libvirtd, linux: StartGuest) -> None:
    guest = await linux(libvirtd, state="paused")
    async with virsh_console(guest) as console:
        await guest.resume()
        await console.expect(PROMPT)
        console.send(b"expr 6 \\* 7\r")
        await console.expect(b"\r\n42\r\n")
        console.send(b"poweroff -f\r")
        await guest.until("shut off (shutdown)")


async def test_a_killed_qemu_leaves_a_crashed_guest(libvirtd: Libvirtd, boot_guest: StartGuest) -> None:
    guest = await boot_guest(libvirtd)
    guest.kill_qemu()
    await guest.until("shut off (crashed)")


async def test_a_guest_outlives_the_death_of_its_libvirtd(own_libvirtd: Libvirtd, boot_guest: StartGuest) -> None:
    guest = await boot_guest(own_libvirtd)
    pid, host = guest.qemu_pid(), await own_libvirtd.virsh("hostname")
    own_libvirtd.kill()
    own_libvirtd.start()
    assert (guest.qemu_pid(), await own_libvirtd.virsh("hostname")) == (pid, host)
    assert await guest.state() == "running (booted)"


async def test_a_libvirtd_that_was_started_again_has_its_guests_in_hand_once_they_answer(
    own_libvirtd: Libvirtd, boot_guest: StartGuest
) -> None:
    guest = await boot_guest(own_libvirtd)
    pid = guest.qemu_pid()
    own_libvirtd.kill()
    send_signal(pid, signal.SIGSTOP)
    own_libvirtd.start()
    with pytest.raises(TimeoutError):
        await own_libvirtd.until_in_hand(seconds=1.0)
    send_signal(pid, signal.SIGCONT)
    await own_libvirtd.until_in_hand()
    await guest.destroy()


def test_a_libvirtd_that_is_started_by_another_thread_ends_with_its_directory() -> None:
    with ThreadPoolExecutor() as threads, Libvirtd() as libvirtd:
        libvirtd.kill()
        threads.submit(libvirtd.start)
        until = time.monotonic() + PATIENCE
        while not (libvirtd.base / "notify").exists():
            assert time.monotonic() < until, "it does not begin"
            time.sleep(0.01)
    assert not libvirtd.base.exists()
    commands = Path("/proc").glob("[0-9]*/cmdline")
    found = subprocess.run(["grep", "--quiet", "--no-messages", libvirtd.base, *commands], check=False)
    assert found.returncode != 0, "something of it runs"


async def test_a_libvirtd_that_was_frozen_goes_on(own_libvirtd: Libvirtd) -> None:
    own_libvirtd.freeze()
    with pytest.raises(TimeoutError):
        await own_libvirtd.virsh("list", seconds=0.5)
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(own_libvirtd.virsh("list"))
        own_libvirtd.thaw()
    assert asking.result() == ""


def test_a_machine_runs_systemd_with_guests_and_leaves_nothing_of_it_here() -> None:
    with SystemdMachine() as machine:
        assert machine.systemctl("is-system-running") == "running\n"
        assert machine.run("cat", "/proc/1/comm").stdout == "systemd\n"
        machine.start_guest("web1")
        assert machine.run("virsh", "domstate", "web1").stdout.strip() == "running"
        assert machine.show("libvirtd.service", "ActiveState") == "active"
        for place in ("/etc", "/usr", "/var", "/run", "/tmp"):
            machine.write(f"{place}/vmx-was-here", "here")
            assert not Path(f"{place}/vmx-was-here").exists()
        assert machine.run("sh", "-c", "echo 0 >/proc/sys/kernel/printk", check=False).returncode
        pid = machine.pid
    assert not Path(f"/proc/{pid}").exists()
    assert not machine.base.exists()
