"""Daemons of other hosts: through an `ssh` of the tests' own and the real `virtmux dial-stdio`."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import CONSOLE, Peer, ScriptedDaemon, console_info, place, playing, reason
from tests.harness.scripted_ssh import ScriptedSsh
from virtmux.messages import Attach, ClientHello, Console, Done, Event, Histories, ListConsoles, Refused, Watch, encode
from virtmux.reasons import Cause

NOWHERE = Path("/nowhere")


@pytest.fixture
def alpha(tmp_path: Path) -> ScriptedDaemon:
    return ScriptedDaemon(tmp_path / "alpha.sock")


@pytest.fixture
def beta(tmp_path: Path) -> ScriptedDaemon:
    return ScriptedDaemon(tmp_path / "beta.sock")


@pytest.fixture
def ssh(tmp_path: Path, alpha: ScriptedDaemon, beta: ScriptedDaemon) -> ScriptedSsh:
    return ScriptedSsh(tmp_path / "ssh", {"alpha": alpha.path, "beta": beta.path, "off": tmp_path / "off.sock"})


def children(pid: int) -> list[Path]:
    """A process's children, as /proc shows them."""
    return [Path("/proc", child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def finished(ssh: ScriptedSsh, *arguments: str) -> tuple[int, bytes, str]:
    async with running(NOWHERE, *arguments, variables=ssh.variables) as command:
        return await command.finish()


async def lists_one(daemon: ScriptedDaemon) -> None:
    peer = await daemon.accept()
    asked = await peer.expect(ListConsoles)
    peer.say(Console(asked.id, console_info()), Done(asked.id))
    await peer.gone()


async def watched(daemon: ScriptedDaemon) -> Peer:
    peer = await daemon.accept()
    asked = await peer.expect(Watch)
    peer.say(Event(event="appeared", at="2025-03-01T12:00:00.000000Z", console=CONSOLE, offset=0), Done(asked.id))
    return peer


async def test_the_list_of_another_host_comes_over_ssh(alpha: ScriptedDaemon, ssh: ScriptedSsh) -> None:
    async with playing(alpha, lists_one):
        status, out, err = await finished(ssh, "-H", "alpha", "list")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.decode().splitlines()] == ["CONSOLE", "web1:serial0"]
    assert ssh.calls == ["-T -o ForwardX11=no -o ClearAllForwardings=yes -- alpha virtmux dial-stdio"]


async def test_a_socket_is_the_other_hosts(tmp_path: Path, alpha: ScriptedDaemon, ssh: ScriptedSsh) -> None:
    async with playing(alpha, lists_one):
        status, _, _ = await finished(ssh, "-H", "off", "--socket", str(alpha.path), "list")
    assert status == 0
    assert ssh.calls[0].endswith(f"-- off virtmux --socket {alpha.path} dial-stdio")


async def test_several_hosts_are_one_table(alpha: ScriptedDaemon, beta: ScriptedDaemon, ssh: ScriptedSsh) -> None:
    async with playing(alpha, lists_one), playing(beta, lists_one):
        status, out, err = await finished(ssh, "-H", "alpha", "-H", "beta", "list")
    assert (status, err) == (0, "")
    rows = [line.split()[:2] for line in out.decode().splitlines()]
    assert rows == [["HOST", "CONSOLE"], ["alpha", "web1:serial0"], ["beta", "web1:serial0"]]


async def test_a_host_that_fails_does_not_hide_the_others(alpha: ScriptedDaemon, ssh: ScriptedSsh) -> None:
    async with playing(alpha, lists_one):
        status, out, err = await finished(ssh, "-H", "unknown", "-H", "alpha", "list", "--json")
    assert status == 5
    assert err.count("\n") == 1
    assert [json.loads(line)["host"] for line in out.splitlines()] == ["alpha"]


COMPLAINTS = {
    "unknown": (
        "virtmux: no connection to unknown: ssh: Could not resolve hostname unknown: Name or service not known; "
        "try `ssh unknown` (server-lost)"
    ),
    "denied": (
        "virtmux: no connection to denied: tester@denied: Permission denied (publickey,password).; "
        "try `ssh denied` (access-denied)"
    ),
    "bare": "virtmux: no virtmux at bare: sh: 1: virtmux: not found; install it there, where ssh finds it",
    "old": "virtmux: old: no such command 'dial-stdio'; see `virtmux --help` (server-lost)",
    "off": "virtmux: off: no virtmuxd answers: {off}: No such file or directory (server-lost); ",
}


@pytest.mark.parametrize("host", COMPLAINTS)
@pytest.mark.parametrize("command", ["list", "attach web1", "log web1", "events"])
async def test_what_fails_is_one_line_that_names_the_host(
    tmp_path: Path, ssh: ScriptedSsh, command: str, host: str
) -> None:
    status, out, err = await finished(ssh, "-H", host, *command.split())
    assert (status, out, err.count("\n")) == (4 if host == "denied" else 5, b"", 1)
    assert err.startswith(COMPLAINTS[host].format(off=tmp_path / "off.sock"))


async def test_each_host_that_fails_is_said_and_the_status_is_the_first_ones(ssh: ScriptedSsh) -> None:
    status, out, err = await finished(ssh, "-H", "denied", "-H", "unknown", "list")
    assert (status, out) == (4, b"")
    assert err.splitlines() == [COMPLAINTS["denied"], COMPLAINTS["unknown"]]


@pytest.mark.parametrize("command", ["list", "attach web1"])
async def test_a_shell_that_prints_at_its_start_is_named_as_what_is_wrong(ssh: ScriptedSsh, command: str) -> None:
    ssh.variables["VIRTMUX_SSH"] = "sh -c 'echo Welcome to alpha'"
    status, out, err = await finished(ssh, "-H", "alpha", *command.split())
    assert (status, out) == (5, b"")
    assert err == (
        "virtmux: what comes from alpha is not from virtmux; `ssh alpha true` must print nothing: "
        "see what the shell there reads at its start (server-lost)\n"
    )


async def test_without_ssh_it_says_so(ssh: ScriptedSsh) -> None:
    for program, why in (("/no/ssh", "No such file or directory"), ("'", "VIRTMUX_SSH: No closing quotation")):
        ssh.variables["VIRTMUX_SSH"] = program
        assert await finished(ssh, "-H", "alpha", "list") == (
            5,
            b"",
            f"virtmux: ssh cannot be run: alpha: {why} (server-lost)\n",
        )


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "", "two words", "a\x1b"])
async def test_what_is_no_host_is_wrong_usage(ssh: ScriptedSsh, host: str) -> None:
    status, out, err = await finished(ssh, f"--host={host}", "list")
    assert (status, out, err.count("\n")) == (2, b"", 1)
    assert "not a host" in err


