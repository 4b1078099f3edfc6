"""`virtmux attach` under a shell on a terminal that is emulated: whatever the guest does to it, it is given back."""

import asyncio
import os
import signal

import pytest

from tests.harness.scripted_daemon import AT, HANDLE, HISTORY, Peer, ScriptedDaemon, place, playing, reason, waiting
from tests.harness.shell import EVERYTHING, ON_MAIN, PROMPT, differences, shell
from virtmux.messages import Attach, MarkMessage
from virtmux.reasons import Cause
from virtmux.records import Note
from virtmux.wire import Input


async def attached(daemon: ScriptedDaemon, output: bytes) -> Peer:
    peer = await daemon.accept()
    peer.say(place((await peer.expect(Attach)).id))
    peer.output(output, at=0)
    return peer


@pytest.mark.parametrize("output", [EVERYTHING, ON_MAIN], ids=["alternate screen", "main screen"])
async def test_leaving_undoes_all_that_the_guest_has_switched_on(daemon: ScriptedDaemon, output: bytes) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await attached(daemon, output + b".ready.")).gone()

    async with playing(daemon, script), shell(daemon.path) as person:
        before, mode, lines = person.screen.facts, person.mode, person.screen.lines
        await person.attach()
        await person.until(b".ready.")
        assert len(differences(before, person.screen.facts)) >= 12
        await person.detach()
        await person.prompt()
        assert differences(before, person.screen.facts) == {}
        assert person.mode == mode
        assert person.screen.cursor[1] == len(PROMPT)
        if output is EVERYTHING:
            shown = person.screen.lines
            assert shown[0].startswith(lines[0])
            assert shown[-4:] == [
                "Connected to domain 'web1'",
                "Escape character is ^] (Ctrl + ])",
                "virtmux: detached",
                PROMPT.decode().rstrip(),
            ]


async def test_a_plain_session_writes_nothing_of_its_own(daemon: ScriptedDaemon) -> None:
    plain = b"boot\r\n\x1b[32mok\x1b[0m \x1b[31mred\x1b[39m\r\n\x1b[?25l.\x1b[?25hlogin: "

    async def script(daemon: ScriptedDaemon) -> None:
        await (await attached(daemon, plain)).gone()

    async with playing(daemon, script), shell(daemon.path) as person:
        await person.attach()
        await person.until(b"login: ")
        at = person.bytes.rindex(plain)
        await person.detach()
        await person.prompt()
        assert person.bytes[at:] == plain + b"\r\nvirtmux: detached\r\n" + PROMPT


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
async def test_so_does_a_signal(daemon: ScriptedDaemon, number: signal.Signals) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await attached(daemon, EVERYTHING + b".ready.")).gone()

    async with playing(daemon, script), shell(daemon.path) as person:
        before, mode = person.screen.facts, person.mode
        await person.attach()
        await person.until(b".ready.")
        os.kill(person.foreground, number)
        await person.prompt()
        assert (differences(before, person.screen.facts), person.mode) == ({}, mode)


async def test_so_do_a_broken_protocol_and_the_end_of_the_guest(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon, EVERYTHING + b".ready.")
        await peer.expect(Input)
        peer.send(b"\xff" * 64)
        await peer.gone()
        peer = await attached(daemon, EVERYTHING + b".ready.")
        await peer.expect(Input)
        peer.ended(1, reason(Cause.GUEST_DESTROYED, will_retry=True), at=len(EVERYTHING) + 7)
        await peer.gone()

    async with playing(daemon, script), shell(daemon.path) as person:
        before, mode = person.screen.facts, person.mode
        for cause in (b"(protocol-error)", b"(guest-destroyed)"):
            await person.attach()
            await person.until(b".ready.")
            person.child.send(b"x")
            await person.until(cause)
            await person.prompt()
            assert any(line.startswith("virtmux: ") for line in person.screen.lines[-3:])
            assert (differences(before, person.screen.facts), person.mode) == ({}, mode)


async def test_stopped_it_is_the_shells_and_continued_the_guests(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await attached(daemon, EVERYTHING + b".ready.")).gone()

    async with playing(daemon, script), shell(daemon.path) as person:
        before, mode = person.screen.facts, person.mode
        await person.attach()
        await person.until(b".ready.")
        guests = person.screen.facts
        for _ in range(2):
            os.kill(person.foreground, signal.SIGTSTP)
            await person.prompt()
            assert (differences(before, person.screen.facts), person.mode) == ({}, mode)
            person.child.send(b"fg\r")
            await person.until(b"\x1b]0;another\x1b\\")
            await person.until(b"\x0e")  # the last of what is done again
            assert differences(guests, person.screen.facts) == {}
        await person.detach()
        await person.prompt()
        assert (differences(before, person.screen.facts), person.mode) == ({}, mode)


