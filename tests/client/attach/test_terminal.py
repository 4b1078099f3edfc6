"""`virtmux attach` on a terminal: raw mode, the escape key, virsh's lines, and the terminal given back."""

import asyncio
import os
import signal
import termios
from typing import Any

import pytest

from tests.harness.command import running
from tests.harness.screen import Screen, bytes_read, on
from tests.harness.scripted_daemon import HANDLE, HISTORY, Peer, ScriptedDaemon, place, playing, reason, waiting
from virtmux.messages import Attach, InputStatus
from virtmux.reasons import Cause
from virtmux.wire import Input

DOWN = reason(Cause.GUEST_SHUTDOWN, will_retry=True)
CONNECTED = b"Connected to domain 'web1'\r\nEscape character is ^] (Ctrl + ])\r\n"
PAST = b"a\x1b[6n\x1b]52;c;?\x07b"
REPLAY = ("attach", "web1", "--replay", "all")


async def attached(daemon: ScriptedDaemon) -> Peer:
    peer = await daemon.accept()
    peer.say(place((await peer.expect(Attach)).id))
    peer.output(b"login: ", at=0)
    return peer


async def stays(daemon: ScriptedDaemon) -> None:
    await (await attached(daemon)).gone()


async def replays(daemon: ScriptedDaemon) -> None:
    peer = await daemon.accept()
    asked = await peer.expect(Attach)
    peer.say(place(asked.id, position=f"{HISTORY}:0:1", end=f"{HISTORY}:{len(PAST)}:1"))
    peer.output(PAST, at=0)
    await peer.gone()


async def test_keys_reach_the_guest_one_by_one_and_the_escape_key_leaves(
    daemon: ScriptedDaemon, screen: Screen
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        for count, key in enumerate((b"\x03", b"\r", b"\x04"), start=1):
            heard = await peer.hear()  # and nobody asks for the fate of a key
            assert isinstance(heard, Input)
            assert heard.data == key
            peer.output(b"*", at=6 + count)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)) as command:
        assert await screen.until(b"login: ") == CONNECTED + b"login: "
        assert screen.raw
        for key in (b"\x03", b"\r", b"\x04"):
            screen.type(key)
            await screen.until(b"*")
        screen.type(b"\x1d")
        assert await screen.until(b"detached\r\n") == b"\r\nvirtmux: detached\r\n"
        assert await command.process.wait() == 0
    assert screen.restored


async def test_a_paste_that_waits_for_a_paused_guest_is_said_and_one_can_leave(
    daemon: ScriptedDaemon, screen: Screen
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await peer.expect_input(65536)
        peer.say(InputStatus(HANDLE, 1, accepted=0, held=True))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)) as command:
        await screen.until(b"login: ")
        pasted = asyncio.to_thread(screen.type_all, bytes(200_000))
        await asyncio.gather(pasted, screen.until(b"bytes of input wait, 0 were accepted\r\n"))
        screen.type(b"\x1d")
        await screen.until(
            b"134464 bytes of input were not delivered, 65536 before them may still be\r\nvirtmux: detached\r\n"
        )
        assert await command.process.wait() == 0
    assert screen.restored


async def test_the_end_of_the_guest_gives_the_terminal_back(daemon: ScriptedDaemon, screen: Screen) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.ended(1, DOWN, at=7)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)) as command:
        await screen.until(b"login: \r\nvirtmux: guest web1 shut down (guest-shutdown); leaving")
        assert await command.process.wait() == 10
    assert screen.restored


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
        signal.SIGPOLL,
        signal.SIGRTMIN,
    ],
)
async def test_so_does_a_signal(daemon: ScriptedDaemon, screen: Screen, number: signal.Signals) -> None:
    async with playing(daemon, stays), running(daemon.path, "attach", "web1", **on(screen)) as command:
        await screen.until(b"login: ")
        assert screen.raw
        command.process.send_signal(number)
        assert await command.process.wait() == 128 + number
    assert screen.restored


def stopped(pid: int) -> None:
    """Wait until a child has stopped."""
    os.waitid(os.P_PID, pid, os.WSTOPPED)


async def test_while_it_is_stopped_the_terminal_is_the_persons(daemon: ScriptedDaemon, screen: Screen) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        for count in (2, 4):
            await peer.expect_input(2)
            peer.say(InputStatus(HANDLE, 1, accepted=count))
            peer.output(b"*%d" % count, at=5 + count)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)) as command:
        await screen.until(b"login: ")
        for count in (2, 4):
            command.process.send_signal(signal.SIGTSTP)
            await asyncio.wait_for(asyncio.to_thread(stopped, command.process.pid), 10)
            assert screen.restored
            command.process.send_signal(signal.SIGCONT)
            screen.type(b"x\r")  # in whichever mode they are typed, both come through once it goes on
            await screen.until(b"*%d" % count)
            assert screen.raw
        command.process.send_signal(signal.SIGTERM)
        assert await command.process.wait() == 143
    assert screen.restored


