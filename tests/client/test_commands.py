"""`list`, `events`, and what every command does with errors: as processes, by their streams and exit statuses."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import (
    AT,
    CONSOLE,
    Peer,
    ScriptedDaemon,
    console_info,
    hypervisor_info,
    playing,
    reason,
)
from virtmux.messages import Console, Done, Event, Hypervisor, ListConsoles, Watch
from virtmux.reasons import Cause

APPEARED = Event(event="appeared", at=AT, console=CONSOLE, offset=0)


@pytest.fixture
def daemon(tmp_path: Path) -> ScriptedDaemon:
    return ScriptedDaemon(tmp_path / "virtmux.sock")


async def finished(socket: Path, *arguments: str, **streams: Any) -> tuple[int, bytes, str]:
    async with running(socket, *arguments, **streams) as command:
        return await command.finish()


async def lists_one(daemon: ScriptedDaemon) -> None:
    peer = await daemon.accept()
    asked = await peer.expect(ListConsoles)
    peer.say(Hypervisor(asked.id, hypervisor_info()), Console(asked.id, console_info()), Done(asked.id))
    await peer.gone()


async def watched(daemon: ScriptedDaemon) -> Peer:
    peer = await daemon.accept()
    asked = await peer.expect(Watch)
    peer.say(APPEARED, Done(asked.id))
    return peer


class TestList:
    async def test_it_prints_columns(self, daemon: ScriptedDaemon) -> None:
        async with playing(daemon, lists_one):
            status, out, err = await finished(daemon.path, "list")
        assert (status, err) == (0, "")
        assert [line.split()[:2] for line in out.decode().splitlines()] == [
            ["CONSOLE", "STATE"],
            ["web1:serial0", "attached"],
        ]

    async def test_it_prints_json_lines(self, daemon: ScriptedDaemon) -> None:
        async with playing(daemon, lists_one):
            status, out, _ = await finished(daemon.path, "list", "--json")
        hypervisor, console = map(json.loads, out.splitlines())
        assert status == 0
        assert (hypervisor["type"], hypervisor["uri"]) == ("hypervisor", "qemu:///system")
        assert (console["type"], console["id"]["domain"]) == ("console", "web1")

    async def test_the_socket_can_be_an_option(self, daemon: ScriptedDaemon) -> None:
        async with playing(daemon, lists_one):
            status, _, _ = await finished(Path("/nowhere"), "--socket", str(daemon.path), "list")
        assert status == 0


class TestEvents:
    async def test_a_line_comes_as_soon_as_its_event(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            await (await watched(daemon)).gone()

        async with playing(daemon, script), running(daemon.path, "events", "--json") as command:
            assert command.process.stdout is not None
            told = json.loads(await command.process.stdout.readline())
            assert told == {
                "event": "appeared",
                "at": AT,
                "console": {name: getattr(CONSOLE, name) for name in CONSOLE.__struct_fields__},
                "offset": 0,
                "mark": None,
                "reason": None,
            }
            command.process.send_signal(signal.SIGINT)
            assert await command.finish() == (130, b"", "")

    async def test_a_restart_is_said_and_everything_appears_again(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            (await watched(daemon)).goodbye(reason(Cause.SERVER_STOPPING))
            (await watched(daemon)).goodbye(reason(Cause.EVICTED))

        async with playing(daemon, script):
            status, out, err = await finished(daemon.path, "events")
        assert status == 12
        assert out.decode().splitlines() == ["2025-03-01 12:00:00  web1:serial0  appeared"] * 2
        assert err.splitlines() == [
            "virtmux: virtmuxd is stopping (server-stopping); connecting again",
            "virtmux: connected again",
            "virtmux: evicted (evicted)",
        ]

    async def test_nobody_reading_ends_it_quietly(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            await (await watched(daemon)).gone()

        async with playing(daemon, script), running(daemon.path, "events") as command:
            assert command.process.stdout is not None
            await command.process.stdout.readline()
            command.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
            assert await command.end() == (0, "")

    async def test_a_closed_stdout_ends_it_quietly_at_once(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            await (await daemon.accept()).gone()

        async with playing(daemon, script), running(daemon.path, "events", shell=">&-") as command:
            assert await command.end() == (0, "")


class TestFullDisk:
    async def test_events_say_it_in_one_line(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            await (await watched(daemon)).gone()

        async with playing(daemon, script), running(daemon.path, "events", shell=">/dev/full") as command:
            assert await command.end() == (1, "virtmux: stdout: No space left on device\n")

    async def test_so_does_list(self, daemon: ScriptedDaemon) -> None:
        async with playing(daemon, lists_one), running(daemon.path, "list", shell=">/dev/full") as command:
            assert await command.end() == (1, "virtmux: stdout: No space left on device\n")

    async def test_a_closed_stdout_is_none(self, daemon: ScriptedDaemon) -> None:
        async with playing(daemon, lists_one), running(daemon.path, "list", shell=">&-") as command:
            assert await command.end() == (0, "")


class TestErrors:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["list"],
            ["events"],
            ["attach", "web1"],
            ["release", "web1"],
            ["release", "web1", "--", "true"],
            ["reclaim", "a"],
        ],
    )
    async def test_without_a_daemon_the_socket_is_named(self, tmp_path: Path, arguments: Sequence[str]) -> None:
        status, out, err = await finished(tmp_path / "s", *arguments)
        assert (status, out) == (5, b"")
        assert err == (
            f"virtmux: no virtmuxd answers: {tmp_path}/s: No such file or directory (server-lost); "
            "start virtmuxd, or name its socket with --socket\n"
        )

    @pytest.mark.parametrize("arguments", [["list"], ["attach", "--json", "web1"]])
    async def test_a_socket_whose_name_is_no_text_is_named_as_well(
        self, tmp_path: Path, arguments: Sequence[str]
    ) -> None:
        async with running(tmp_path / "s", "--socket", b"/no\xffwhere", *arguments) as command:
            status, _, err = await command.finish()
        assert status == 5
        assert "udcffwhere: No such file or directory" in err

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["attach"], "virtmux: missing argument"),
            (["attach", "web1", "--stay", "--once"], "virtmux: --stay and --once exclude each other"),
            (["attach", "web1", "--escape", "ab"], "virtmux: invalid value for '--escape': not an escape key"),
            (["attach", "web1", "--wait=soon"], "virtmux: invalid value for '--wait': not a duration: 'soon'"),
            (["attach", "web1", "--from", "x:1"], "virtmux: invalid value for '--from': not a position"),
            (["lsit"], "virtmux: no such command 'lsit'"),
            (["list", "--jsno"], "virtmux: no such option"),
        ],
    )
    async def test_wrong_usage_is_one_line_and_status_2(
        self, tmp_path: Path, arguments: Sequence[str], complaint: str
    ) -> None:
        status, out, err = await finished(tmp_path / "s", *arguments)
        assert (status, out) == (2, b"")
        assert err.lower().startswith(complaint.lower())
        assert err.count("\n") == 1
        assert "--help`" in err

    async def test_help_needs_no_daemon(self, tmp_path: Path) -> None:
        status, out, err = await finished(tmp_path / "s", "--help")
        assert (status, err) == (0, "")
        assert all(name in out.decode() for name in ("attach", "events", "list", "reclaim", "release"))
