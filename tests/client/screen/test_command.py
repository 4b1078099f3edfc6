"""`virtmux screen` and `attach --replay screen` against a scripted daemon."""

import fcntl
import json
import os
import struct
import termios
from collections.abc import Iterator

import pyte
import pytest

from tests.harness.command import running
from tests.harness.scripted_daemon import HANDLE, HISTORY, Peer, ScriptedDaemon, place, playing, reason
from virtmux.messages import Attach, Gap
from virtmux.reasons import Cause
from virtmux_cli.attach.replayed import Shown
from virtmux_cli.screen.command import Size, parse_size
from virtmux_cli.screen.repainted import Repaint
from virtmux_cli.screen.window import WINDOW

MENU = b"\x1b[2J\x1b[H\x1b[1;44mInstaller\x1b[m\x1b[3;5H> one\x1b[4;5H  two\x1b[3;5H"


async def replaying(daemon: ScriptedDaemon, data: bytes) -> Peer:
    """A client that was given a place at the start of these bytes, which are all there is."""
    peer = await daemon.accept()
    asked = await peer.expect(Attach)
    assert asked.replay == f"bytes:{WINDOW}"
    end = f"{HISTORY}:{len(data)}:1"
    peer.say(place(asked.id, position=f"{HISTORY}:0:1", end=end))
    peer.output(data, at=0)
    return peer


async def test_it_is_the_text_of_the_screen_and_opens_nothing(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        assert (asked.hold, asked.read_only) == (False, True)
        peer.say(place(asked.id, position=f"{HISTORY}:0:1", end=f"{HISTORY}:{len(MENU)}:1"))
        peer.output(MENU[:20], at=0)
        peer.output(MENU[20:] + b"what comes later", at=20)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "screen", "web1") as command:
        assert await command.finish() == (0, b"Installer\n\n    > one\n      two\n", "")


async def test_in_colours(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await replaying(daemon, MENU)).gone()

    async with playing(daemon, script), running(daemon.path, "screen", "web1", "--ansi") as command:
        status, out, _ = await command.finish()
    assert (status, out.splitlines()[0]) == (0, b"\x1b[m\x1b[1;44mInstaller\x1b[m")


async def test_in_json_with_the_cursor_and_the_position(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await replaying(daemon, b"\x1b[?1049h" + MENU)).gone()

    async with playing(daemon, script), running(daemon.path, "screen", "web1", "--json", "--size", "20x5") as command:
        status, out, _ = await command.finish()
    told = json.loads(out)
    assert (status, told["type"], told["position"]) == (0, "screen", f"{HISTORY}:{len(MENU) + 8}:1")
    assert (told["columns"], told["lines"], told["cursor"]) == (20, 5, {"x": 4, "y": 2, "hidden": False})
    assert (told["alternate"], told["text"][0]) == (True, "Installer")


async def test_a_console_that_nobody_holds_says_so_and_a_gap_is_named(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        at = "2025-03-01T12:00:00Z"
        start, end = f"{HISTORY}:0:1", f"{HISTORY}:5:1"
        peer.say(place(asked.id, position=start, end=end, attachment=None, last_output=at))
        peer.say(Gap(HANDLE, 0, 1, 3, 1))
        peer.output(b"up", at=3)
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "screen", "web1") as command:
        status, out, err = await command.finish()
    assert (status, out) == (0, b"up\n")
    assert err.splitlines() == [
        "virtmux: 3 bytes of output are missing here (0 to 3)",
        "virtmux: the console is not held now; it was like this at 2025-03-01 12:00:00",
    ]


async def test_a_console_that_was_never_held_says_so(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(place((await peer.expect(Attach)).id, attachment=None))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "screen", "web1") as command:
        status, _, err = await command.finish()
    assert (status, err) == (0, "virtmux: the console is not held now; nothing of it is known\n")


async def test_who_may_not_read_what_was_said_is_told_so(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(place((await peer.expect(Attach)).id, withheld=True))
        await peer.gone()

    async with playing(daemon, script), running(daemon.path, "screen", "web1") as command:
        status, out, err = await command.finish()
    assert (status, out) == (4, b"")
    assert "you have no right to read what web1 said before" in err


@pytest.mark.parametrize("size", ["80", "80x", "x24", "0x24", "80x0", "1x24", "1001x24", "80x1001", "80X24"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(ValueError, match="not the size of a terminal"):
        parse_size(size)


def test_sizes() -> None:
    assert parse_size("132x43") == Size(132, 43)


def test_a_terminal_that_knows_no_size_is_one_of_80_columns() -> None:
    person, terminal = os.openpty()
    try:
        repaint = Repaint.for_terminal(terminal)
        assert repaint.show(Shown(b"x" * 81, replayed=True)) == b""
        assert b"\x1b[2;1Hx" in repaint.caught_up()
        assert repaint.caught_up() == b""
    finally:
        os.close(person)
        os.close(terminal)


def test_what_began_in_the_past_is_of_the_past_behind_a_repaint_too() -> None:
    repaint = Repaint(80, 24)
    assert repaint.show(Shown(b"x\x1b]52;c;aGk", replayed=True)) == b""
    assert b"\x1b]52" not in repaint.caught_up()
    assert repaint.show(Shown(b"=\x07y\x1b]52;c;aGk=\x07", replayed=False)) == b"y\x1b]52;c;aGk=\x07"


class Screen:
    """A terminal of 40 columns and 10 lines."""

    def __init__(self) -> None:
        self._person, self.terminal = os.openpty()
        os.set_blocking(self._person, False)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
        self._screen = pyte.Screen(40, 10)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""

    def lines(self) -> list[str]:
        """What it shows of what was written so far."""
        while True:
            try:
                data = os.read(self._person, 65536)
            except (BlockingIOError, OSError):
                return [line.rstrip() for line in self._screen.display]
            self.written += data
            self._stream.feed(data)

    def close(self) -> None:
        os.close(self._person)
        os.close(self.terminal)


@pytest.fixture
def screen() -> Iterator[Screen]:
    screen = Screen()
    yield screen
    screen.close()


async def test_attach_repaints_the_screen_and_goes_on_where_the_guest_is(
    daemon: ScriptedDaemon, screen: Screen
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        past = b"\x1b]0;title\x07" + b"line\r\n" * 50 + MENU + b"\x1b[6n\x1b[1"
        peer = await replaying(daemon, past)
        peer.output(b"Cx\x1b[1;1H!", at=len(past))
        peer.ended(1, reason(Cause.GUEST_SHUTDOWN), at=len(past) + 9)
        await peer.gone()

    arguments, terminal = ("attach", "web1", "--replay", "screen", "--quiet"), screen.terminal
    async with (
        playing(daemon, script),
        running(daemon.path, *arguments, stdin=terminal, stdout=terminal) as command,
    ):
        status, _ = await command.end()
    assert status == 10
    assert screen.lines()[:4] == ["!nstaller", "", "    >xone", "      two"]
    assert b"title" not in screen.written
    assert b"\x1b[6n" not in screen.written


async def test_attach_repaints_also_where_nothing_comes_behind_it(daemon: ScriptedDaemon, screen: Screen) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await replaying(daemon, MENU)
        peer.ended(1, reason(Cause.GUEST_SHUTDOWN), at=len(MENU))
        await peer.gone()

    async with (
        playing(daemon, script),
        running(daemon.path, "attach", "web1", "--replay", "screen", "--quiet", stdout=screen.terminal) as command,
    ):
        status, _ = await command.end()
    assert status == 10
    assert screen.lines()[:4] == ["Installer", "", "    > one", "      two"]