async def test_continued_it_takes_the_terminal_back_whatever_became_of_it(
    daemon: ScriptedDaemon, screen: Screen
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await peer.expect(Input)
        peer.output(b"*", at=7)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)) as command:
        await screen.until(b"login: ")
        command.process.send_signal(signal.SIGSTOP)
        await asyncio.wait_for(asyncio.to_thread(stopped, command.process.pid), 10)
        termios.tcsetattr(screen.terminal, termios.TCSANOW, screen.mode)  # as a shell does
        command.process.send_signal(signal.SIGCONT)
        screen.type(b"x\r")
        await screen.until(b"*")
        assert screen.raw
        screen.type(b"\x1d")
        assert await command.process.wait() == 0
    assert screen.restored


async def test_so_does_a_terminal_that_is_stuck(daemon: ScriptedDaemon, screen: Screen) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.output(bytes(65536), at=7)  # more than a terminal takes unread
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)) as command:
        await screen.until(b"login: ")
        screen.type(b"\x1d")
        await asyncio.wait_for(asyncio.gather(command.process.wait(), screen.until(b"detached")), 10)
    assert screen.restored


async def test_so_does_broken_protocol(daemon: ScriptedDaemon, screen: Screen) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.send(b"\xff" * 64)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)) as command:
        await screen.until(b"(protocol-error)")
        assert await command.process.wait() == 12
    assert screen.restored


async def test_lines_of_its_own_begin_at_the_left_in_raw_mode(daemon: ScriptedDaemon, screen: Screen) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.ended(1, reason(Cause.HYPERVISOR_LOST, will_retry=True), at=7)
        peer.attached(2, at=7)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)):
        shown = await screen.until(b"attached again\r\n")
        assert shown.count(b"\n") == shown.count(b"\r\n") == 5
        assert b"login: \r\nvirtmux: the connection to the hypervisor of web1 was lost" in shown
        assert screen.raw


async def test_only_stdin_is_a_terminal(daemon: ScriptedDaemon, screen: Screen) -> None:
    async with playing(daemon, stays), running(daemon.path, "attach", "web1", stdin=screen.terminal) as command:
        assert await command.read(7) == b"login: "
        assert screen.raw
        screen.type(b"\x1d")
        assert await command.end() == (0, CONNECTED.decode().replace("\r", "") + "virtmux: detached\n")
    assert screen.restored


async def test_only_stdout_is_a_terminal(daemon: ScriptedDaemon, screen: Screen) -> None:
    async with playing(daemon, stays), running(daemon.path, "attach", "web1", stdout=screen.terminal) as command:
        await screen.until(b"login: ")
        assert screen.restored
        command.process.send_signal(signal.SIGTERM)
        assert await command.end() == (143, "")


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
async def test_what_is_replayed_asks_no_terminal_wherever_that_is(
    daemon: ScriptedDaemon, screen: Screen, stream: str
) -> None:
    on_terminal: dict[str, Any] = {stream: screen.terminal}
    async with playing(daemon, replays), running(daemon.path, *REPLAY, **on_terminal) as command:
        assert (await screen.until(b"ab") if stream == "stdout" else await command.read(2)).endswith(b"ab")


async def test_where_there_is_no_terminal_it_is_replayed_as_it_was(daemon: ScriptedDaemon) -> None:
    async with playing(daemon, replays), running(daemon.path, *REPLAY) as command:
        assert await command.read(len(PAST)) == PAST


async def test_what_the_guest_does_to_a_stdout_that_is_a_terminal_is_undone_there(
    daemon: ScriptedDaemon, screen: Screen
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.output(b"\x1b[?1049h\x1b[31m\x1b[?25l", at=7)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "web1", stdout=screen.terminal) as command:
        await screen.until(b"\x1b[?25l")
        command.process.send_signal(signal.SIGTERM)
        assert await command.end() == (143, "")
        assert await screen.until(b"\x1b[0m") == b"\x1b[?25h\x1b[?1049l\x1b[0m"


async def test_while_nothing_was_attached_yet_the_terminal_is_the_persons(
    daemon: ScriptedDaemon, screen: Screen
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING)))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "attach", "--wait", "web1", **on(screen)) as command:
        await screen.until(b"waiting to attach")
        assert screen.restored
        command.process.send_signal(signal.SIGINT)
        assert await command.process.wait() == 130


async def test_what_is_typed_while_nothing_is_attached_is_dropped(daemon: ScriptedDaemon, screen: Screen) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.ended(1, reason(Cause.HYPERVISOR_LOST, will_retry=True), at=7)
        await typed.wait()
        peer.attached(2, at=7)
        assert (await peer.expect(Input)).data == b"new"
        peer.say(InputStatus(HANDLE, 2, accepted=3))
        peer.output(b"echo", at=7)
        await peer.gone()

    typed = asyncio.Event()
    async with playing(daemon, script), running(daemon.path, "attach", "web1", **on(screen)) as command:
        await screen.until(b"waiting to attach again")
        before = bytes_read(command.process.pid)
        screen.type(b"old")
        while bytes_read(command.process.pid) < before + len(b"old"):
            await asyncio.sleep(0.01)
        typed.set()
        await screen.until(b"attached again")
        screen.type(b"new")
        await screen.until(b"echo")
