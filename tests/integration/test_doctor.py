"""`virtmux doctor` with real guests: what is wrong is found, and nothing else."""

import json
import re
from pathlib import Path

from tests.harness.daemon import Daemon
from tests.harness.follower import boot, follow
from tests.harness.guest import BANNER
from tests.harness.libvirtd import Libvirtd
from tests.harness.virsh_console import virsh_console
from tests.integration.conftest import StartDaemon, StartGuest


async def found(mux: Daemon, *arguments: str) -> tuple[int, list[str], str]:
    """The exit status, the names of the findings, and all that they say."""
    status, output, talk = await mux.run_client("doctor", *arguments, "--json")
    assert talk == ""
    findings: list[dict[str, str]] = [json.loads(line) for line in output.splitlines()]
    words = " ".join(f"{each['wrong']} {each['known']} {each['do']}" for each in findings)
    return status, [each["name"] for each in findings], words


async def test_where_all_is_well_it_says_so(libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon) -> None:
    guest = await boot_guest(libvirtd, state="paused")
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as watcher:
        await boot(guest, watcher, says=BANNER)
        assert await found(mux) == (0, [], "")
        status, output, _ = await mux.run_client("doctor", f"{guest.name}:serial0")
    assert status == 0
    assert output.decode().startswith(f"Nothing is wrong with {guest.name}:serial0: it can be attached to")


async def test_a_guest_that_is_off_then_paused_then_silent(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd, state="defined")
    mux = await daemon(libvirtd.uri)
    assert (await found(mux, guest.name))[:2] == (9, ["guest-off"])
    await guest.start(paused=True)
    assert (await found(mux, guest.name))[:2] == (9, ["guest-paused"])
    await guest.destroy()
    await guest.start()
    await guest.until_booted()  # nobody hears what it says, and it has no more to say
    async with virsh_console(guest) as virsh:
        virsh.send(b"typed")
        await virsh.expect(b"typed")
    status, names, words = await found(mux, guest.name)
    assert (status, names) == (1, ["guest-silent"]), words
    assert "console=ttyS0" in words


async def test_a_console_that_virsh_holds_is_told_with_its_process(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with virsh_console(guest) as virsh:
        virsh.send(b"typed")
        await virsh.expect(b"typed")
        status, names, words = await found(mux, guest.name)
        assert (status, names) == (8, ["console-held"])
        assert f"console {guest.name}` (pid {virsh.child.pid}, user " in words
        virsh.send(b"still mine")
        await virsh.expect(b"still mine")


async def test_a_domain_that_is_not_there_excluded_or_without_a_console(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest, plain = await boot_guest(libvirtd), await boot_guest(libvirtd, state="defined")
    xml = re.sub(r"<(serial|console)\b.*?</\1>", "", plain.xml, flags=re.DOTALL)
    await plain.undefine()
    await libvirtd.define(plain.name, xml)
    mux = await daemon(libvirtd.uri)
    status, names, words = await found(mux, guest.name[:-1])
    assert (status, names) == (3, ["domain-missing"])
    assert f"Did you mean {guest.name}" in words
    assert (await found(mux, plain.name))[:2] == (3, ["no-console-device", "guest-off"])

    other = await daemon(libvirtd.uri, arguments=["--domain", "others-*"])
    assert (await found(other, guest.name))[:2] == (3, ["domain-excluded"])


async def test_what_virtmux_was_told_to_leave_alone(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    assert (await mux.run_client("release", guest.name))[0] == 0
    assert (await found(mux, guest.name))[:2] == (8, ["console-released"])
    never = await daemon(libvirtd.uri, attach="never")
    assert (await found(never, guest.name))[:2] == (8, ["policy-never"])


async def test_a_hypervisor_and_a_daemon_that_are_away(daemon: StartDaemon, tmp_path: Path) -> None:
    uri = f"qemu+unix:///system?socket={tmp_path}/nobody"
    mux = await daemon(uri)
    for arguments in ([], ["web1"]):
        status, names, words = await found(mux, *arguments)
        assert (status, names) == (6, ["hypervisor-unreachable"])
        assert uri in words
    await mux.stop()
    assert (await found(mux, "web1"))[:2] == (5, ["daemon-not-running"])
    await mux.start()
