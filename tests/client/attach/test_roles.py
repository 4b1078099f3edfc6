"""`virtmux attach` and the others: who may type, who is there, and what becomes of what one may not type."""

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.harness.command import running
from tests.harness.screen import Screen, bytes_read, on
from tests.harness.scripted_daemon import HANDLE, Peer, ScriptedDaemon, place, playing, reason
from virtmux.features import Feature
from virtmux.messages import Attach, Company, InputStatus, Refused, RoleChanged
from virtmux.people import Companion, Person, Role
from virtmux.reasons import Cause
from virtmux.wire import Input

BOB = Person(2, "bob", 1001, 123)
CAROL = Person(3, "carol", 1002, 124)
HERE = [Companion(BOB, Role.WRITER), Companion(CAROL, Role.READ_ONLY)]


@pytest.fixture
def daemon(tmp_path: Path) -> ScriptedDaemon:
    return ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.ROLES])


async def attached(daemon: ScriptedDaemon, role: Role = Role.WRITER, by: Person | None = None) -> tuple[Peer, Attach]:
    peer = await daemon.accept()
    asked = await peer.expect(Attach)
    token = "token" if role is Role.EXCLUSIVE else None
    peer.say(replace(place(asked.id), role=role, read_only=not role.types, token=token, by=by))
    return peer, asked


