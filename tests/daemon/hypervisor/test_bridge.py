"""The event bridge: what libvirt asks for from any thread happens on the loop, in order. No libvirt is involved, but
for the one test that lets it do the asking."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count

import libvirt
import libvirtaio
import pytest
import uvloop

from tests.harness.turns import turns
from virtmuxd.hypervisor import bridge as bridge_module
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.transport import Transport

READABLE, WRITABLE = libvirt.VIR_EVENT_HANDLE_READABLE, libvirt.VIR_EVENT_HANDLE_WRITABLE
DEADLINE = 10.0


@pytest.fixture
def freed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What libvirt was told to free."""
    freed: list[object] = []
    monkeypatch.setattr(bridge_module, "virEventInvokeFreeCallback", freed.append)
    return freed


@pytest.fixture
async def bridge(freed: list[object]) -> EventBridge:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)  # then a call from another thread raises
    return EventBridge(loop)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def in_thread(work: Callable[[], object]) -> None:
    """Do it in another thread; the loop goes on meanwhile."""
    async with asyncio.timeout(DEADLINE):
        await asyncio.to_thread(work)


def ignore(*_: object) -> None:
    """A callback that is not looked at."""


def fail(*_: object) -> None:
    pytest.fail("a callback that was removed was called")


# Handles.


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_readable_file_calls_back_with_what_libvirt_gave(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket], threaded: bool
) -> None:
    ours, theirs = pair
    called: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()
    watches: list[int] = []

    def add() -> None:
        watches.append(bridge._add_handle(ours.fileno(), READABLE, lambda *args: called.put_nowait(args), "opaque"))

    if threaded:
        await in_thread(add)
    else:
        add()
    theirs.send(b"x")

    async with asyncio.timeout(DEADLINE):
        assert await called.get() == (watches[0], ours.fileno(), READABLE, "opaque")
    bridge._remove_handle(watches[0])


async def test_each_has_an_id_of_its_own_at_once(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket]
) -> None:
    ids: list[int] = []

    def work() -> None:
        for _ in range(100):
            ids.append(bridge._add_handle(pair[0].fileno(), 0, ignore, None))
            ids.append(bridge._add_timeout(-1, ignore, None))

    await asyncio.gather(*(in_thread(work) for _ in range(8)))

    assert len(set(ids)) == 1600
    await turns(3)
    assert len(bridge.callbacks) == 1600


async def test_none_has_the_number_0_by_which_a_local_stream_of_libvirt_knows_that_it_has_none(
    monkeypatch: pytest.MonkeyPatch, freed: list[object], pair: tuple[socket.socket, socket.socket]
) -> None:
    monkeypatch.setattr(libvirtaio.Callback, "_iden_counter", count())
    bridge = EventBridge(asyncio.get_running_loop())

    watch = bridge._add_handle(pair[0].fileno(), READABLE, ignore, None)

    assert watch != 0
    bridge._remove_handle(watch)


async def test_changes_from_a_thread_keep_their_order(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket], freed: list[object]
) -> None:
    ours, theirs = pair
    theirs.send(b"x")

    def work() -> None:
        for number in range(50):
            watch = bridge._add_handle(ours.fileno(), READABLE, fail, number)
            bridge._update_handle(watch, WRITABLE)
            bridge._update_handle(watch, 0)
            assert bridge._remove_handle(watch) == 0
            timer = bridge._add_timeout(-1, fail, 100 + number)
            bridge._update_timeout(timer, 60000)
            assert bridge._remove_timeout(timer) == 0

    # The loop stands still meanwhile, so that everything is carried out together.
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(DEADLINE)
    await turns(10)

    assert freed == [number + base for number in range(50) for base in (0, 100)]
    assert (bridge.callbacks, dict(bridge.descriptors)) == ({}, {})


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_removed_handle_never_calls_back(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket], threaded: bool, freed: list[object]
) -> None:
    ours, theirs = pair
    watch = bridge._add_handle(ours.fileno(), READABLE, fail, "opaque")

    if threaded:
        thread = threading.Thread(target=bridge._remove_handle, args=(watch,))
        thread.start()
        thread.join(DEADLINE)
        await turns(3)
    else:
        bridge._remove_handle(watch)
    theirs.send(b"x")
    await turns(10)

    assert freed == ["opaque"]