async def test_interrupted_before_it_is_attached_it_gives_back_what_was_replayed(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(waiting((await peer.expect(Attach)).id, reason(Cause.GUEST_NOT_RUNNING)))
        peer.output(ON_MAIN + b".ready.", at=0)
        await peer.gone()

    async with playing(daemon, script), shell(daemon.path) as person:
        before, mode = person.screen.facts, person.mode
        person.child.send(f"{person.command} attach --wait web1\r".encode())
        await person.until(b".ready.")
        assert person.mode == mode
        person.child.send(b"\x03")
        await person.prompt()
        assert (differences(before, person.screen.facts), person.mode) == ({}, mode)


async def test_a_guest_that_ends_and_is_waited_for_gives_the_terminal_back_before_its_next_start(
    daemon: ScriptedDaemon,
) -> None:
    size = len(EVERYTHING) + 7

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon, EVERYTHING + b".ready.")
        await peer.expect(Input)
        peer.ended(1, reason(Cause.GUEST_SHUTDOWN, will_retry=True), at=size)
        await ended.wait()
        peer.attached(2, at=size)
        peer.output(b"booting", at=size)
        await peer.gone()

    ended = asyncio.Event()
    async with playing(daemon, script), shell(daemon.path) as person:
        before = person.screen.facts
        await person.attach("--stay")
        await person.until(b".ready.")
        person.child.send(b"x")
        await person.until(b"(guest-shutdown); waiting to attach again\r\n")
        assert differences(before, person.screen.facts) == {}
        ended.set()
        await person.until(b"virtmux: attached again\r\n")
        await person.until(b"booting")
        assert differences(before, person.screen.facts) == {}
        assert person.screen.lines[-3:] == [
            "virtmux: guest web1 shut down (guest-shutdown); waiting to attach again",
            "virtmux: attached again",
            "booting",
        ]


class TestLinesOfItsOwn:
    async def test_behind_a_prompt_one_stands_alone_and_the_prompt_is_there_again(self, daemon: ScriptedDaemon) -> None:
        prompt = b"\x1b[32mweb1 # \x1b[0mls -"

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon, b"ok\r\n" + prompt)
            await peer.expect(Input)
            notes = [Note(AT, "paused"), Note(AT, "resumed")]
            peer.say(*(MarkMessage(HANDLE, 4 + len(prompt), number, note) for number, note in enumerate(notes, 1)))
            peer.output(b"l", at=4 + len(prompt))
            await peer.gone()

        async with playing(daemon, script), shell(daemon.path) as person:
            await person.attach()
            await person.until(b"ls -")
            cells = person.screen.cells[person.screen.cursor[0]]
            person.child.send(b"x")
            await person.until(b"virtmux: guest resumed\r\n" + prompt + b"l")
            line, column = person.screen.cursor
            assert person.screen.lines[-4:] == [
                "web1 # ls -",
                "virtmux: guest paused",
                "virtmux: guest resumed",
                "web1 # ls -l",
            ]
            assert person.screen.cells[line][:11] == cells[:11]
            assert column == len("web1 # ls -l")

    @pytest.mark.parametrize("leave", [b"\x1b[?1049l", b"\x1b7\x1b[r\x1b8\r\n", b"\r\n\r\n"])
    async def test_while_the_guest_has_the_whole_screen_they_wait(self, daemon: ScriptedDaemon, leave: bytes) -> None:
        enter = {
            b"\x1b[?1049h": b"\x1b[?1049l",
            b"\x1b7\x1b[5;10r\x1b8": b"\x1b7\x1b[r\x1b8\r\n",
            b"\x1b[9;9H": b"\r\n\r\n",
        }
        output = b"# \r\n" + next(way for way, back in enter.items() if back == leave) + b"menu"

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon, output)
            await peer.expect(Input)
            peer.mark(1, Note(AT, "paused"), at=len(output))
            peer.output(b".", at=len(output))
            await peer.expect(Input)
            peer.output(leave + b"# ", at=len(output) + 1)
            await peer.gone()

        async with playing(daemon, script), shell(daemon.path) as person:
            await person.attach()
            await person.until(b"menu")
            person.child.send(b"x")
            assert await person.until(b".") == b""
            person.child.send(b"x")
            await person.until(b"virtmux: guest paused\r\n# ")
            assert person.screen.lines[-2:] == ["virtmux: guest paused", "#"]

    async def test_a_sequence_that_never_ends_hides_none(self, daemon: ScriptedDaemon) -> None:
        endless = b"# \x1b]0;" + b"x" * 5000

        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon, endless)
            peer.mark(1, Note(AT, "paused"), at=len(endless))
            await peer.gone()

        async with playing(daemon, script), shell(daemon.path) as person:
            before = person.screen.facts
            await person.attach()
            await person.until(b"virtmux: guest paused\r\n")
            assert "virtmux: guest paused" in person.screen.lines
            await person.detach()
            await person.prompt()
            assert person.screen.lines[-2:] == ["virtmux: detached", PROMPT.decode().rstrip()]
            assert differences(before, person.screen.facts) == {}

    async def test_or_until_the_command_ends(self, daemon: ScriptedDaemon) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon, b"\x1b[?1049hmenu")
            peer.mark(1, Note(AT, "paused"), at=12)
            await peer.gone()

        async with playing(daemon, script), shell(daemon.path) as person:
            await person.attach()
            await person.until(b"menu")
            await person.detach()
            await person.prompt()
            assert person.screen.lines[-3:] == ["virtmux: guest paused", "virtmux: detached", PROMPT.decode().rstrip()]

    async def test_a_connection_that_is_back_in_a_moment_leaves_the_screen_in_its_place(
        self, daemon: ScriptedDaemon
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon, b"\x1b[?1049h\x1b[3;3Hmenu")
            peer.goodbye(reason(Cause.SERVER_STOPPING))
            daemon.stop()
            async with daemon:
                peer = await daemon.accept()
                asked = await peer.expect(Attach)
                peer.say(place(asked.id, position=asked.position))
                peer.attached(1, at=18)
                peer.output(b".", at=18)
                await peer.gone()

        async with playing(daemon, script), shell(daemon.path) as person:
            await person.attach()
            await person.until(b"menu")
            assert await person.until(b".") == b""
            await person.detach()
            await person.prompt()
            assert person.screen.lines[-4:] == [
                "virtmux: virtmuxd is stopping (server-stopping); waiting to attach again",
                "virtmux: attached again",
                "virtmux: detached",
                PROMPT.decode().rstrip(),
            ]

    async def test_one_that_lasts_is_said_on_the_terminal_that_is_given_back_for_so_long(
        self, daemon: ScriptedDaemon
    ) -> None:
        async def script(daemon: ScriptedDaemon) -> None:
            peer = await attached(daemon, b"\x1b[?1049h\x1b[?2004h\x1b[3;3Hmenu")
            peer.ended(1, reason(Cause.HYPERVISOR_LOST, will_retry=True), at=26)
            await said.wait()
            peer.attached(2, at=26)
            await peer.gone()

        said = asyncio.Event()
        async with playing(daemon, script), shell(daemon.path) as person:
            before = person.screen.facts
            await person.attach()
            await person.until(b"menu")
            guests = person.screen.facts
            await person.until(b"(hypervisor-lost); waiting to attach again\r\n")
            assert differences(before, person.screen.facts) == {}
            said.set()
            await person.until(b"virtmux: attached again\r\n")
            await person.until(b"\x1b[?2004h")
            assert differences(guests, person.screen.facts) == {}
            await person.detach()
            await person.prompt()
            assert differences(before, person.screen.facts) == {}


