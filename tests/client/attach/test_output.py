"""The output of `virtmux attach` to a pipe, against a scripted daemon, and its streams where they are none."""

from pathlib import Path

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import AT, HANDLE, HISTORY, ScriptedDaemon, attached, place, playing, reason
from virtmux.messages import Attach, Gap, MarkMessage
from virtmux.reasons import Cause
from virtmux.records import Ended
from virtmux.wire import encode_output

DOWN = reason(Cause.GUEST_SHUTDOWN, will_retry=True)
DOWN_LINE = "virtmux: guest web1 shut down (guest-shutdown); leaving (--stay waits for its next start)\n"


async def test_nobody_reading_ends_it_quietly(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.output(b"up", at=0)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1") as command:
        assert await command.read(2) == b"up"
        command.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        assert await command.end() == (0, "")


async def test_a_full_disk_is_an_error(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.output(b"up", at=0)
        await peer.gone()

    with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230
        async with playing(daemon, script), running(daemon.path, "attach", "web1", stdout=full) as command:
            status, _, err = await command.finish()
    assert status == 1
    assert err.startswith("virtmux: stdout: No space left on device;")


async def test_a_slow_reader_gets_everything(daemon: ScriptedDaemon) -> None:
    pieces = 40

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        for index in range(pieces):
            await peer.pour(encode_output(HANDLE, index * 65536, bytes([index]) * 65536))
        await peer.pour(MarkMessage(HANDLE, pieces * 65536, 1, Ended(AT, 1, DOWN)))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1") as command:
        for index in range(pieces):
            assert await command.read(65536) == bytes([index]) * 65536
        assert await command.finish() == (10, b"", DOWN_LINE)


async def test_what_is_missing_is_told(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        assert asked.position == "3"
        peer.say(place(asked.id, position=f"{HISTORY}:3:1", end=f"{HISTORY}:10:1"))
        peer.say(Gap(HANDLE, 3, 1, 8, 1))
        peer.output(b"ab", at=8)
        peer.ended(1, DOWN, at=10)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "--from", "3", "web1") as command:
        status, out, err = await command.finish()
    assert (status, out) == (10, b"ab")
    assert err.splitlines()[0] == "virtmux: 5 bytes of output are missing here (3 to 8)"


async def test_a_closed_stdout_ends_it_quietly_at_once(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await daemon.accept()).gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1", shell=">&-") as command:
        assert await command.end() == (0, "")


@pytest.mark.parametrize("stdin", ["<&-", "0>&-", "0>/dev/null", "0>file", "0>&1"])
async def test_a_stdin_that_cannot_be_read_is_an_empty_one(daemon: ScriptedDaemon, tmp_path: Path, stdin: str) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.output(b"up", at=0)
        await peer.gone()

    async with (
        playing(daemon, script),
        running(daemon.path, "attach", "--linger=0.2", "web1", shell=stdin, cwd=tmp_path) as command,
    ):
        assert await command.read(2) == b"up"
        assert await command.end() == (0, "virtmux: detached\n")