class TestExclusive:
    async def test_it_is_asked_for_and_said(self, daemon: ScriptedDaemon, screen: Screen) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer, asked = await attached(daemon, Role.EXCLUSIVE)
            assert (asked.exclusive, asked.steal, asked.token, asked.company) == (True, True, None, True)
            await peer.gone()

        arguments = ("attach", "--exclusive", "--steal", "web1")
        async with playing(daemon, script), running(daemon.path, *arguments, **on(screen)):
            await screen.until(b"virtmux: you have the console alone: nobody else may type\r\n")

    async def test_who_is_displaced_is_told_by_whom_and_later_that_it_is_over(
        self, daemon: ScriptedDaemon, screen: Screen
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer, _ = await attached(daemon, Role.EXCLUSIVE)
            peer.output(b"# ", at=0)
            peer.say(RoleChanged(HANDLE, Role.WATCHER, BOB), Company(HANDLE, [Companion(BOB, Role.EXCLUSIVE)]))
            peer.say(RoleChanged(HANDLE, Role.WRITER, BOB), Company(HANDLE, []))
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "--exclusive", "web1", **on(screen)):
            await screen.until(b"virtmux: bob (pid 123) took the console over and has it alone; you may only watch\r\n")
            await screen.until(b"virtmux: bob (pid 123) does not have the console alone any more; you may type again")

    async def test_where_somebody_else_has_it_alone_it_is_one_line_and_status_8(self, daemon: ScriptedDaemon) -> None:
        text = "bob (client 2, pid 123) has the console of web1 alone; --steal takes it over"

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(Refused((await peer.expect(Attach)).id, reason(Cause.CONSOLE_BUSY, text=text)))
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "--exclusive", "web1") as command:
            assert await command.finish() == (8, b"", f"virtmux: {text} (console-busy)\n")

    async def test_an_older_daemon_is_one_line(self, tmp_path: Path) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            await (await daemon.accept()).gone()

        daemon = ScriptedDaemon(tmp_path / "older.sock")
        async with playing(daemon, script), running(daemon.path, "attach", "--exclusive", "web1") as command:
            status, out, err = await command.finish()
        assert (status, out, err.count("\n")) == (1, b"", 1)
        assert err.startswith("virtmux: this virtmuxd is older than this virtmux and does not know that: `roles`")

    @pytest.mark.parametrize("options", [["--steal"], ["--exclusive", "--read-only"]])
    async def test_what_makes_no_sense_is_wrong_usage(self, tmp_path: Path, options: list[str]) -> None:
        async with running(tmp_path / "none", "attach", *options, "web1") as command:
            status, _, err = await command.finish()
        assert (status, err.count("\n")) == (2, 1)

    async def test_after_a_lost_connection_the_token_has_it_again_and_what_became_of_it_is_told(
        self, daemon: ScriptedDaemon, screen: Screen
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            (await attached(daemon, Role.EXCLUSIVE))[0].close()
            peer, asked = await attached(daemon, Role.WATCHER, BOB)
            assert (asked.exclusive, asked.steal, asked.token) == (True, False, "token")
            await peer.gone()

        arguments = ("attach", "--exclusive", "--steal", "web1")
        async with playing(daemon, script), running(daemon.path, *arguments, **on(screen)):
            await screen.until(b"virtmux: bob (pid 123) took the console over and has it alone; you may only watch\r\n")


class TestCompany:
    async def test_on_a_terminal_who_is_there_is_said_at_the_start_and_when_it_changes(
        self, daemon: ScriptedDaemon, screen: Screen
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer, asked = await attached(daemon)
            assert asked.company
            peer.say(Company(HANDLE, HERE))
            peer.output(b"login: ", at=0)
            await started.wait()
            peer.say(Company(HANDLE, HERE[:1]), Company(HANDLE, []))
            await peer.gone()

        started = asyncio.Event()
        async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)):
            await screen.until(
                b"virtmux: bob (pid 123) is attached too and may type; "
                b"carol (pid 124) is attached too and only watches\r\n"
            )
            started.set()
            await screen.until(b"\r\nvirtmux: bob (pid 123) left; carol (pid 124) left\r\nlogin: ")

    @pytest.mark.parametrize("options", [[], ["--quiet"], ["--quiet", "--json"]])
    async def test_a_pipe_is_told_nothing_by_itself(self, daemon: ScriptedDaemon, options: list[str]) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer, asked = await attached(daemon)
            assert not asked.company
            peer.say(Company(HANDLE, HERE))
            peer.output(b"up", at=0)
            peer.ended(1, reason(Cause.GUEST_SHUTDOWN), at=2)
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", *options, "web1") as command:
            status, out, err = await command.finish()
        assert (status, out, err.count("\n")) == (10, b"up", 1)

    async def test_in_json_it_is_who_is_there_now(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer, asked = await attached(daemon, Role.WATCHER, BOB)
            assert asked.company
            peer.say(Company(HANDLE, HERE))
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "--json", "web1") as command:
            role, company = json.loads(await command.line()), json.loads(await command.line())
        assert (role["type"], role["role"], role["by"]["user"]) == ("role", "watcher", "bob")
        assert company["type"] == "company"
        assert [(each["who"]["user"], each["role"]) for each in company["others"]] == [
            ("bob", "writer"),
            ("carol", "read-only"),
        ]

    async def test_after_a_lost_connection_who_comes_again_is_no_news(
        self, daemon: ScriptedDaemon, screen: Screen
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer, _ = await attached(daemon)
            peer.say(Company(HANDLE, HERE))
            await started.wait()
            peer.close()
            peer = await daemon.accept()
            peer.say(place((await peer.expect(Attach)).id))
            peer.say(Company(HANDLE, []), Company(HANDLE, [Companion(replace(BOB, client=9), Role.WRITER)]))
            await peer.gone()

        started = asyncio.Event()
        async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)):
            await screen.until(b"bob (pid 123) is attached too")
            started.set()
            assert b"bob" not in (await screen.until(b"virtmux: carol (pid 124) left\r\n")).split(b"attached again")[1]


