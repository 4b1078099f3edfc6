"""What the loop hears of a file that libvirt watches, and when libvirt is called to read it."""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
import uvloop

from tests.harness.bridge import DEADLINE, READABLE, WRITABLE, fail
from tests.harness.turns import turns
from virtmuxd.hypervisor import descriptor as descriptor_module
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.transport import Transport


class Watching:
    """Counts what the loop is asked to watch."""

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.changes: list[str] = []
        for name in ("add_reader", "remove_reader"):
            monkeypatch.setattr(loop, name, partial(self._change, name, getattr(loop, name)))

    def _change(self, name: str, change: Callable[..., object], *args: object) -> None:
        self.changes.append(name)
        change(*args)


async def test_a_call_that_finds_nothing_to_read_changes_nothing_at_the_loop(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = bridge._add_handle(pair[0].fileno(), READABLE, fail, None)
    watching = Watching(bridge.loop, monkeypatch)
    for _ in range(3):
        bridge._update_handle(watch, 0)
        bridge._update_handle(watch, READABLE)
        await turns(3)

    assert watching.changes == []
    bridge._remove_handle(watch)
    assert watching.changes == ["remove_reader"]


async def test_what_comes_while_nobody_wants_it_is_read_once_somebody_does(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    called: list[bytes] = []
    watch = bridge._add_handle(ours.fileno(), READABLE, lambda *_: called.append(ours.recv(1)), None)
    watching = Watching(bridge.loop, monkeypatch)
    bridge._update_handle(watch, 0)
    theirs.send(b"x")
    await turns(3)
    assert (called, watching.changes) == ([], ["remove_reader"]), "the loop would call for ever"

    bridge._update_handle(watch, READABLE)
    await turns(3)
    assert (called, watching.changes) == ([b"x"], ["remove_reader", "add_reader"])
    bridge._remove_handle(watch)


class Clock:
    """Keeps what the loop is to call later, until the test says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting: list[asyncio.Handle] = []
        self._loop = loop
        monkeypatch.setattr(loop, "call_later", self._later)

    def _later(self, _seconds: float, callback: Callable[..., object], *args: object) -> asyncio.Handle:
        self.waiting.append(asyncio.Handle(callback, args, self._loop))
        return self.waiting[-1]

    def strike(self) -> None:
        """So much time has passed."""
        for handle in self.waiting:
            if not handle.cancelled():
                handle._run()
        self.waiting.clear()


def watched(bridge: EventBridge, ours: socket.socket, callback: Callable[..., object]) -> tuple[Transport, int]:
    """A connection that libvirt reads by this, and the watch on its socket."""
    transport = Transport()
    with bridge.opening(transport):
        return transport, bridge._add_handle(ours.fileno(), READABLE, callback, None)


async def test_a_connection_that_has_rested_is_read_to_its_end_but_no_endless_row_of_messages_in_one_turn(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptor_module, "_MESSAGES", 10)
    ours, theirs = pair
    read, clock = list[bytes](), Clock(bridge.loop, monkeypatch)
    transport, watch = watched(bridge, ours, lambda *_: read.append(ours.recv(1)))
    bridge.rest(transport, 0.001)
    theirs.send(bytes(15))

    clock.strike()
    assert len(read) == 10
    for number in range(11, 16):
        await turns(1)
        assert len(read) <= number
    await turns(3)
    assert len(read) == 15
    bridge._remove_handle(watch)
    transport.close()


@pytest.mark.parametrize("full", [False, True])
async def test_an_answer_is_written_at_once_and_the_loop_hears_of_it_only_where_there_is_no_room(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    ours, theirs = pair
    asked: list[str] = []
    monkeypatch.setattr(bridge.loop, "add_writer", lambda *_: asked.append("add"))
    monkeypatch.setattr(bridge.loop, "remove_writer", lambda *_: asked.append("remove"))

    def callback(watch: int, _: int, event: int, __: object) -> None:
        if event == READABLE:
            ours.recv(4)
            bridge._update_handle(watch, READABLE | WRITABLE)
        elif not full:
            ours.send(b"pong")
            bridge._update_handle(watch, READABLE)

    watch = bridge._add_handle(ours.fileno(), READABLE, callback, None)
    theirs.send(b"ping")
    await turns(5)
    bridge._remove_handle(watch)

    assert asked == (["add", "remove"] if full else [])
    if not full:
        assert theirs.recv(10) == b"pong"


async def test_a_connection_that_has_ended_is_read_once_a_turn(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket]
) -> None:
    """libvirt may leave it unread until it is closed."""
    ours, theirs = pair
    called: list[int] = []
    turn = 0
    watch = bridge._add_handle(ours.fileno(), READABLE, lambda *_: called.append(turn), None)
    theirs.close()
    while turn < 5:
        turn += 1
        await turns(1)
    bridge._remove_handle(watch)

    assert called
    assert set(Counter(called).values()) == {1}


async def test_a_connection_that_rests_is_not_read_until_it_goes_on(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    read, clock = list[bytes](), Clock(bridge.loop, monkeypatch)
    transport, watch = watched(bridge, ours, lambda *_: read.append(ours.recv(100)))
    for _ in range(2):
        bridge.rest(transport, 0.001)
    assert len(clock.waiting) == 1
    for piece in (b"one ", b"two"):
        theirs.send(piece)
        await turns(3)
        bridge._update_handle(watch, 0)  # a call comes and goes meanwhile
        bridge._update_handle(watch, READABLE)
    assert read == []

    clock.strike()
    assert read == [b"one two"]

    theirs.send(b"three")
    await turns(3)
    assert read == [b"one two", b"three"]
    bridge._remove_handle(watch)
    transport.close()


async def test_a_connection_that_ends_while_it_rests_leaves_its_number_to_another(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    read, clock = list[bytes](), Clock(bridge.loop, monkeypatch)
    transport, watch = watched(bridge, ours, fail)
    bridge.rest(transport, 0.001)
    bridge._remove_handle(watch)
    assert [handle.cancelled() for handle in clock.waiting] == [True]

    other = bridge._add_handle(ours.fileno(), READABLE, lambda *_: read.append(ours.recv(100)), None)
    bridge.rest(transport, 0.001)
    assert len(clock.waiting) == 1
    theirs.send(b"at once")
    await turns(3)
    assert read == [b"at once"]
    bridge._remove_handle(other)
    transport.close()


def test_all_that_came_before_an_error_is_read_and_then_the_error(freed: list[object]) -> None:
    """The daemon's own loop tells of an error once."""
    read: list[bytes] = []

    async def killed_with_something_unread() -> None:
        bridge, (ours, theirs) = EventBridge(asyncio.get_running_loop()), socket.socketpair()
        ended = asyncio.Event()

        def callback(watch: int, *_: object) -> None:
            try:
                read.append(ours.recv(1))
            except ConnectionResetError:
                bridge._remove_handle(watch)
                ended.set()

        with ours, theirs:
            bridge._add_handle(ours.fileno(), READABLE, callback, None)
            ours.send(b"a call")
            theirs.send(b"output")
            theirs.close()
            async with asyncio.timeout(DEADLINE):
                await ended.wait()
            await turns(3)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(killed_with_something_unread())
    assert (b"".join(read), len(freed)) == (b"output", 1)
