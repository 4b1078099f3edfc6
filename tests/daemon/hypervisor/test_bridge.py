"""The event bridge: what libvirt asks for from any thread happens on the loop, in order. No libvirt is involved."""

import asyncio
import socket
import threading
from collections.abc import Callable
from itertools import count

import libvirtaio
import pytest

from tests.harness.bridge import DEADLINE, READABLE, WRITABLE, fail, ignore, in_thread
from tests.harness.turns import turns
from virtmuxd.hypervisor.bridge import EventBridge
from virtmuxd.hypervisor.transport import Transport


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


async def test_what_is_left_behind_says_what_it_is(
    bridge: EventBridge, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, _ = pair
    watch, timer = bridge._add_handle(ours.fileno(), READABLE, ignore, None), bridge._add_timeout(60000, ignore, None)
    assert f"fd={ours.fileno()} event={READABLE}" in repr(bridge.callbacks[watch])
    assert f"iden={timer} milliseconds=60000" in repr(bridge.callbacks[timer])
    bridge._remove_handle(watch)
    bridge._remove_timeout(timer)


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