async def test_what_is_for_one_host_takes_one(ssh: ScriptedSsh) -> None:
    status, _, err = await finished(ssh, "-H", "alpha", "-H", "beta", "attach", "web1")
    assert status == 2
    assert err.startswith("virtmux: --host is given 2 times, and `attach` is for one host; see")


async def test_a_connection_that_breaks_off_is_made_again_where_it_was(alpha: ScriptedDaemon, ssh: ScriptedSsh) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        peer.say(place(asked.id))
        peer.output(b"before, ", at=0)
        await peer.expect_input(1)
        peer.close()
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        assert asked.position is not None
        assert asked.position.split(":")[1] == "8"
        peer.say(place(asked.id, position=asked.position))
        peer.output(b"after", at=8)
        await peer.gone()

    async with (
        playing(alpha, script),
        running(NOWHERE, "-H", "alpha", "attach", "web1", variables=ssh.variables) as command,
    ):
        assert await command.read(8) == b"before, "
        command.type(b"x")
        assert await command.read(5) == b"after"
        command.process.terminate()
        assert (await command.finish())[0] == 143
    assert len(ssh.calls) == 2
    assert "-o BatchMode=yes" in ssh.calls[1]


async def test_the_last_word_of_a_daemon_arrives(alpha: ScriptedDaemon, ssh: ScriptedSsh) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        await peer.expect(Watch)
        peer.goodbye(reason(Cause.EVICTED))

    async with playing(alpha, script):
        status, out, err = await finished(ssh, "-H", "alpha", "events")
    assert (status, out, err) == (12, b"", "virtmux: alpha: virtmuxd sent this client away (evicted)\n")


