"""SIGHUP: another configuration for a daemon that runs, whose clients notice only what concerns them."""

import asyncio
import json
import subprocess

import pytest

from tests.harness.daemon import PROGRAMS, Daemon
from tests.harness.follower import PATIENCE, follow
from tests.harness.libvirtd import Libvirtd
from tests.harness.privilege import AS_NOBODY, IS_ROOT, NOBODY
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Cause, PlaceEnded


async def test_a_policy_holds_and_lets_go_its_consoles_and_leaves_the_others_alone(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    one, other = await boot_guest(libvirtd), await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    await mux.until_listed(one.name, state="absent")
    async with follow(mux.socket, other.name) as bystander:
        await bystander.until_attached()

        await mux.reload(f'[[console]]\nmatch = "{one.name}"\nattach = "always"\n')
        await mux.until_listed(one.name, state="attached", policy="always")
        await mux.reload(f'[[console]]\nmatch = "{one.name}"\nattach = "never"\n')
        await mux.until_listed(one.name, state="absent", policy="never")

        await bystander.echo(b"still here")
        assert not bystander.reasons
        assert bystander.console.progress.attachment == 1


async def test_hypervisors_come_and_go_and_the_others_go_on(
    libvirtd: Libvirtd, own_libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    both = f'uri = ["{libvirtd.uri}", "{own_libvirtd.uri}"]'
    here, there = await boot_guest(libvirtd), await boot_guest(own_libvirtd)
    mux = await daemon(config=f'uri = ["{libvirtd.uri}"]')
    async with follow(mux.socket, here.name) as bystander:
        await bystander.until_attached()

        await mux.reload(both)
        await mux.until_listed(there.name, running=True)
        async with follow(mux.socket, there.name) as client:
            await client.until_attached()
            await mux.reload(f'uri = ["{libvirtd.uri}"]')
            await client.until(lambda one: any(isinstance(each, PlaceEnded) for each in one.records))
            (ended,) = (each for each in client.records if isinstance(each, PlaceEnded))
            assert ended.reason.cause is Cause.EVICTED
            assert f"does not serve {own_libvirtd.uri} any more" in ended.reason.text
        assert [each["uri"] for each in await mux.hypervisors()] == [libvirtd.uri]
        assert not await own_libvirtd.clients()

        await mux.reload(both)
        async with follow(mux.socket, there.name) as client:
            await client.until_attached()
        await bystander.echo(b"still here")
        assert not bystander.reasons
    assert await mux.stop() == 0


async def test_other_domains_are_looked_after_once_they_are_meant(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    one, other = await boot_guest(libvirtd), await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, config=f'domain = ["{one.name}"]')
    await mux.until_listed(one.name, running=True)

    await mux.reload(f'domain = ["{other.name}"]')
    await mux.until_listed(other.name, running=True)
    assert [each["id"]["domain"] for each in await mux.consoles()] == [other.name]


async def test_a_bad_file_changes_nothing_and_says_why(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri, config="linger = 1")
    async with follow(mux.socket, guest.name) as client:
        await client.until_attached()
        mux.settings.write_text('lingr = 1\nring = 5\n[[console]]\nmatch = "*"\nattach = "never"\n')
        mux.hang_up()
        await mux.until_logged("nothing has changed", 2)

        assert f"{mux.settings}: lingr: there is no such key; did you mean linger?" in mux.log
        assert f"{mux.settings}: ring: expected a whole number >= 16384, got 5" in mux.log
        await client.echo(b"still here")
        assert not client.reasons


async def test_what_waits_for_a_restart_is_named(libvirtd: Libvirtd, daemon: StartDaemon) -> None:
    mux = await daemon(libvirtd.uri)
    await mux.reload("ring = 20000\nworkers = 3\nlinger = 2\n")
    assert "waiting_for_a_restart='ring, workers'" in mux.log


@pytest.mark.where_it_can_be_had
@pytest.mark.skipif(not IS_ROOT, reason="only root can be another user")
async def test_rights_are_given_and_taken_at_once_and_nobody_else_notices(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    """The client is one of another user: the kernel says so, and the rules go by that."""
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    mux.directory.chmod(0o711)
    mux.runtime.chmod(0o711)
    mux.socket.chmod(0o666)

    status, _, said = await as_nobody(mux, "list")
    assert (status, "may do nothing here" in said) == (4, True)

    rule = f'[[access]]\nuser = ["{NOBODY}"]\nconsole = ["{guest.name}"]\nallow = {{}}\n'
    await mux.reload(rule.format('["watch", "history", "type"]'))
    async with follow(mux.socket, guest.name) as root:
        await root.until_attached()
        assert (await as_nobody(mux, "send", guest.name, "hello"))[0] == 0
        await root.until_output(b"hello")
        status, out, _ = await as_nobody(mux, "log", guest.name)
        assert (status, "hello" in out) == (0, True)

        await mux.reload(rule.format('["watch"]'))
        for denied in (("send", guest.name, "no"), ("log", guest.name), ("release", guest.name), ("nmi", guest.name)):
            status, _, said = await as_nobody(mux, *denied)
            assert (status, said.count("\n")) == (4, 1), (denied, said)
        status, out, _ = await as_nobody(mux, "list", "--json")
        rows = [row for row in map(json.loads, out.splitlines()) if row["type"] == "console"]
        assert [row["id"]["domain"] for row in rows] == [guest.name]
        await mux.reload("")
        assert (await as_nobody(mux, "list"))[0] == 4
        await root.echo(b"still here")
        assert not root.reasons


async def as_nobody(mux: Daemon, *arguments: str) -> tuple[int, str, str]:
    """Run `virtmux` as another user."""
    command = [*AS_NOBODY, str(PROGRAMS / "virtmux"), "--socket", str(mux.socket), *arguments]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    done = await asyncio.to_thread(run)
    return done.returncode, done.stdout, done.stderr