async def test_a_repainted_screen_is_in_lines_where_what_made_it_was(daemon: ScriptedDaemon) -> None:
    past = b"\x1b[?2004hone\r\ntwo\r\n# ls"

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        peer.say(place(asked.id, position=f"{HISTORY}:0:1", end=f"{HISTORY}:{len(past)}:1"))
        peer.output(past + b" -l", at=0)
        await peer.expect(Input)
        peer.mark(1, Note(AT, "paused"), at=len(past) + 3)
        await peer.gone()

    async with playing(daemon, script), shell(daemon.path) as person:
        before = person.screen.facts
        await person.attach("--replay", "screen")
        await person.until(b" -l")
        person.child.send(b"x")
        await person.until(b"virtmux: guest paused\r\n")
        await person.until(b"# ls -l")
        assert person.screen.lines[-3:] == ["# ls -l", "virtmux: guest paused", "# ls -l"]
        await person.detach()
        await person.prompt()
        assert differences(before, person.screen.facts) == {}


async def test_a_guest_that_reboots_or_once_ended_has_left_nothing_behind(daemon: ScriptedDaemon) -> None:
    """Whatever it had switched on: the next boot begins on a terminal as it was."""
    first = b"\x1b[?1049h\x1b[31mold"

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        end = f"{HISTORY}:{len(first)}:3"
        peer.say(place((await peer.expect(Attach)).id, position=f"{HISTORY}:0:1", end=end))
        peer.output(first, at=0)
        peer.ended(1, reason(Cause.GUEST_DESTROYED), at=len(first))
        peer.attached(2, at=len(first))
        peer.output(first, at=len(first))
        peer.mark(3, Note(AT, "rebooted"), at=2 * len(first))
        peer.output(b".new.", at=2 * len(first))
        await peer.gone()

    async with playing(daemon, script), shell(daemon.path) as person:
        before = person.screen.facts
        await person.attach()
        await person.until(b".new.")
        assert differences(before, person.screen.facts) == {}
        assert person.screen.lines[-2:] == ["virtmux: guest rebooted", ".new."]