async def test_events_of_several_hosts_say_where(alpha: ScriptedDaemon, beta: ScriptedDaemon, ssh: ScriptedSsh) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await watched(daemon)).gone()

    arguments = ("-H", "alpha", "-H", "beta", "events", "--json")
    async with (
        playing(alpha, script),
        playing(beta, script),
        running(NOWHERE, *arguments, variables=ssh.variables) as command,
    ):
        assert command.process.stdout is not None
        told = [json.loads(await command.process.stdout.readline())["host"] for _ in range(2)]
        assert sorted(told) == ["alpha", "beta"]
        command.process.send_signal(signal.SIGINT)
        assert await command.finish() == (130, b"", "")


async def test_what_happened_at_several_hosts_is_told_in_its_order_and_one_that_fails_is_said(
    alpha: ScriptedDaemon, beta: ScriptedDaemon, ssh: ScriptedSsh
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Histories)
        peer.say(Refused(asked.id, reason(Cause.CONSOLE_MISSING)))
        await peer.gone()

    async with playing(alpha, script), playing(beta, script):
        status, out, err = await finished(ssh, "-H", "alpha", "-H", "off", "-H", "beta", "events", "--since", "today")
    assert (status, out, err.count("\n")) == (5, b"", 1)


async def test_half_a_close_passes_through_dial_stdio_and_what_is_said_after_it_comes_back(
    alpha: ScriptedDaemon,
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept(greet=False)
        await peer.gone()
        peer.send(b"the last words")
        peer.close()

    async with playing(alpha, script), running(alpha.path, "dial-stdio") as command:
        command.type(encode(ClientHello()))
        assert await command.finish() == (0, b"the last words", "")


async def test_a_daemon_that_says_nothing_is_given_up_at_its_own_host(alpha: ScriptedDaemon, ssh: ScriptedSsh) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await daemon.accept(greet=False)).gone()

    ssh.impatient()
    async with playing(alpha, script):
        status, out, err = await finished(ssh, "-H", "alpha", "list")
    assert (status, out, err.count("\n")) == (5, b"", 1)
    assert f"{alpha.path}: no greeting within 0.1 s" in err


async def test_dial_stdio_passes_more_than_it_holds_both_ways(alpha: ScriptedDaemon) -> None:
    """Neither side reads while the other one writes: nothing is lost, and no more is held than pipes and sockets do."""
    output = os.urandom(8 << 20)

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept(greet=False)
        await peer.pour(output)
        peer.close()

    async with playing(alpha, script), running(alpha.path, "dial-stdio") as command:
        command.type(encode(ClientHello()))
        assert await command.read(len(output)) == output
        assert await command.finish() == (0, b"", "")


async def test_nothing_of_ssh_is_left_when_the_command_is_ended(alpha: ScriptedDaemon, ssh: ScriptedSsh) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await watched(daemon)
        await peer.gone()

    for number, ends in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        async with (
            playing(alpha, script),
            running(NOWHERE, "-H", "alpha", "events", variables=ssh.variables) as command,
        ):
            assert command.process.stdout is not None
            await command.process.stdout.readline()
            (child,) = children(command.process.pid)
            command.process.send_signal(number)
            assert (await command.finish())[0] == ends
            assert not child.exists()
