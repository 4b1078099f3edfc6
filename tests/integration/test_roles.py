"""Who may type at a real guest, over lost connections too; and peers of another time, who know nothing of that."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.harness.follower import Follower, follow
from tests.harness.libvirtd import Libvirtd
from tests.harness.older_peer import older_peer
from tests.harness.terminal import ESCAPE, at_terminal
from tests.integration.conftest import StartDaemon, StartGuest
from virtmux import Refused, Role, RoleChanged
from virtmux.features import Feature
from virtmuxd.core.roles import KEPT


def roles(one: Follower) -> list[Role]:
    """What it was told of its role, so far."""
    return [each.role for each in one.records if isinstance(each, RoleChanged)]


async def test_exclusivity_outlives_a_lost_connection_and_a_role_never_changes_without_a_word(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with older_peer(tmp_path / "between", mux.socket, ()) as between, follow(mux.socket, guest.name) as other:
        await other.until_attached()
        async with at_terminal(between.path, "attach", "--exclusive", guest.name) as person:
            await person.expect(b"virtmux: you have the console alone: nobody else may type\r\n")
            await other.until(lambda one: roles(one) == [Role.WATCHER])
            assert other.console.exclusive_to is not None
            person.send(b"typed")
            await person.expect(b"typed")

            between.cut()
            await person.expect(b"waiting to attach again\r\n")
            with pytest.raises(Refused, match="has the console alone"):
                await other.write(b"no")
            between.mend()
            await person.expect(b"virtmux: attached again\r\n")
            person.send(b"and again")
            await person.expect(b"and again")

            await other.until_output(b"typedand again")
            assert roles(other) == [Role.WATCHER], "the right was kept, and nobody was told otherwise"
            person.send(ESCAPE)
            await person.exit()
        await other.until(lambda one: roles(one) == [Role.WATCHER, Role.WRITER])
        await other.echo(b"at last")


async def test_who_does_not_come_back_loses_it_after_ten_seconds(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with older_peer(tmp_path / "between", mux.socket, ()) as between, follow(mux.socket, guest.name) as other:
        await other.until_attached()
        async with at_terminal(between.path, "attach", "--exclusive", guest.name) as person:
            await person.expect(b"you have the console alone")
            await other.until(lambda one: roles(one) == [Role.WATCHER])
            between.cut()
            await person.expect(b"waiting to attach again\r\n")
            loop = asyncio.get_running_loop()
            began = loop.time()
            await other.until(lambda one: roles(one) == [Role.WATCHER, Role.WRITER])
            assert loop.time() - began > KEPT - 2
            between.mend()
            await person.expect(b"attached again\r\n")
            await other.until(lambda one: roles(one) == [Role.WATCHER, Role.WRITER, Role.WATCHER])


async def test_after_a_sigkill_of_the_daemon_it_is_had_again(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with follow(mux.socket, guest.name) as other:
        await other.until_attached()
        async with at_terminal(mux.socket, "attach", "--exclusive", guest.name) as person:
            await person.expect(b"you have the console alone")
            await other.until(lambda one: one.console.role is Role.WATCHER)
            await mux.kill()
            await mux.start()
            await person.expect(b"attached again\r\n")
            await other.until(lambda one: one.console.attachment and one.console.role is Role.WATCHER)
            person.send(b"still mine")
            await person.expect(b"still mine")


async def test_who_is_displaced_is_told_by_whom_and_what_it_types_is_not_swallowed(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with at_terminal(mux.socket, "attach", "--exclusive", guest.name) as first:
        await first.expect(b"you have the console alone")
        status, _, talk = await mux.run_client("attach", "--exclusive", guest.name)
        assert (status, talk.count("\n")) == (8, 1)
        assert "--steal takes it over" in talk
        async with at_terminal(mux.socket, "attach", "--exclusive", "--steal", guest.name) as thief:
            await thief.expect(f"(pid {first.child.pid}) is attached too and only watches\r\n".encode())
            await first.expect(f"(pid {thief.child.pid}) took the console over and has it alone".encode())
            first.send(b"mine")
            await first.expect(b"what is typed here is not sent; --exclusive --steal takes it over\r\n")
            thief.send(b"stolen")
            await first.expect(b"stolen")
            thief.send(ESCAPE)
            await thief.exit()
        await first.expect(b"does not have the console alone any more; you may type again\r\n")
        first.send(b"mine")
        await first.expect(b"mine")


async def test_a_client_and_a_daemon_that_lack_each_others_newest_features_work_together(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with older_peer(tmp_path / "between", mux.socket) as between:
        async with at_terminal(between.path, "attach", guest.name) as person, follow(mux.socket, guest.name) as newer:
            await person.expect(b"Escape character")
            person.send(b"typed")
            await person.expect(b"typed")
            await newer.until_attached()
            await newer.write(b"by both")
            await person.expect(b"by both")
            status, rows, _ = await mux.run_client("--socket", str(between.path), "list", "--json")
            assert status == 0
            assert guest.name in [row["id"]["domain"] for row in map(json.loads, rows.splitlines()) if "state" in row]
            events = await mux.client("--socket", str(between.path), "events", "--json")
            assert events.stdout is not None
            assert json.loads(await events.stdout.readline())["event"] == "appeared"
            events.terminate()
            await events.communicate()

            status, output, talk = await mux.run_client(
                "--socket", str(between.path), "attach", "--exclusive", guest.name
            )
            assert (status, output, talk.count("\n")) == (1, b"", 1)
            assert talk.startswith("virtmux: this virtmuxd is older than this virtmux and does not know that: `roles`")
            person.send(ESCAPE)
            await person.exit()
        assert {"attach", "place", "list", "console", "watch", "event"} < between.passed


async def test_an_older_client_that_becomes_a_watcher_hears_of_it_when_it_types(
    libvirtd: Libvirtd, boot_guest: StartGuest, daemon: StartDaemon, tmp_path: Path
) -> None:
    guest = await boot_guest(libvirtd)
    mux = await daemon(libvirtd.uri)
    async with (
        older_peer(tmp_path / "between", mux.socket, [Feature.ROLES]) as between,
        at_terminal(between.path, "attach", guest.name) as older,
        at_terminal(mux.socket, "attach", guest.name) as newer,
    ):
        await older.expect(b"Escape character")
        await newer.expect(b"attached too and may type\r\n")
        async with at_terminal(mux.socket, "attach", "--exclusive", guest.name) as alone:
            await alone.expect(b"you have the console alone")
            await newer.expect(b"has the console alone now; you may only watch\r\n")
            older.send(b"x")
            await older.expect(b"1 of 1 bytes of input may not have arrived: virtmux's access rules do not allow this")
            alone.send(b"seen by all")
            await older.expect(b"seen by all")
            alone.send(ESCAPE)
            await alone.exit()
        await newer.expect(b"you may type again\r\n")
        older.send(b"y")
        await newer.expect(b"y")
