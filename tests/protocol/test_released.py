"""A console that is let go while a client is connected, against a scripted daemon: anew after a lost connection."""

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager

import pytest

import virtmux
from tests.harness.scripted_daemon import Peer, ScriptedDaemon, playing, reason
from virtmux.following import Disconnected
from virtmux.messages import Done, ListConsoles, Reclaim, Refused, Release, Watch
from virtmux.reasons import Cause


async def lets_go(daemon: ScriptedDaemon) -> Peer:
    """A client that has asked to have a console released while it is connected, and was answered."""
    peer = await daemon.accept()
    asked = await peer.expect(Release)
    assert asked == Release(asked.id, "web1", "serial1", "qemu:///system", while_connected=True)
    peer.say(Done(asked.id))
    return peer


def let_go(mux: virtmux.Client) -> AbstractAsyncContextManager[None]:
    """What such a client does."""
    return mux.released("web1", "serial1", uri="qemu:///system")


async def test_a_release_for_a_while_is_asked_for_anew_after_a_lost_connection(daemon: ScriptedDaemon) -> None:
    again = asyncio.Event()

    async def script(daemon: ScriptedDaemon) -> None:
        (await lets_go(daemon)).close()
        peer = await lets_go(daemon)
        again.set()
        peer.say(Done((await peer.expect(ListConsoles)).id))
        reclaimed = await peer.expect(Reclaim)
        assert reclaimed == Reclaim(reclaimed.id, "web1", "serial1", "qemu:///system", while_connected=True)
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, let_go(mux):
        await again.wait()
        await mux.consoles()


async def test_a_release_that_was_refused_gives_no_other_one_back(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await lets_go(daemon)
        peer.say(Refused((await peer.expect(Release)).id, reason(Cause.HYPERVISOR_TIMEOUT)))
        peer.say(Done((await peer.expect(ListConsoles)).id))
        await peer.expect(Reclaim)
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, let_go(mux):
        with pytest.raises(virtmux.Refused):
            async with mux.released("web1"):
                pass
        await mux.consoles()


async def test_a_release_that_nobody_waits_for_any_more_is_given_back(daemon: ScriptedDaemon) -> None:
    asked = asyncio.Event()

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        await peer.expect(Release)
        asked.set()
        await peer.expect(Reclaim)
        await peer.gone()

    async def release(mux: virtmux.Client) -> None:
        async with mux.released("web1"):
            pass

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, asyncio.TaskGroup() as tasks:
        releasing = tasks.create_task(release(mux))
        await asked.wait()
        releasing.cancel()


async def test_a_release_that_is_over_while_there_is_no_connection_is_not_asked_for_anew(
    daemon: ScriptedDaemon,
) -> None:
    over = asyncio.Event()

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await lets_go(daemon)
        peer.say(Done((await peer.expect(Watch)).id))
        daemon.stop()
        await over.wait()
        async with daemon:
            peer = await daemon.accept()
            peer.say(Done((await peer.expect(ListConsoles)).id))
            await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        async with let_go(mux), contextlib.aclosing(mux.events()) as events:
            assert isinstance(await anext(events), Disconnected)
        over.set()
        assert await mux.consoles() == []
