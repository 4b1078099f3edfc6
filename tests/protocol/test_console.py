"""A place at a console against a scripted daemon: its records in order, and what waits to be taken."""

import asyncio

import pytest

import virtmux
from tests.harness.scripted_daemon import AT, HANDLE, HISTORY, ScriptedDaemon, attached, place, playing, reason, taken
from virtmux.console_place import MOST_UNREAD, PAUSE_ABOVE, RESUME_BELOW
from virtmux.messages import Attach, Detach, Done, Flow, Gap, ListConsoles, MarkMessage, PlaceEnded
from virtmux.reasons import Cause
from virtmux.records import Attached
from virtmux.wire import Output, encode_output


async def test_records_come_in_order_and_the_position_follows_what_was_taken(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.output(b"one", at=0)
        peer.attached(1, at=3, attachment=1)
        peer.say(Gap(HANDLE, 3, 2, 10, 5))
        peer.say(PlaceEnded(HANDLE, reason(Cause.EVICTED)))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        records, positions = [], [str(console.position)]
        async for record in console:
            records.append(record)
            positions.append(str(console.position))
    assert records == [
        Output(HANDLE, 0, b"one"),
        MarkMessage(HANDLE, 3, 1, Attached(AT, 1, 1)),
        Gap(HANDLE, 3, 2, 10, 5),
        PlaceEnded(HANDLE, reason(Cause.EVICTED)),
    ]
    assert positions == [f"{HISTORY}:{rest}" for rest in ("0:1", "3:1", "3:2", "10:5", "10:5")]


async def test_a_console_that_is_not_read_is_paused_and_goes_on_when_it_is(daemon: ScriptedDaemon) -> None:
    most = [65536, 65536, 65536, 1, RESUME_BELOW - 1]
    assert sum(most) == PAUSE_ABOVE

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        for index, size in enumerate(most):
            await peer.pour(encode_output(HANDLE, sum(most[:index]), bytes(size)))
        peer.say(Done((await peer.expect(ListConsoles)).id))
        asked = await peer.expect(ListConsoles)
        peer.output(b"x", at=PAUSE_ABOVE)
        peer.say(Done(asked.id))
        assert await peer.expect(Flow) == Flow(HANDLE, paused=True)
        peer.say(Done((await peer.expect(ListConsoles)).id))
        assert await peer.expect(Flow) == Flow(HANDLE, paused=False)
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        for _ in range(2):
            await mux.consoles()
        await taken(console, 3)
        await mux.consoles()
        await taken(console, 1)


async def test_a_daemon_that_does_not_hold_back_breaks_the_protocol(daemon: ScriptedDaemon) -> None:
    count = MOST_UNREAD // 65536 + 1

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        for index in range(count):
            await peer.pour(encode_output(HANDLE, index * 65536, bytes(65536)))
        heard = [await peer.hear(), await peer.hear()]
        peer.say(*(Done(asked.id) for asked in heard if isinstance(asked, ListConsoles)))
        await peer.expect(ListConsoles)
        peer.output(b"x", at=count * 65536)
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        await mux.consoles()
        with pytest.raises(virtmux.ConnectionLost, match=f"records of console {HANDLE}, which is paused") as caught:
            await mux.consoles()
        assert caught.value.reason.cause is Cause.PROTOCOL_ERROR
        *_, last = [record async for record in console]
        assert isinstance(last, PlaceEnded)


async def test_broken_protocol_ends_every_place_with_its_reason(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.output(b"x", at=99)
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        [last] = [record async for record in console]
        assert isinstance(last, PlaceEnded)
        assert last.reason.cause is Cause.PROTOCOL_ERROR
        with pytest.raises(virtmux.ConnectionLost):
            await mux.consoles()


async def test_a_place_that_is_left_while_it_is_asked_for_again_is_given_back(daemon: ScriptedDaemon) -> None:
    asked_again = asyncio.Event()

    async def script(daemon: ScriptedDaemon) -> None:
        (await attached(daemon)).close()
        peer = await daemon.accept()
        again = await peer.expect(Attach)
        asked_again.set()
        listing = await peer.expect(ListConsoles)
        peer.say(place(again.id), Done(listing.id))
        assert (await peer.expect(Detach)).console == HANDLE
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        async with mux.attach("web1"):
            await asked_again.wait()
        await mux.consoles()