async def test_a_handle_may_remove_itself_and_another_while_it_is_called(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket], freed: list[object]
) -> None:
    ours, theirs = pair
    called: list[int] = []
    watches: list[int] = []

    def callback(watch: int, *_: object) -> None:
        called.append(watch)
        for each in watches:
            bridge._remove_handle(each)

    watches += [bridge._add_handle(ours.fileno(), READABLE, callback, None) for _ in range(2)]
    theirs.send(b"x")
    await turns(10)

    assert set(called) <= set(watches)
    assert called[:1] == watches[:1]
    assert len(freed) == 2
    assert bridge.is_idle()


async def test_two_handles_of_one_file_want_different_things(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    called: list[str] = []
    reader = bridge._add_handle(ours.fileno(), READABLE, lambda *_: called.append("read"), None)
    writer = bridge._add_handle(ours.fileno(), WRITABLE, lambda *_: called.append("write"), None)
    await turns(3)
    assert set(called) == {"write"}

    bridge._update_handle(writer, 0)
    called.clear()
    theirs.send(b"x")
    await turns(3)
    assert set(called) == {"read"}

    bridge._remove_handle(writer)
    called.clear()
    await turns(3)
    assert set(called) == {"read"}
    bridge._remove_handle(reader)


@pytest.mark.parametrize("act", [lambda bridge: bridge._remove_handle(77), lambda bridge: bridge._update_handle(77, 1)])
async def test_a_handle_that_is_not_known_is_no_harm(bridge: EventBridge, act: Callable[[EventBridge], object]) -> None:
    act(bridge)

    assert bridge.is_idle()


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
    monkeypatch.setattr(bridge_module, "_MESSAGES", 10)
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


def test_a_transport_takes_more_as_long_as_its_socket_has_room() -> None:
    ours, theirs = socket.socketpair()
    transport = Transport()
    assert not transport.takes_more()
    with ours, theirs:
        ours.setblocking(False)
        transport.add(ours.fileno(), 0)
        assert transport.takes_more()

        with suppress(BlockingIOError):
            while True:
                ours.send(bytes(4096))
        assert not transport.takes_more()

        transport.close()
        assert not transport.takes_more()


def test_a_transport_whose_peer_is_gone_takes_nothing() -> None:
    ours, theirs = socket.socketpair()
    transport = Transport()
    with ours:
        transport.add(ours.fileno(), 0)
        theirs.close()
        assert not transport.takes_more()
    transport.close()


# Timers.


@pytest.mark.parametrize("milliseconds", [0, 1])
@pytest.mark.parametrize("threaded", [False, True])
async def test_a_timer_calls_again_and_again_until_it_is_stopped(
    bridge: EventBridge, milliseconds: int, threaded: bool
) -> None:
    called: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()
    timers: list[int] = []

    def add() -> None:
        timers.append(bridge._add_timeout(milliseconds, lambda *args: called.put_nowait(args), "opaque"))

    if threaded:
        await in_thread(add)
    else:
        add()
    async with asyncio.timeout(DEADLINE):
        for _ in range(3):
            assert await called.get() == (timers[0], "opaque")

    bridge._update_timeout(timers[0], -1)
    while not called.empty():
        called.get_nowait()
    await turns(10)
    assert called.empty()

    bridge._update_timeout(timers[0], 0)
    async with asyncio.timeout(DEADLINE):
        await called.get()
    bridge._remove_timeout(timers[0])


async def test_a_timer_that_is_off_does_not_call(bridge: EventBridge) -> None:
    timer = bridge._add_timeout(-1, fail, None)
    await turns(10)
    bridge._remove_timeout(timer)


async def test_a_timer_may_stop_itself_while_it_is_called(bridge: EventBridge) -> None:
    called: list[int] = []

    def callback(timer: int, _: object) -> None:
        called.append(timer)
        bridge._update_timeout(timer, -1)

    timer = bridge._add_timeout(0, callback, None)
    await turns(10)

    assert called == [timer]
    bridge._remove_timeout(timer)


async def test_a_timer_may_remove_itself_while_it_is_called(bridge: EventBridge, freed: list[object]) -> None:
    called: list[int] = []

    def callback(timer: int, _: object) -> None:
        called.append(timer)
        bridge._remove_timeout(timer)

    timer = bridge._add_timeout(0, callback, "opaque")
    await turns(10)

    assert (called, freed) == ([timer], ["opaque"])
    assert bridge.is_idle()


async def test_a_timer_that_is_set_again_while_it_is_called_calls_once_a_turn(bridge: EventBridge) -> None:
    called: list[int] = []

    def callback(timer: int, _: object) -> None:
        called.append(timer)
        bridge._update_timeout(timer, 0)

    timer = bridge._add_timeout(0, callback, None)
    await turns(10)

    assert 5 <= len(called) <= 11
    bridge._remove_timeout(timer)


# The end.


async def test_freeing_waits_for_a_later_turn(bridge: EventBridge, freed: list[object]) -> None:
    bridge._remove_timeout(bridge._add_timeout(-1, ignore, "opaque"))
    assert freed == []

    await turns(1)
    assert freed == ["opaque"]


async def test_draining_waits_until_everything_is_freed(bridge: EventBridge, freed: list[object]) -> None:
    timers = [bridge._add_timeout(-1, ignore, number) for number in range(3)]
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        drained = tasks.create_task(bridge.drain())
        await turns(3)
        assert not drained.done()
        for timer in timers:
            await in_thread(lambda timer=timer: bridge._remove_timeout(timer))  # type: ignore[misc]
    assert sorted(map(str, freed)) == ["0", "1", "2"]
    assert bridge.is_idle()


async def test_draining_an_idle_bridge_returns_at_once(bridge: EventBridge) -> None:
    await bridge.drain()


async def test_many_threads_at_once_leave_nothing_behind(bridge: EventBridge, freed: list[object]) -> None:
    def work() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            for _ in range(100):
                watch = bridge._add_handle(ours.fileno(), READABLE, ignore, None)
                timer = bridge._add_timeout(0, ignore, None)
                bridge._update_timeout(timer, 1)
                bridge._update_handle(watch, READABLE | WRITABLE)
                bridge._remove_timeout(timer)
                bridge._remove_handle(watch)
            done.wait(DEADLINE)  # libvirt keeps a file open until it is told to free it

    done = threading.Event()
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(in_thread(work))
        while len(freed) < 800:
            await asyncio.sleep(0)
        done.set()
    assert bridge.is_idle()


# Transports: the cut.


def test_the_cut_makes_a_blocked_call_return() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = Transport()
        transport.add(ours.fileno(), 0)
        received: list[bytes] = []
        thread = threading.Thread(target=lambda: received.append(ours.recv(1)))
        thread.start()

        transport.cut()

        thread.join(DEADLINE)
        assert received == [b""]
        assert transport.was_cut
        transport.close()


def test_a_socket_that_is_added_behind_the_cut_is_cut_too() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = Transport()
        transport.cut()

        transport.add(ours.fileno(), 0)

        assert ours.recv(1) == b""
        transport.close()


def test_the_cut_leaves_files_that_are_no_sockets_and_the_connections_own_descriptor(
    pair: tuple[socket.socket, socket.socket], tmp_path_factory: pytest.TempPathFactory
) -> None:
    transport = Transport()
    with (tmp_path_factory.mktemp("files") / "file").open("w") as file:
        transport.add(file.fileno(), 0)
        transport.cut()
        transport.close()
        file.write("still open")
    transport.add(pair[0].fileno(), 0)
    transport.close()
    assert pair[0].fileno() >= 0


def test_a_transport_that_is_closed_keeps_no_descriptor() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            transport = Transport()
            transport.add(ours.fileno(), 0)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)

        transport.close()

        assert theirs.recv(1) == b""


async def test_sockets_belong_to_the_connection_that_their_thread_opens(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    transport = Transport()

    def work() -> None:
        with bridge.opening(transport):
            watches.append(bridge._add_handle(ours.fileno(), 0, ignore, None))
        watches.append(bridge._add_handle(theirs.fileno(), 0, ignore, None))

    watches: list[int] = []
    await in_thread(work)
    transport.cut()

    # Only ours was shut, so the other end may still send to nobody, and hears the end.
    assert theirs.recv(1) == b""
    for watch in watches:
        bridge._remove_handle(watch)
    transport.close()
    await turns(3)
