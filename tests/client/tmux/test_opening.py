"""`virtmux tmux` where there is nothing to be opened: one line each, and no session. The rest is tested with guests."""

from pathlib import Path

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import ScriptedDaemon, console_info, playing
from tests.harness.tmux import Tmux
from virtmux.messages import Console, Done, ListConsoles


async def refused(socket: Path, *arguments: str) -> tuple[int, str]:
    """The exit status, and the one line."""
    async with running(socket, "tmux", *arguments) as command:
        status, out, err = await command.finish()
    assert (out, err.count("\n")) == (b"", 1)
    return status, err


def fake_tmux(directory: Path, version: str) -> None:
    """A tmux that has a version, and does nothing."""
    program = directory / "tmux"
    program.write_text(f"#!/bin/sh\necho tmux {version}\n")
    program.chmod(0o755)


async def test_without_tmux_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    status, line = await refused(tmp_path / "none", "--no-attach")
    assert status == 1
    assert "`apt install tmux`" in line


async def test_a_tmux_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tmux(tmp_path, "3.1c")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    status, line = await refused(tmp_path / "none", "--no-attach")
    assert status == 1
    assert "tmux 3.1 is too old, 3.2a or newer is needed" in line


async def test_without_a_terminal_it_says_what_to_do(tmp_path: Path) -> None:
    status, line = await refused(tmp_path / "none")
    assert status == 2
    assert "use --no-attach" in line


@pytest.mark.parametrize("name", ["a.b", "a:b", "#(touch ran)"])
async def test_a_session_that_tmux_would_call_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    status, line = await refused(tmp_path / "none", "--no-attach", "--session", name)
    assert status == 2
    assert "not a session's name" in line


async def test_without_a_daemon_no_session_is_made(tmux: Tmux) -> None:
    status, line = await refused(tmux.directory / "none", "--no-attach")
    assert status == 5
    assert "no virtmuxd answers" in line
    assert tmux.sessions() == []


async def test_where_no_console_matches_no_session_is_made(tmux: Tmux) -> None:
    daemon = ScriptedDaemon(tmux.directory / "virtmux.sock")

    async def lists_one(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(ListConsoles)
        peer.say(Console(asked.id, console_info()), Done(asked.id))
        await peer.gone()

    async with playing(daemon, lists_one):
        status, line = await refused(daemon.path, "--no-attach", "db*", "web1:serial1\x1b")
    assert status == 3
    assert "no console matches" in line
    assert "\x1b" not in line
    assert tmux.sessions() == []


async def test_the_follower_is_not_for_typing(tmp_path: Path) -> None:
    async with running(tmp_path / "none", "tmux-follow") as command:
        status, _, err = await command.finish()
    assert (status, err.count("\n")) == (2, 1)


async def test_the_follower_is_not_in_the_list_of_commands(tmp_path: Path) -> None:
    async with running(tmp_path / "none", "--help") as command:
        status, out, _ = await command.finish()
    assert status == 0
    assert b"  tmux " in out
    assert b"tmux-follow" not in out
