"""The input of `virtmux attach` from a pipe, against a scripted daemon: that it arrives, or what is said of it."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import HANDLE, ScriptedDaemon, attached, place, playing, reason, waiting
from virtmux.messages import Attach, Confirm, InputStatus
from virtmux.reasons import Cause
from virtmux.wire import Input

DOWN = reason(Cause.GUEST_SHUTDOWN, will_retry=True)
DOWN_LINE = "virtmux: guest web1 shut down (guest-shutdown); leaving (--stay waits for its next start)\n"


async def test_piped_input_waits_for_the_console_and_reaches_the_guest(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING)))
        peer.attached(1, at=0, attachment=4)
        typed = await peer.expect(Input)
        assert (typed.attachment, typed.data) == (4, b"ls\n")
        peer.say(InputStatus(HANDLE, 4, accepted=3))
        peer.output(b"etc\n", at=0)
        peer.ended(2, DOWN, at=4)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "--wait", "web1") as command:
        command.type(b"ls\n")
        status, out, _ = await command.finish()
    assert (status, out) == (10, b"etc\n")


async def test_after_its_end_silence_ends_it(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        typed = await peer.expect(Input)
        peer.say(InputStatus(HANDLE, 1, accepted=len(typed.data)))
        peer.output(b"answer", at=0)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "--linger", "0.3", "web1") as command:
        command.type(b"ask")
        assert await command.finish() == (0, b"answer", "virtmux: detached\n")


@pytest.mark.parametrize("name", ["/dev/null", "file"])
async def test_without_a_pipe_it_works_as_well(daemon: ScriptedDaemon, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "file":
        path.write_bytes(b"typed")

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        if name == "file":
            assert await peer.expect_input(5) == b"typed"
            peer.say(InputStatus(HANDLE, 1, accepted=5))
        peer.output(b"up", at=0)
        peer.ended(1, DOWN, at=2)
        await peer.gone()

    with path.open("rb") as stdin:
        async with playing(daemon, script), running(daemon.path, "attach", "web1", stdin=stdin) as command:
            status, out, _ = await command.finish()
    assert (status, out) == (10, b"up")


async def test_more_than_the_window_arrives_whole(daemon: ScriptedDaemon) -> None:
    size = 300_000

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        taken = 0
        while taken < size:
            taken += len((await peer.expect(Input)).data)
            peer.say(InputStatus(HANDLE, 1, accepted=taken))
        peer.ended(1, DOWN, at=0)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1") as command:
        command.type(bytes(size))
        status, _, err = await command.finish()
    assert (status, err) == (10, DOWN_LINE)


async def test_what_did_not_arrive_is_said(daemon: ScriptedDaemon) -> None:
    said = asyncio.Event()

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await peer.expect(Input)
        peer.say(InputStatus(HANDLE, 1, accepted=1, rejected=4, cause=Cause.GUEST_SHUTDOWN))
        await said.wait()
        peer.ended(1, DOWN, at=0)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1") as command:
        command.type(b"typed")
        assert await command.line() == ("virtmux: 4 of 5 bytes of input may not have arrived: guest web1 shut down\n")
        said.set()
        assert await command.finish() == (10, b"", DOWN_LINE)


async def test_input_that_waits_for_a_paused_guest_is_said_once_and_so_is_what_is_left(daemon: ScriptedDaemon) -> None:
    said = asyncio.Event()

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        assert await peer.expect_input(20) == bytes(20)
        await peer.expect(Confirm)
        peer.say(InputStatus(HANDLE, 1, accepted=5, held=True))
        await said.wait()
        peer.say(InputStatus(HANDLE, 1, accepted=7, held=True))
        peer.output(b"up", at=0)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1") as command:
        command.type(bytes(20))
        assert await command.line() == (
            "virtmux: guest web1 takes no input now: 15 bytes of input wait, 5 were accepted\n"
        )
        said.set()
        assert await command.read(2) == b"up"
        command.process.send_signal(signal.SIGTERM)
        assert await command.end() == (143, "virtmux: 13 bytes of input may still be delivered\n")


async def test_in_json_both_are_objects(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await peer.expect_input(20)
        peer.say(InputStatus(HANDLE, 1, accepted=5, held=True))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "--json", "web1") as command:
        command.type(bytes(20))
        assert json.loads(await command.line()) == {"type": "input-held", "waiting": 15, "accepted": 5}
        command.process.send_signal(signal.SIGTERM)
        status, err = await command.end()
    assert (status, json.loads(err)) == (143, {"type": "input-left", "unsent": 0, "under_way": 15})


async def test_at_an_end_what_was_lost_is_said_before_it_leaves(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await peer.expect_input(5)
        peer.say(InputStatus(HANDLE, 1, accepted=1, unknown=4, cause=Cause.GUEST_SHUTDOWN))
        peer.ended(1, DOWN, at=0)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1") as command:
        command.type(b"typed")
        _, err = await command.end()
    assert err == f"virtmux: 4 of 5 bytes of input may not have arrived: guest web1 shut down\n{DOWN_LINE}"


async def test_the_escape_key_is_found_when_asked_for_behind_what_was_typed(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        assert (await peer.expect(Input)).data == b"last"
        peer.say(InputStatus(HANDLE, 1, accepted=4))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "--escape", "^a", "web1") as command:
        command.type(b"last\x01more")
        assert await command.end() == (0, "virtmux: detached\n")


async def test_read_only_sends_nothing(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        assert asked.read_only
        peer.say(place(asked.id, read_only=True))
        peer.output(b"up", at=0)
        await peer.gone()

    async with (
        playing(daemon, script),
        running(daemon.path, "attach", "--read-only", "--linger=0.2", "web1") as command,
    ):
        command.type(b"typed")
        assert await command.finish() == (0, b"up", "virtmux: detached\n")
