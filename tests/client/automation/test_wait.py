"""`virtmux wait` against a scripted daemon."""

import json

import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import AT, HISTORY, Peer, ScriptedDaemon, place, playing, reason, waiting
from virtmux.messages import Attach, Refused
from virtmux.reasons import Cause
from virtmux.records import Break

DOWN = reason(Cause.GUEST_SHUTDOWN, will_retry=True)
OFF = reason(Cause.GUEST_NOT_RUNNING, will_retry=True)


async def attached(daemon: ScriptedDaemon) -> Peer:
    peer = await daemon.accept()
    asked = await peer.expect(Attach)
    assert asked.hold
    peer.say(place(asked.id))
    return peer


async def test_attached_holds_for_one_that_is(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await attached(daemon)).gone()

    async with playing(daemon, script), running(daemon.path, "wait", "web1", "attached") as command:
        assert await command.finish() == (0, f"{HISTORY}:0:1\n".encode(), "")


async def test_attached_waits_for_the_hypervisor_and_the_guests_start(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(Refused((await peer.expect(Attach)).id, reason(Cause.HYPERVISOR_LOST)))
        await peer.gone()
        peer = await daemon.accept()
        peer.say(waiting((await peer.expect(Attach)).id, OFF))
        peer.mark(1, Break(AT, AT, AT), at=0)
        peer.attached(2, at=0)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "wait", "web1", "attached", "--json") as command:
        status, out, err = await command.finish()
    assert status == 0
    told = json.loads(out)
    assert (told["type"], told["position"]) == ("attached", f"{HISTORY}:0:3")
    assert [json.loads(line)["cause"] for line in err.splitlines()] == ["hypervisor-lost", "guest-not-running"]


async def test_attached_gives_up_at_what_does_not_pass(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.CONSOLE_NOT_PTY)))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "wait", "web1", "attached") as command:
        status, out, err = await command.finish()
    assert (status, out) == (3, b"")
    assert "(console-not-pty)" in err


async def test_a_timeout_is_status_7_and_tells_why_it_is_not(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(waiting((await peer.expect(Attach)).id, OFF))
        await peer.gone()

    async with (
        playing(daemon, script),
        running(daemon.path, "wait", "web1", "attached", "--timeout", "2") as command,
    ):
        status, out, err = await command.finish()
    assert (status, out) == (7, b"")
    assert err.splitlines() == [
        "virtmux: guest web1 is not running (guest-not-running); waiting to attach",
        "virtmux: web1 was not attached within 2 s: guest web1 is not running",
    ]


async def test_ended_rides_out_what_passes_and_prints_the_reason(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.ended(1, reason(Cause.CONSOLE_TAKEN_OVER, will_retry=True), at=0)
        peer.attached(2, at=0)
        peer.ended(3, DOWN, at=0)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "wait", "web1", "ended") as command:
        assert await command.finish() == (0, b"guest web1 shut down (guest-shutdown)\n", "")


async def test_ended_holds_for_a_guest_that_is_off(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(waiting((await peer.expect(Attach)).id, OFF))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "wait", "web1", "ended", "--json") as command:
        status, out, err = await command.finish()
    assert (status, err, json.loads(out)["cause"]) == (0, "", "guest-not-running")


async def test_ended_in_time_or_status_7(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await attached(daemon)).gone()

    async with playing(daemon, script), running(daemon.path, "wait", "web1", "ended", "--timeout", "0.3") as command:
        assert await command.finish() == (7, b"", "virtmux: the console did not end within 0.3 s\n")


@pytest.mark.parametrize("until", ["attached", "ended"])
async def test_a_console_that_there_is_not_is_status_3(daemon: ScriptedDaemon, until: str) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(Refused((await peer.expect(Attach)).id, reason(Cause.CONSOLE_MISSING)))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "wait", "web1", until) as command:
        status, out, err = await command.finish()
    assert (status, out, len(err.splitlines())) == (3, b"", 1)
