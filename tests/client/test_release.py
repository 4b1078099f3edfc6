"""`virtmux release` and `reclaim`, as processes, against a scripted daemon."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import Peer, ScriptedDaemon, playing, reason
from virtmux.messages import Done, Reclaim, Refused, Release
from virtmux.reasons import Cause


async def lets_go(daemon: ScriptedDaemon) -> Peer:
    peer = await daemon.accept()
    asked = await peer.expect(Release)
    assert (asked.domain, asked.while_connected) == ("web1", True)
    peer.say(Done(asked.id))
    return peer


async def takes_back(daemon: ScriptedDaemon) -> None:
    peer = await lets_go(daemon)
    assert (await peer.expect(Reclaim)).while_connected
    await peer.gone()


@pytest.mark.parametrize(
    ("options", "seconds"), [([], None), (["--for", "90"], 90), (["--for=1h30m"], 5400), (["--for", "forever"], None)]
)
async def test_it_lasts_for_a_time_or_until_it_is_reclaimed(
    daemon: ScriptedDaemon, options: Sequence[str], seconds: float | None
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Release)
        assert asked == Release(asked.id, "web1", None, "qemu:///system", seconds)
        peer.say(Done(asked.id))
        await peer.gone()

    async with (
        playing(daemon, script),
        running(daemon.path, "release", "web1", "--uri", "qemu:///system", *options) as command,
    ):
        assert await command.finish() == (0, b"", "")


@pytest.mark.parametrize(("name", "kind"), [("release", Release), ("reclaim", Reclaim)])
async def test_a_console_is_named_as_for_attach(
    daemon: ScriptedDaemon, name: str, kind: type[Release | Reclaim]
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(kind)
        assert (asked.domain, asked.device) == ("web1:serial1", None)
        peer.say(Refused(asked.id, reason(Cause.CONSOLE_MISSING)))
        asked = await peer.expect(kind)
        assert (asked.domain, asked.device, asked.while_connected) == ("web1", "serial1", False)
        peer.say(Done(asked.id))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, name, "web1:serial1") as command:
        assert await command.finish() == (0, b"", "")


@pytest.mark.parametrize(("name", "kind"), [("release", Release), ("reclaim", Reclaim)])
async def test_what_is_refused_is_one_line_and_its_status(
    daemon: ScriptedDaemon, name: str, kind: type[Release | Reclaim]
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(Refused((await peer.expect(kind)).id, reason(Cause.ACCESS_DENIED)))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, name, "web1") as command:
        status, out, err = await command.finish()
    assert (status, out, err.count("\n")) == (4, b"", 1)
    assert "(access-denied)" in err


def executable(path: Path) -> str:
    """A file that may be run, and cannot."""
    path.write_bytes(b"\x7fELF")
    path.chmod(0o755)
    return str(path)


class TestACommand:
    async def test_it_has_the_streams_and_gives_the_status(self, daemon: ScriptedDaemon) -> None:
        run = ("sh", "-c", "cat; echo said >&2; exit 7")
        async with playing(daemon, takes_back), running(daemon.path, "release", "web1", "--", *run) as command:
            command.type(b"typed")
            assert await command.finish() == (7, b"typed", "said\n")

    async def test_it_begins_once_the_console_is_let_go(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await daemon.accept()
            peer.say(Refused((await peer.expect(Release)).id, reason(Cause.HYPERVISOR_TIMEOUT)))
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "release", "web1", "--", "echo", "run") as command:
            status, out, err = await command.finish()
        assert (status, out) == (6, b"")
        assert "(hypervisor-timeout)" in err

    @pytest.mark.parametrize(
        ("name", "status", "why"), [("no-such-command", 127, "command not found"), ("broken", 126, "Exec format error")]
    )
    async def test_what_cannot_be_run_is_said_as_by_a_shell(
        self, daemon: ScriptedDaemon, tmp_path: Path, name: str, status: int, why: str
    ) -> None:
        run = executable(tmp_path / name) if status == 126 else name
        async with contextlib.AsyncExitStack() as stack:
            if status == 126:
                await stack.enter_async_context(playing(daemon, takes_back))
            command = await stack.enter_async_context(running(daemon.path, "release", "web1", "--", run))
            assert await command.finish() == (status, b"", f"virtmux: {run}: {why}\n")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
    async def test_a_key_that_interrupts_is_the_commands_alone(
        self, daemon: ScriptedDaemon, number: signal.Signals
    ) -> None:
        # One process that nothing can hit before it waits: a shell's child dies where it is hit as it is forked.
        waits = (
            f"import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [{number}]); print('up', flush=True); "
            f"signal.sigwait([{number}]); print('caught'); raise SystemExit(3)"
        )
        run = (sys.executable, "-c", waits)
        async with playing(daemon, takes_back), running(daemon.path, "release", "web1", "--", *run) as command:
            assert await command.read(3) == b"up\n"
            # As a terminal does it: to all processes of the group.
            os.killpg(command.process.pid, number)
            assert await command.finish() == (3, b"caught\n", "")

    async def test_another_signal_is_passed_on(self, daemon: ScriptedDaemon) -> None:
        run = ("sh", "-c", "echo up; exec sleep 60")
        async with playing(daemon, takes_back), running(daemon.path, "release", "web1", "--", *run) as command:
            assert await command.read(3) == b"up\n"
            command.process.send_signal(signal.SIGTERM)
            assert await command.finish() == (128 + signal.SIGTERM, b"", "")

    async def test_a_restart_of_the_daemon_does_not_end_it(self, daemon: ScriptedDaemon) -> None:
        again = asyncio.Event()

        async def script(daemon: ScriptedDaemon) -> None:
            (await lets_go(daemon)).goodbye(reason(Cause.SERVER_STOPPING))
            peer = await lets_go(daemon)
            again.set()
            await peer.gone()

        async with playing(daemon, script), running(daemon.path, "release", "web1", "--", "cat") as command:
            await again.wait()
            command.type(b"typed")
            assert await command.finish() == (0, b"typed", "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["web1", "virsh"], "a command to be run stands behind `--`"),
        (["web1", "db1", "--", "virsh"], "a command to be run stands behind `--`"),
        (["web1", "--"], "there is no command behind `--`"),
        (["web1", "--for", "5m", "--", "virsh"], "--for and a command exclude each other"),
        (["web1", "--for", "0"], "more than 0 and at most"),
        (["web1", "--for", "99999999999"], "more than 0 and at most"),
        (["web1", "--for", "soon"], "not a duration: 'soon'"),
        ([], "missing argument"),
    ],
)
async def test_wrong_usage_is_one_line(tmp_path: Path, arguments: Sequence[str], complaint: str) -> None:
    async with running(tmp_path / "none", "release", *arguments) as command:
        status, out, err = await command.finish()
    assert (status, out, err.count("\n")) == (2, b"", 1)
    assert complaint in err
