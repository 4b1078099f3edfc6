"""The events of all consoles against a scripted daemon."""

import asyncio
import contextlib

import pytest

import virtmux
from tests.harness.scripted_daemon import AT, CONSOLE, ScriptedDaemon, playing, reason
from virtmux.errors import VirtmuxError
from virtmux.event_stream import MAX_EVENTS, EventStream
from virtmux.following import Disconnected, Reconnected
from virtmux.link import Link, open_link
from virtmux.messages import Done, Event, ListConsoles, Refused, Watch, encode
from virtmux.reasons import Cause


async def test_they_begin_anew_after_a_lost_connection(daemon: ScriptedDaemon) -> None:
    appeared = Event(event="appeared", at=AT, console=CONSOLE, offset=0)

    async def script(daemon: ScriptedDaemon) -> None:
        for last in (False, True):
            peer = await daemon.accept()
            asked = await peer.expect(Watch)
            peer.say(appeared, Done(asked.id))
            if last:
                await peer.gone()
            peer.close()

    async with (
        playing(daemon, script),
        virtmux.connect(daemon.path) as mux,
        contextlib.aclosing(mux.events()) as events,
    ):
        first, lost, again, second = [await anext(events) for _ in range(4)]
    assert first == second == appeared
    assert isinstance(lost, Disconnected)
    assert isinstance(again, Reconnected)


async def test_of_two_who_begin_while_there_is_no_connection_one_is_told_so(daemon: ScriptedDaemon) -> None:
    connected = asyncio.Event()
    stream = EventStream()
    ended = VirtmuxError(reason(Cause.SERVER_LOST))

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        await peer.expect(Watch)
        await peer.gone()

    async with playing(daemon, script):
        link = await open_link([daemon.path])

        async def online() -> Link:
            await connected.wait()
            return link

        async def first() -> None:
            async with contextlib.aclosing(stream.events(online)) as events:
                await anext(events)

        both = [asyncio.create_task(first()) for _ in range(2)]
        await asyncio.sleep(0)  # let them begin
        connected.set()
        with pytest.raises(RuntimeError, match="being iterated over already"):
            await both[1]
        stream.fail(ended)
        with pytest.raises(VirtmuxError):
            await both[0]
        await link.close()


async def test_they_end_with_the_connection(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        await peer.expect(Watch)
        peer.goodbye(reason(Cause.EVICTED))

    async with (
        playing(daemon, script),
        virtmux.connect(daemon.path) as mux,
        contextlib.aclosing(mux.events()) as events,
    ):
        with pytest.raises(virtmux.ConnectionLost) as caught:
            await anext(events)
    assert caught.value.reason.cause is Cause.EVICTED


async def test_they_may_be_refused(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(Refused((await peer.expect(Watch)).id, reason(Cause.ACCESS_DENIED)))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        with pytest.raises(virtmux.Refused) as caught:
            await anext(mux.events())
    assert caught.value.reason.cause is Cause.ACCESS_DENIED


async def test_there_is_one_iteration_at_a_time_and_what_comes_without_one_is_dropped(daemon: ScriptedDaemon) -> None:
    first, second = (Event(event="appeared", at=AT, console=CONSOLE, offset=offset) for offset in (1, 2))

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(Done((await peer.expect(Watch)).id), first)
        peer.say(first, Done((await peer.expect(ListConsoles)).id))
        peer.say(Done((await peer.expect(Watch)).id), second)
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        async with contextlib.aclosing(mux.events()) as events:
            assert await anext(events) == first
            with pytest.raises(RuntimeError, match="being iterated over already"):
                await anext(mux.events())
        await mux.consoles()
        async with contextlib.aclosing(mux.events()) as events:
            assert await anext(events) == second


async def test_too_many_that_wait_end_the_iteration_behind_them(daemon: ScriptedDaemon) -> None:
    event = Event(event="appeared", at=AT, console=CONSOLE, offset=0)

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        await peer.pour(Done((await peer.expect(Watch)).id), encode(event) * (MAX_EVENTS + 2))
        peer.say(Done((await peer.expect(ListConsoles)).id))
        await peer.gone()

    async with (
        playing(daemon, script),
        virtmux.connect(daemon.path) as mux,
        contextlib.aclosing(mux.events()) as events,
    ):
        assert await anext(events) == event
        await mux.consoles()
        told = 1
        with pytest.raises(virtmux.TooSlow) as caught:
            async for _ in events:
                told += 1
    assert MAX_EVENTS <= told < MAX_EVENTS + 2
    assert caught.value.reason.cause is Cause.TOO_SLOW
