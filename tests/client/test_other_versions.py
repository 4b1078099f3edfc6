"""A daemon that is newer than the command, or older: what one of them does not know does no harm."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import AT, CONSOLE, HANDLE, HISTORY, Peer, ScriptedDaemon, console_info, playing
from tests.harness.scripted_daemon import hypervisor_info as hypervisor
from virtmux.messages import Attach, ListConsoles, Watch
from virtmux.wire import encode_message

FUTURE = {"from_the_future": {"with": ["anything"]}}


def say(peer: Peer, kind: str, **fields: Any) -> None:
    """Send a message with a field more than there is in this version, and in what it holds as well."""
    peer.send(encode_message(json.dumps({"type": kind, **fields, **FUTURE}).encode()))


def newer(value: object) -> Mapping[str, Any]:
    """A part of a message, from a newer daemon."""
    return {**msgspec.to_builtins(value), **FUTURE}


async def greeted(daemon: ScriptedDaemon, **fields: Any) -> Peer:
    """A client, and the greeting of a daemon of another version."""
    peer = await daemon.accept(greet=False)
    say(peer, "hello", protocol=1, **fields)
    return peer


@pytest.mark.parametrize("hello", [{"features": ["telepathy"], "software": "virtmuxd 99"}, {}], ids=["newer", "older"])
async def test_list_and_status_pass_over_what_they_do_not_know(daemon: ScriptedDaemon, hello: dict[str, Any]) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        for _ in range(2):
            peer = await greeted(daemon, **hello)
            asked = await peer.expect(ListConsoles)
            say(peer, "hypervisor", id=asked.id, info=newer(hypervisor()))
            say(peer, "console", id=asked.id, info=newer(console_info()))
            say(peer, "done", id=asked.id)
            await peer.gone()

    async with playing(daemon, script):
        async with running(daemon.path, "list") as command:
            status, out, err = await command.finish()
            assert (status, out.count(b"\n"), err) == (0, 2, "")
        async with running(daemon.path, "status", "--json") as command:
            status, out, err = await command.finish()
            assert (status, err) == (0, "")
            told = json.loads(out.splitlines()[0])
            assert (told["features"], told["software"]) == (hello.get("features", []), hello.get("software", ""))


async def test_attach_and_events_do_so_as_well(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await greeted(daemon, features=["telepathy"])
        asked = await peer.expect(Attach)
        say(peer, "place", id=asked.id, info=newer(console_info()), position=f"{HISTORY}:0:1", read_only=False)
        peer.output(b"hello", at=0)
        note = {"kind": "note", "at": AT, "note": "levitating", **FUTURE}
        say(peer, "mark", console=HANDLE, offset=5, mark=1, record=note)
        peer.output(b"!", at=5)
        await peer.gone()
        peer = await greeted(daemon, features=["telepathy"])
        asked_for = await peer.expect(Watch)
        say(peer, "event", event="levitated", at=AT, console=newer(CONSOLE), offset=0)
        say(peer, "done", id=asked_for.id)
        await peer.gone()

    async with playing(daemon, script):
        async with running(daemon.path, "attach", "web1") as command:
            assert await command.read(6) == b"hello!"
            assert await command.line() == "virtmux: guest levitating\n"
            command.process.terminate()
            await command.finish()
        async with running(daemon.path, "events") as command:
            assert command.process.stdout is not None
            assert await command.process.stdout.readline() == b"2025-03-01 12:00:00  web1:serial0  levitated\n"
            command.process.terminate()
            await command.finish()


async def test_another_protocol_is_said_in_one_line(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept(greet=False)
        say(peer, "hello", protocol=2)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "list") as command:
        status, out, err = await command.finish()
    assert (status, out) == (12, b"")
    assert err == "virtmux: the peer broke the protocol: the daemon speaks protocol 2, not 1 (protocol-error)\n"
