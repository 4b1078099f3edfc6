"""`virtmux send` against a scripted daemon."""

import json
from pathlib import Path

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import (
    HANDLE,
    HISTORY,
    Peer,
    ScriptedDaemon,
    place,
    playing,
    reason,
    waiting,
)
from virtmux.messages import Attach, InputStatus
from virtmux.reasons import Cause
from virtmux.wire import Input
from virtmux_cli.automation.parts import Piece
from virtmux_cli.automation.sending import chunks


async def attached(daemon: ScriptedDaemon, offset: int = 0) -> Peer:
    peer = await daemon.accept()
    peer.say(place((await peer.expect(Attach)).id, position=f"{HISTORY}:{offset}:1"))
    return peer


async def test_it_waits_until_the_input_is_accepted_and_tells_the_position_before_it(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon, offset=5)
        peer.output(b"more", at=5)
        assert await peer.expect_input(12) == b"\x1bOQuname -r\r"
        peer.say(InputStatus(HANDLE, 1, accepted=12))
        await peer.gone()

    arguments = ("send", "web1", "--key", "f2", "uname", "--line", "--json", "--", "-r")
    async with playing(daemon, script), running(daemon.path, *arguments) as command:
        status, out, err = await command.finish()
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert (told["type"], told["position"], told["size"]) == ("sent", f"{HISTORY}:5:1", 12)
    assert told["console"]["domain"] == "web1"


async def test_stdin_is_sent_as_it_is(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        assert await peer.expect_input(4) == b"a\n\xff\x00"
        peer.say(InputStatus(HANDLE, 1, accepted=4))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "send", "web1", "-") as command:
        command.type(b"a\n\xff\x00")
        assert await command.finish() == (0, b"", "")


async def test_with_a_delay_each_character_waits_for_the_one_before(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        accepted = 0
        for each in ("ü".encode(), b"x", b"\x1b[A"):
            assert (await peer.expect(Input)).data == each
            accepted += len(each)
            peer.say(InputStatus(HANDLE, 1, accepted=accepted))
        await peer.gone()

    arguments = ("send", "web1", "üx", "--key", "up", "--delay", "0.01")
    async with playing(daemon, script), running(daemon.path, *arguments) as command:
        assert await command.finish() == (0, b"", "")


async def test_a_guest_that_takes_no_input_is_said_and_a_timeout_tells_how_much_it_took(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await peer.expect_input(4)
        peer.say(InputStatus(HANDLE, 1, accepted=1, held=True))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "send", "web1", "abcd", "--timeout", "2") as command:
        status, out, err = await command.finish()
    assert (status, out) == (7, b"")
    assert err.splitlines() == [
        "virtmux: guest web1 takes no input now: 3 bytes of input wait, 1 were accepted",
        "virtmux: 3 bytes of input may still be delivered",
        "virtmux: of 4 bytes of input 1 were accepted within 2 s",
    ]


async def test_a_console_that_is_not_attached_takes_nothing_and_says_why(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING)))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "send", "web1", "x") as command:
        assert await command.finish() == (9, b"", "virtmux: guest web1 is not running (guest-not-running)\n")


async def test_what_did_not_arrive_is_counted(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await peer.expect_input(6)
        peer.say(InputStatus(HANDLE, 1, accepted=1, unknown=2, rejected=3, cause=Cause.GUEST_DESTROYED))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "send", "web1", "abcdef") as command:
        status, out, err = await command.finish()
    assert (status, out) == (10, b"")
    assert err.splitlines() == [
        "virtmux: guest web1 was destroyed (guest-destroyed)",
        "virtmux: of the input 1 bytes were accepted, 2 may have arrived, 3 did not arrive",
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["web1"], "there is nothing to send"),
        (["web1", "--key", "hyper"], "has no key 'hyper'"),
        (["web1", "--file", "/nonexistent"], "/nonexistent: No such file or directory"),
    ],
)
async def test_what_cannot_be_sent_is_a_usage_error(tmp_path: Path, arguments: list[str], text: str) -> None:
    async with running(tmp_path / "none", "send", *arguments) as command:
        status, out, err = await command.finish()
    assert (status, out, len(err.splitlines())) == (2, b"", 1)
    assert text in err


def test_a_chunk_is_so_many_characters_and_cuts_none() -> None:
    pieces = [Piece("aüb\udcff".encode(errors="surrogateescape")), Piece(b"\x1b[A", key=True), Piece(b"cd")]
    assert list(chunks(pieces, 1)) == [b"a", "ü".encode(), b"b", b"\xff", b"\x1b[A", b"c", b"d"]
    assert list(chunks(pieces, 3)) == ["aüb".encode(), b"\xff", b"\x1b[A", b"cd"]
