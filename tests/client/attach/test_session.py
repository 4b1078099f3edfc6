"""`virtmux attach` with pipes for its streams, against a scripted daemon."""

import asyncio
import json
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import (
    AT,
    CONSOLE,
    HANDLE,
    HISTORY,
    Peer,
    ScriptedDaemon,
    place,
    playing,
    reason,
    waiting,
)
from virtmux.messages import Attach, Confirm, Gap, InputStatus, MarkMessage, Refused
from virtmux.reasons import Cause
from virtmux.records import Break, Ended
from virtmux.wire import Input, encode_output

DOWN = reason(Cause.GUEST_SHUTDOWN, will_retry=True)
DOWN_LINE = "virtmux: guest web1 shut down (guest-shutdown); leaving (--stay waits for its next start)\n"


@pytest.fixture
def daemon(tmp_path: Path) -> ScriptedDaemon:
    return ScriptedDaemon(tmp_path / "virtmux.sock")


async def attached(daemon: ScriptedDaemon) -> Peer:
    peer = await daemon.accept()
    peer.say(place((await peer.expect(Attach)).id))
    return peer


class TestTheEnd:
    async def test_output_then_the_reason_then_the_status(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            peer.output(b"bye\r\n", at=0)
            peer.ended(1, DOWN, at=5)
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "web1") as command:
            assert await command.finish() == (10, b"bye\r\n", DOWN_LINE)

    async def test_in_json_it_is_the_reason_itself(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            peer.ended(1, reason(Cause.STREAM_ENDED, will_retry=True), at=0)
            peer.attached(2, at=0)
            peer.ended(3, DOWN, at=0)
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "web1", "--json") as command:
            status, out, err = await command.finish()
        assert (status, out) == (10, b"")
        first, last = (json.loads(line) for line in err.splitlines())
        assert (first["cause"], first["retry"]["will_retry"]) == ("stream-ended", True)
        assert (last["cause"], last["console"]["uuid"], last["offset"]) == ("guest-shutdown", CONSOLE.uuid, 0)

    async def test_quiet_tells_only_why_it_failed(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            peer.ended(1, reason(Cause.STREAM_ENDED, will_retry=True), at=0)
            peer.attached(2, at=0)
            peer.ended(3, DOWN, at=0)
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "web1", "--quiet") as command:
            assert await command.finish() == (10, b"", DOWN_LINE)

    @pytest.mark.parametrize(
        ("why", "options", "status"),
        [
            (Cause.GUEST_NOT_RUNNING, [], 9),
            (Cause.CONSOLE_BUSY, ["--stay"], 8),
            (Cause.HYPERVISOR_DENIED, ["--wait"], 4),
        ],
    )
    async def test_what_cannot_be_opened_ends_it_at_once(
        self, daemon: ScriptedDaemon, why: Cause, options: list[str], status: int
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(waiting((await peer.expect(Attach)).id, reason(why)))
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", *options, "web1") as command:
            got, out, err = await command.finish()
        assert (got, out) == (status, b"")
        assert f"({why.value})" in err

    async def test_a_missing_console_is_refused(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            for domain, device in (("a:b:serial0", None), ("a:b", "serial0")):
                asked = await peer.expect(Attach)
                assert (asked.domain, asked.device) == (domain, device)
                peer.say(
                    Refused(
                        asked.id,
                        reason(Cause.CONSOLE_MISSING, text="no domain a:b; 'virtmux list' shows what there is"),
                    )
                )
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "a:b:serial0") as command:
            status, _, err = await command.finish()
        assert status == 3
        assert err == "virtmux: no domain a:b; 'virtmux list' shows what there is (console-missing)\n"

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    async def test_a_signal_ends_it_quietly(self, daemon: ScriptedDaemon, number: signal.Signals) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            peer.output(b"up", at=0)
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "web1") as command:
            assert await command.read(2) == b"up"
            command.process.send_signal(number)
            assert await command.end() == (128 + number, "")


