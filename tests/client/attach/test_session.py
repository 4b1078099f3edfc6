"""`virtmux attach` with pipes for its streams, against a scripted daemon: when it leaves, and what it rides out."""

import json
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import AT, CONSOLE, ScriptedDaemon, attached, place, playing, reason, waiting
from virtmux.messages import Attach, Refused
from virtmux.reasons import Cause
from virtmux.records import Break

DOWN = reason(Cause.GUEST_SHUTDOWN, will_retry=True)
DOWN_LINE = "virtmux: guest web1 shut down (guest-shutdown); leaving (--stay waits for its next start)\n"


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
            with suppress(BrokenPipeError):  # it leaves when its time is over, also before the answer
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
