"""`list`, `events`, and what every command does with errors: as processes, by their streams and exit statuses."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.harness.command import environment, finished, running
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
from virtmux.messages import (
    Console,
    Done,
    Event,
    Histories,
    History,
    HistoryInfo,
    Hypervisor,
    ListConsoles,
    Marks,
    Refused,
    Stored,
    Watch,
)
from virtmux.reasons import Cause, ConsoleId

SINCE = "2026-01-31T12:00:00.000000Z"
APPEARED = Event(event="appeared", at=AT, console=CONSOLE, offset=0)


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

    async def test_patterns_choose_the_consoles(self, daemon: ScriptedDaemon) -> None:
        async with playing(daemon, lists_one):
            status, out, _ = await finished(daemon.path, "list", "db*", "web?")
        assert (status, out.count(b"\n")) == (0, 2)

    async def test_a_pattern_that_matches_nothing_is_said(self, daemon: ScriptedDaemon) -> None:
        async with playing(daemon, lists_one):
            status, _, err = await finished(daemon.path, "list", "db*")
        assert (status, err) == (3, "virtmux: no console matches 'db*'; `virtmux list` shows all\n")

    async def test_a_daemon_that_sends_it_away_is_believed(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            (await daemon.accept()).goodbye(reason(Cause.EVICTED))

        async with playing(daemon, script):
            status, out, err = await finished(daemon.path, "list")
        assert (status, out, err) == (12, b"", "virtmux: virtmuxd sent this client away (evicted)\n")

    async def test_one_that_breaks_off_is_lost(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            (await daemon.accept()).close()

        async with playing(daemon, script):
            status, out, err = await finished(daemon.path, "list")
        assert (status, out) == (5, b"")
        assert err.startswith("virtmux: the connection to virtmuxd was lost (server-lost); ")

    async def test_one_that_speaks_something_else_is_told_apart(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept(greet=False)
            peer.send(b"SSH-2.0-OpenSSH_9.2p1\r\n")
            await peer.gone()

        async with playing(daemon, script):
            status, _, err = await finished(daemon.path, "list")
        assert (status, err.count("\n")) == (12, 1)
        assert "(protocol-error)" in err

    async def test_it_starts_without_what_it_does_not_need(self, daemon: ScriptedDaemon) -> None:
        heavy = ("asyncio", "ssl", "subprocess", "rich", "virtmux.client", "virtmux.journal")
        code = f"""if True:
            import sys
            from virtmux_cli.main import run
            run(["list"])
            print(sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)"""
        async with playing(daemon, lists_one):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, env=environment(daemon.path), stdout=DEVNULL, stderr=PIPE
            )
            _, err = await process.communicate()
        assert err.decode() == "[]\n"


class TestStatus:
    async def test_it_shows_the_daemon_and_its_hypervisors(self, daemon: ScriptedDaemon) -> None:
        async with playing(daemon, lists_one):
            status, out, err = await finished(daemon.path, "status")
        assert (status, err) == (0, "")
        lines = out.decode().splitlines()
        assert lines[:2] == ["daemon    scripted", f"socket    {daemon.path}"]
        assert lines[-1].startswith("qemu:///system  connected  ")

    async def test_it_prints_json_lines(self, daemon: ScriptedDaemon) -> None:
        async with playing(daemon, lists_one):
            status, out, _ = await finished(daemon.path, "status", "--json")
        assert (status, [json.loads(line)["type"] for line in out.splitlines()]) == (0, ["daemon", "hypervisor"])


def history_info(console: ConsoleId) -> HistoryInfo:
    return HistoryInfo(
        console=console,
        start=f"{'0' * 32}:0:1",
        end=f"{'0' * 32}:0:3",
        since=AT,
        until=AT,
        current=True,
        stored="disk",
        size=1,
    )


async def remembers(daemon: ScriptedDaemon) -> Peer:
    """Two consoles, each with a mark that is stored; the second console's is the older one."""
    peer = await daemon.accept()
    asked = await peer.expect(Histories)
    other = replace(CONSOLE, domain="db1", uuid="0" * 8)
    peer.say(*(History(asked.id, history_info(console)) for console in (CONSOLE, other)), Done(asked.id))
    for console, at in ((CONSOLE, "2026-01-31T12:00:09.000000Z"), (other, "2026-01-31T12:00:05.000000Z")):
        wanted = await peer.expect(Marks)
        assert (wanted.domain, wanted.device, wanted.since) == (console.uuid, console.device, SINCE)
        event = Event(event="attached", at=at, console=console, offset=0, mark=1)
        peer.say(Stored(wanted.id, "0" * 32, event), Done(wanted.id))
    return peer