class TestWaiting:
    async def test_wait_waits_for_the_guests_start(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING)))
            peer.attached(1, at=0)
            peer.output(b"boot", at=0)
            peer.ended(2, DOWN, at=4)
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "--wait", "web1") as command:
            status, out, err = await command.finish()
        assert (status, out) == (10, b"boot")
        assert err.splitlines()[0] == "virtmux: guest web1 is not running (guest-not-running); waiting to attach"

    async def test_a_wait_that_runs_out_is_status_7(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING)))
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "--wait=0.3s", "web1") as command:
            status, _, err = await command.finish()
        assert status == 7
        assert "was not attached within 0.3 s: guest web1 is not running" in err

    async def test_wait_asks_again_while_the_hypervisor_cannot_be_reached(self, daemon: ScriptedDaemon) -> None:
        away = reason(Cause.HYPERVISOR_LOST, text="no connection to qemu:///system")

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            for _ in range(2):
                peer.say(Refused((await peer.expect(Attach)).id, away))
            peer.say(place((await peer.expect(Attach)).id))
            peer.ended(1, DOWN, at=0)
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "--wait", "web1") as command:
            status, _, err = await command.finish()
        assert status == 10
        assert err == f"virtmux: {away.text} (hypervisor-lost); waiting to attach\n{DOWN_LINE}"

    async def test_that_too_can_run_out(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            while isinstance(asked := await peer.hear(), Attach):
                peer.say(Refused(asked.id, reason(Cause.HYPERVISOR_TIMEOUT)))

        async with playing(daemon, script), running(daemon.path, "attach", "--wait=0.3", "web1") as command:
            status, _, err = await command.finish()
        assert status == 7
        assert "was not attached within 0.3 s: the hypervisor of web1 does not answer" in err

    async def test_without_wait_it_leaves_with_that_reason(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(Refused((await peer.expect(Attach)).id, reason(Cause.HYPERVISOR_LOST)))
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "--stay", "web1") as command:
            status, _, err = await command.finish()
        assert status == 6
        assert "(hypervisor-lost)" in err

    async def test_stay_waits_for_the_next_start(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            peer.ended(1, DOWN, at=0)
            peer.mark(2, Break(AT, AT, AT), at=0)
            peer.attached(3, at=0)
            peer.output(b"again", at=0)
            peer.ended(4, reason(Cause.GUEST_UNDEFINED), at=5)
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "--stay", "web1") as command:
            status, out, err = await command.finish()
        assert (status, out) == (3, b"again")
        assert [line.split(": ", 1)[1].split(" (")[0] for line in err.splitlines()] == [
            "guest web1 shut down",
            "nobody held the console from 2025-03-01 12:00:00 to 2025-03-01 12:00:00; output may be missing here",
            "attached again",
            "guest web1 was undefined",
        ]

    async def test_a_restart_of_the_daemon_is_ridden_out_and_said_once(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            peer.output(b"abc", at=0)
            peer.goodbye(reason(Cause.SERVER_STOPPING))
            daemon.stop()
            async with daemon:
                peer = await daemon.accept()
                asked = await peer.expect(Attach)
                peer.say(place(asked.id, position=asked.position))
                peer.attached(1, at=3)
                peer.output(b"def", at=3)
                peer.ended(2, DOWN, at=6)
                await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "web1") as command:
            status, out, err = await command.finish()
        assert (status, out) == (10, b"abcdef")
        assert err.splitlines() == [
            "virtmux: virtmuxd is stopping (server-stopping); waiting to attach again",
            "virtmux: attached again",
            DOWN_LINE.rstrip(),
        ]

    async def test_once_leaves_with_the_daemon(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            (await attached(daemon)).close()

        async with playing(daemon, script), running(daemon.path, "attach", "--once", "web1") as command:
            status, _, err = await command.finish()
        assert status == 5
        assert "(server-lost)" in err


class TestInput:
    async def test_piped_input_waits_for_the_console_and_reaches_the_guest(self, daemon: ScriptedDaemon) -> None:
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

    async def test_after_its_end_silence_ends_it(self, daemon: ScriptedDaemon) -> None:
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
    async def test_without_a_pipe_it_works_as_well(self, daemon: ScriptedDaemon, tmp_path: Path, name: str) -> None:
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

    async def test_more_than_the_window_arrives_whole(self, daemon: ScriptedDaemon) -> None:
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

    async def test_what_did_not_arrive_is_said(self, daemon: ScriptedDaemon) -> None:
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
            assert await command.line() == (
                "virtmux: 4 of 5 bytes of input may not have arrived: guest web1 shut down\n"
            )
            said.set()
            assert await command.finish() == (10, b"", DOWN_LINE)

    async def test_input_that_waits_for_a_paused_guest_is_said_once_and_so_is_what_is_left(
        self, daemon: ScriptedDaemon
    ) -> None:
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

    async def test_in_json_both_are_objects(self, daemon: ScriptedDaemon) -> None:
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

    async def test_at_an_end_what_was_lost_is_said_before_it_leaves(self, daemon: ScriptedDaemon) -> None:
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

    async def test_the_escape_key_is_found_when_asked_for_behind_what_was_typed(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            assert (await peer.expect(Input)).data == b"last"
            peer.say(InputStatus(HANDLE, 1, accepted=4))
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "--escape", "^a", "web1") as command:
            command.type(b"last\x01more")
            assert await command.end() == (0, "virtmux: detached\n")

    async def test_read_only_sends_nothing(self, daemon: ScriptedDaemon) -> None:
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


class TestOutput:
    async def test_nobody_reading_ends_it_quietly(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            peer.output(b"up", at=0)
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "web1") as command:
            assert await command.read(2) == b"up"
            command.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
            assert await command.end() == (0, "")

    async def test_a_full_disk_is_an_error(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon)
            peer.output(b"up", at=0)
            await peer.gone()

        with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230
            async with playing(daemon, script), running(daemon.path, "attach", "web1", stdout=full) as command:
                status, _, err = await command.finish()
        assert status == 1
        assert err.startswith("virtmux: stdout: No space left on device;")

    async def test_a_slow_reader_gets_everything(self, daemon: ScriptedDaemon) -> None:
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

    async def test_what_is_missing_is_told(self, daemon: ScriptedDaemon) -> None:
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

    async def test_a_closed_stdout_ends_it_quietly_at_once(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            await (await daemon.accept()).gone()

        async with playing(daemon, script), running(daemon.path, "attach", "web1", shell=">&-") as command:
            assert await command.end() == (0, "")

    @pytest.mark.parametrize("stdin", ["<&-", "0>&-", "0>/dev/null", "0>file", "0>&1"])
    async def test_a_stdin_that_cannot_be_read_is_an_empty_one(
        self, daemon: ScriptedDaemon, tmp_path: Path, stdin: str
    ) -> None:
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


class TestWhatIsAskedFor:
    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ([b"\xff"], r"not UTF-8: '\udcff'"),
            (["web1", "--uri", b"\xff"], r"not UTF-8: '\udcff'"),
            (["x" * 1025], "a text of 1025 characters, and at most 1024 can be sent"),
            (["web1", "--from", "5:5"], "not a position: '5:5'"),
            (["web1", "--from", ""], "not a position: ''"),
            (["web1", "--from", "9" * 19], "not a number below 2^63: '9999"),
            (["web1", "--from", "0" * 20], "not a number below 2^63: '0000"),
            (["web1", "--from", b"\xff"], "not a position"),
        ],
    )
    async def test_what_cannot_be_is_wrong_usage(
        self, tmp_path: Path, arguments: Sequence[str | bytes], complaint: str
    ) -> None:
        async with running(tmp_path / "none", "attach", *arguments) as command:
            status, out, err = await command.finish()
        assert (status, out, err.count("\n")) == (2, b"", 1)
        assert complaint in err

    async def test_a_position_ahead_of_the_records_is_said_so(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            text = "the peer broke the protocol: it is ahead of the console's records, which end at 3"
            peer.say(Refused((await peer.expect(Attach)).id, reason(Cause.PROTOCOL_ERROR, text=text)))
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "attach", "--from", "9", "web1") as command:
            said = "virtmux: --from 9: it is ahead of the console's records, which end at 3\n"
            assert await command.finish() == (2, b"", said)
