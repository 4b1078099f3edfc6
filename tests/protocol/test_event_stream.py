"""The events of all consoles against a scripted daemon."""

import contextlib

import pytest

import virtmux
from tests.harness.scripted_daemon import AT, CONSOLE, ScriptedDaemon, playing, reason
from virtmux.following import Disconnected, Reconnected
from virtmux.messages import Done, Event, Watch
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