class TestInputOfAWatcher:
    async def test_what_is_typed_is_said_once_not_to_be_sent_until_one_may_type_again(
        self, daemon: ScriptedDaemon, screen: Screen
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer, _ = await attached(daemon, Role.WATCHER, BOB)
            peer.output(b"up", at=0)
            await told.wait()
            peer.say(RoleChanged(HANDLE, Role.WRITER, BOB))
            assert (await peer.expect(Input)).data == b"y"
            peer.say(RoleChanged(HANDLE, Role.WATCHER, CAROL))
            await peer.gone()

        told = asyncio.Event()
        async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)) as command:
            shown = await screen.until(b"virtmux: bob (pid 123) has the console alone; you may only watch\r\n")
            assert b"not sent" not in shown
            await screen.until(b"up")
            screen.type(b"a")
            await screen.until(b"bob (pid 123) has the console alone: what is typed here is not sent;")
            before = bytes_read(command.process.pid)
            screen.type(b"bc")
            while bytes_read(command.process.pid) < before + 2:
                await asyncio.sleep(0.01)
            told.set()
            assert b"not sent" not in await screen.until(b"you may type again\r\n")
            screen.type(b"y")
            await screen.until(b"carol (pid 124) has the console alone now")
            screen.type(b"z")
            await screen.until(b"carol (pid 124) has the console alone: what is typed here is not sent;")

    async def test_what_is_piped_waits_and_then_arrives_whole(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer, _ = await attached(daemon, Role.WATCHER, BOB)
            await told.wait()
            peer.say(RoleChanged(HANDLE, Role.WRITER, BOB))
            assert await peer.expect_input(5) == b"piped"
            peer.say(InputStatus(HANDLE, 1, accepted=5))
            await peer.gone()

        told = asyncio.Event()
        async with (
            playing(daemon, script),
            running(daemon.path, "attach", "--linger=0.2", "web1") as command,
        ):
            command.type(b"piped")
            assert await command.line() == (
                "virtmux: bob (pid 123) has the console alone: the input waits until that is over\n"
            )
            told.set()
            status, _, err = await command.finish()
        assert status == 0
        assert err == (
            "virtmux: bob (pid 123) does not have the console alone any more; you may type again\nvirtmux: detached\n"
        )

    async def test_at_a_place_that_may_never_type_it_is_said_what_was_lost(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer, _ = await attached(daemon, Role.READ_ONLY)
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "--linger=0.2", "web1") as command:
            command.type(b"piped")
            status, _, err = await command.finish()
        assert status == 0
        assert err.startswith("virtmux: 5 of 5 bytes of input may not have arrived: virtmux's access rules")


class TestInputThatNobodyTakes:
    async def test_what_was_typed_before_is_dropped_and_counted(self, daemon: ScriptedDaemon, screen: Screen) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            await typed.wait()
            peer.say(place(asked.id))
            await peer.gone()

        typed = asyncio.Event()
        screen.type(b"early\rbird")
        typed.set()
        async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)):
            await screen.until(b"virtmux: 10 bytes of input that were typed before were dropped\r\n")

    async def test_what_is_typed_while_nothing_is_attached_is_said_once_to_be_dropped(
        self, daemon: ScriptedDaemon, screen: Screen
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer, _ = await attached(daemon)
            peer.ended(1, reason(Cause.HYPERVISOR_LOST, will_retry=True), at=0)
            await typed.wait()
            peer.attached(2, at=0)
            await peer.gone()

        typed = asyncio.Event()
        async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)) as command:
            await screen.until(b"waiting to attach again")
            screen.type(b"a")
            await screen.until(b"virtmux: nothing is attached: what is typed now is dropped\r\n")
            before = bytes_read(command.process.pid)
            screen.type(b"b")
            while bytes_read(command.process.pid) < before + 1:
                await asyncio.sleep(0.01)
            typed.set()
            assert b"dropped" not in await screen.until(b"attached again\r\n")

    async def test_what_was_pasted_and_not_sent_at_an_end_is_counted(
        self, daemon: ScriptedDaemon, screen: Screen
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer, _ = await attached(daemon)
            await peer.expect_input(65536)
            peer.say(InputStatus(HANDLE, 1, accepted=0, held=True))
            await pasted.wait()
            peer.ended(1, reason(Cause.HYPERVISOR_LOST, will_retry=True), at=0)
            await peer.gone()

        pasted = asyncio.Event()
        async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)) as command:
            await screen.until(b"Ctrl + ])\r\n")
            while not screen.raw:
                await asyncio.sleep(0.01)
            before = bytes_read(command.process.pid)
            await asyncio.gather(asyncio.to_thread(screen.type_all, bytes(200_000)), screen.until(b"input wait"))
            while bytes_read(command.process.pid) < before + 200_000:
                await asyncio.sleep(0.01)
            pasted.set()
            said = await screen.until(b"bytes of input were not delivered\r\n")
            assert int(said.split(b"virtmux: ")[-1].split()[0]) > 100_000