async def remembers_and_ends(daemon: ScriptedDaemon) -> None:
    await (await remembers(daemon)).gone()


async def remembers_and_goes_on(daemon: ScriptedDaemon) -> None:
    peer = await remembers(daemon)
    asked = await peer.expect(Watch)
    peer.say(APPEARED, Done(asked.id))
    await peer.gone()


class TestStoredEvents:
    async def test_since_a_time_they_come_in_the_order_in_which_they_happened(self, daemon: ScriptedDaemon) -> None:
        async with playing(daemon, remembers_and_ends):
            status, out, err = await finished(daemon.path, "events", "--since", "2026-01-31 12:00", "--json")
        assert (status, err) == (0, "")
        assert [json.loads(line)["console"]["domain"] for line in out.splitlines()] == ["db1", "web1"]

    async def test_with_follow_it_goes_on_with_what_happens(self, daemon: ScriptedDaemon) -> None:
        async with (
            playing(daemon, remembers_and_goes_on),
            running(daemon.path, "events", "--since", "2026-01-31 12:00", "-f", "--json") as command,
        ):
            assert command.process.stdout is not None
            events = [json.loads(await command.process.stdout.readline())["event"] for _ in range(3)]
            assert events == ["attached", "attached", "appeared"]
            command.process.send_signal(signal.SIGINT)
            status, _, _ = await command.finish()
        assert status == 130

    async def test_where_nothing_is_stored_it_shows_nothing(self, daemon: ScriptedDaemon) -> None:
        async def has_nothing(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            asked = await peer.expect(Histories)
            peer.say(Refused(asked.id, reason(Cause.CONSOLE_MISSING)))
            await peer.gone()

        async with playing(daemon, has_nothing):
            assert await finished(daemon.path, "events", "--since", "today") == (0, b"", "")

    async def test_what_is_no_time_is_wrong_usage(self, daemon: ScriptedDaemon) -> None:
        status, out, err = await finished(daemon.path, "events", "--since", "soon")
        assert (status, out, err.count("\n")) == (2, b"", 1)
        assert "not a time: 'soon'" in err


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
            "virtmux: virtmuxd sent this client away (evicted)",
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

    @pytest.mark.parametrize("arguments", [["--help"], ["attach", "--help"], ["--version"]])
    async def test_so_does_the_help(self, tmp_path: Path, arguments: Sequence[str]) -> None:
        async with running(tmp_path / "s", *arguments, shell=">/dev/full") as command:
            assert await command.end() == (1, "virtmux: stdout: No space left on device\n")

    async def test_a_closed_stdout_is_none(self, daemon: ScriptedDaemon) -> None:
        async with playing(daemon, lists_one), running(daemon.path, "list", shell=">&-") as command:
            assert await command.end() == (0, "")


class TestErrors:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["list"],
            ["status"],
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
            (["attach", "web1", "--force"], "virtmux: no such option '--force': `virtmux console --force` takes"),
            (["attach", "--devname", "serial1", "web1"], "virtmux: no such option '--devname': a device is named"),
            (["attach", "web1", "--frce"], "virtmux: no such option"),
            (["attach", "-e", "^A", "web1"], "virtmux: no such option '-e': `--escape` says which key leaves"),
            (["list", "-H", "kvm1"], "virtmux: no such option '-H': it stands before the command, as in `virtmux -H"),
            (["completion"], "virtmux: missing argument 'bash|zsh|fish'. Choose from: bash, zsh, fish; see"),
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


async def test_without_a_command_the_help_is_shown_as_it_is(tmp_path: Path) -> None:
    status, out, err = await finished(tmp_path / "none.sock")
    assert (status, out) == (2, b"")
    assert err.startswith("Usage: virtmux [OPTIONS] COMMAND [ARGS]...\n\n  Watch and use")


@pytest.mark.parametrize("arguments", [["--help"], ["attach", "--help"], ["--version"]])
async def test_that_nobody_reads_the_help_is_no_failure(tmp_path: Path, arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        status, _, err = await finished(tmp_path / "none.sock", *arguments, stdout=writer)
    finally:
        os.close(writer)
    assert (status, err) == (0, "")
