"""What is asked about real guests beside their consoles: starts, keys, an NMI, and what libvirt says of them."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.follower import PATIENCE, follow
from tests.harness.guest import BANNER, PROMPT
from tests.harness.libvirtd import Libvirtd
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Cause, Refused, connect

SERIAL_TO_FILE = "<serial type='file'><source path='{path}'/><target port='1'/></serial>"
#: Starting a guest takes as long as the file is there.
SLOW_START = 'while [ "$2" = prepare ] && [ -e "$(dirname "$0")/../../slow" ]; do sleep 0.1; done'


@pytest.fixture
def slow_libvirtd() -> Iterator[Libvirtd]:
    with Libvirtd(hook=SLOW_START.replace('$(dirname "$0")/../../slow', "/var/lib/libvirt/slow")) as own:
        yield own


async def test_a_guest_is_started_paused_and_resumed(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    async with connect(mux.socket) as client, follow(mux.socket, guest.name) as watcher:
        await client.guest(guest.name, "start-paused")
        assert "paused" in await guest.state()
        await watcher.until_attached()
        await client.guest(str(guest.uuid), "resume")
        await watcher.until_output(BANNER)

        with pytest.raises(Refused) as refused:
            await client.guest(guest.name, "start")

    reason = refused.value.reason
    assert reason.cause is Cause.ACTION_FAILED
    assert reason.error is not None
    assert (reason.error.code_name, reason.error.api) == ("VIR_ERR_OPERATION_INVALID", "virDomainCreateWithFlags")
    assert reason.text == f"libvirt could not do this to guest {guest.name}: libvirt: {reason.error.message}"


async def test_keys_and_an_nmi_are_sent_to_a_guest(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with connect(mux.socket) as client:
        await client.guest(guest.name, "key", keys=[29, 56, 111], hold_ms=10)
        await client.guest(guest.name, "nmi")
        await guest.destroy()
        for action in ("key", "nmi"):
            with pytest.raises(Refused) as refused:
                await client.guest(guest.name, action, keys=[1] if action == "key" else [])
            assert refused.value.reason.cause is Cause.GUEST_NOT_RUNNING
            assert "domain is not running" in refused.value.reason.text


async def test_what_is_pressed_reaches_a_kernel_and_so_does_an_nmi(
    libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon
) -> None:
    guest = await linux(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as watcher, connect(mux.socket) as client:
        await watcher.until_attached()
        await client.guest(guest.name, "resume")
        await watcher.until_output(PROMPT)
        assert await mux.run_client("key", guest.name, "alt-sysrq-h") == (0, b"", "")
        await watcher.until_output(b"sysrq: HELP")
        assert await mux.run_client("nmi", guest.name) == (0, b"", "")
        await watcher.until_output(b"NMI received for unknown reason")


async def test_a_guest_without_a_console_can_be_started_and_is_described(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    xml = re.sub(r"<(serial|console)\b.*?</\1>", "", guest.xml, flags=re.DOTALL)
    assert "<serial" not in xml
    await guest.undefine()
    await libvirtd.define(guest.name, xml)
    mux = await daemon(libvirtd.uri)
    async with connect(mux.socket) as client:
        await client.guest(guest.name, "start")
        (info,) = await client.domains(guest.name)
        assert (info.domain, info.uuid, info.uri) == (guest.name, str(guest.uuid), libvirtd.uri)
        assert (info.running, info.paused, info.served, info.devices) == (True, False, True, [])


async def test_a_domain_that_is_excluded_is_seen_and_left_alone(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(
        libvirtd, state="paused", extra_devices=SERIAL_TO_FILE.format(path=libvirtd.base / "serial1")
    )
    mux = await daemon(libvirtd.uri, arguments=["--domain", "others-*"])
    async with connect(mux.socket) as client:
        (info,) = await client.domains(guest.name)
        assert (info.served, info.running, info.paused, info.command_line) == (False, True, True, None)
        assert [(each.device, each.backend) for each in info.devices] == [("serial0", "pty"), ("serial1", "file")]
        with pytest.raises(Refused) as refused:
            await client.guest(guest.name, "resume")
        assert refused.value.reason.cause is Cause.CONSOLE_MISSING
        with pytest.raises(Refused):
            await client.domains("nobody")


async def test_the_command_line_of_a_kernel_that_libvirt_boots_is_told(
    libvirtd: Libvirtd, linux: StartGuest, daemon: StartDaemon
) -> None:
    guest = await linux(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    async with connect(mux.socket) as client:
        (info,) = await client.domains(guest.name)
    assert info.command_line is not None
    assert "console=ttyS0" in info.command_line


async def test_a_start_that_takes_long_holds_up_nothing_else(
    slow_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    other = await boot_guest(slow_libvirtd)
    guest = await boot_guest(slow_libvirtd, state="defined")
    slow = slow_libvirtd.base / "lib" / "slow"
    slow.touch()
    mux = await daemon(slow_libvirtd.uri)
    async with connect(mux.socket) as client, asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(client.guest(guest.name, "start"))
        async with follow(mux.socket, other.name) as watcher:
            await watcher.until_attached()
            await watcher.echo(b"=meanwhile=")
        assert [info.running for info in await client.domains(other.name)] == [True]
        assert not starting.done()
        slow.unlink()
        await starting
    assert "running" in await guest.state()


async def test_where_libvirt_hangs_that_is_told_and_not_waited_for(
    own_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = await boot_guest(own_libvirtd, state="defined")
    config = tmp_path / "virtmuxd.toml"
    config.write_text("keepalive_interval = 1\nkeepalive_count = 2\n")
    mux = await daemon(own_libvirtd.uri, arguments=["--config", str(config)])
    async with connect(mux.socket) as client, asyncio.timeout(PATIENCE):
        await client.inventory()
        own_libvirtd.freeze()
        for asked in (client.guest(guest.name, "start"), client.domains(guest.name)):
            with pytest.raises(Refused) as refused:
                await asked
            assert refused.value.reason.cause is Cause.HYPERVISOR_TIMEOUT
        own_libvirtd.thaw()
