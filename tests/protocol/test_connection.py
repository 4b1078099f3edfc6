"""A connection that is lost and made again, against a scripted daemon: what lasts, and what is told of it."""

import asyncio
import gc
import weakref
from pathlib import Path

import pytest

import virtmux
from tests.harness.scripted_daemon import (
    CONSOLE,
    HANDLE,
    HISTORY,
    MEASURED,
    OTHER_HISTORY,
    ScriptedDaemon,
    attached,
    place,
    playing,
    reason,
    taken,
)
from virtmux.features import Feature
from virtmux.following import Disconnected, Resumed
from virtmux.messages import (
    Attach,
    Detach,
    Done,
    Guest,
    ListConsoles,
    MetricsText,
    OpenMetrics,
    PlaceEnded,
    Refused,
    StatisticsMessage,
    Status,
)
from virtmux.reasons import Cause
from virtmux.records import Position
from virtmux.wire import Input, Output


async def test_nothing_twice_and_nothing_missing_over_a_daemons_restart(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.output(b"abc", at=0)
        peer.attached(1, at=3)
        daemon.stop()
        async with daemon:
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            where = f"{HISTORY}:3:2"
            assert asked == Attach(asked.id, CONSOLE.uuid, CONSOLE.device, CONSOLE.uri, where)
            peer.say(place(asked.id, console=1, position=where))
            peer.output(b"def", at=3, handle=1)
            await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        records = await taken(console, 5)
    assert b"".join(record.data for record in records if isinstance(record, Output)) == b"abcdef"
    lost, resumed = records[2:4]
    assert isinstance(lost, Disconnected)
    assert (lost.reason.cause, lost.reason.offset, lost.reason.console) == (Cause.SERVER_LOST, 3, CONSOLE)
    assert lost.reason.retry.will_retry
    assert isinstance(resumed, Resumed)
    assert resumed.continuous


async def test_the_proof_of_the_place_goes_with_the_position(daemon: ScriptedDaemon) -> None:
    proofs: list[str | None] = []

    async def script(daemon: ScriptedDaemon) -> None:
        for proof in ("1:1:ab", "1:1:cd", None):
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            proofs.append(asked.proof)
            peer.say(place(asked.id, position=f"{HISTORY}:0:1", proof=proof))
            if proof is None:
                await peer.gone()
            else:
                peer.close()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        await taken(console, 4)
    assert proofs == [None, "1:1:ab", "1:1:cd"]


async def test_another_history_is_named(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        (await attached(daemon)).goodbye(reason(Cause.SERVER_STOPPING))
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        peer.say(place(asked.id, position=f"{OTHER_HISTORY}:0:1", missing=True))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        lost, resumed = await taken(console, 2)
        assert isinstance(lost, Disconnected)
        assert lost.reason.cause is Cause.SERVER_STOPPING
        assert isinstance(resumed, Resumed)
        assert not resumed.continuous
        assert resumed.asked == Position(HISTORY, 0, 1)
        assert console.position == Position(OTHER_HISTORY, 0, 1)


async def test_what_was_received_and_not_taken_is_kept_and_not_asked_for_again(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.output(b"abc", at=0)
        peer.say(Done((await peer.expect(ListConsoles)).id))
        peer.close()
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        assert asked.position == f"{HISTORY}:3:1"
        peer.say(place(asked.id, position=asked.position), Done((await peer.expect(ListConsoles)).id))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        await mux.consoles()
        await mux.consoles()
        assert console.position.offset == 0
        assert [type(record) for record in await taken(console, 3)] == [Output, Disconnected, Resumed]


@pytest.mark.parametrize("cause", [Cause.EVICTED, Cause.TOO_SLOW, Cause.IDLE, Cause.PROTOCOL_ERROR])
async def test_a_client_that_was_sent_away_stays_away(daemon: ScriptedDaemon, cause: Cause) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        (await attached(daemon)).goodbye(reason(cause))

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        [last] = [record async for record in console]
        assert isinstance(last, PlaceEnded)
        assert last.reason.cause is cause


async def test_a_goodbye_is_read_although_writing_has_failed(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        await peer.expect(Input)
        peer.goodbye(reason(Cause.EVICTED))

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        with pytest.raises(virtmux.InputRejected) as caught:
            await console.write(bytes(65536))
        assert caught.value.reason.cause is Cause.EVICTED


async def test_what_is_done_to_a_guest_is_not_asked_again(tmp_path: Path) -> None:
    daemon = ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.GUEST])

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        await peer.expect(Guest)
        daemon.stop()
        async with daemon:
            peer = await daemon.accept()
            peer.say(Done((await peer.expect(ListConsoles)).id))
            await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        with pytest.raises(virtmux.ConnectionLost, match="`nmi` may have been done"):
            await mux.guest("web1", "nmi")
        assert await mux.consoles() == []


async def test_what_the_daemon_measures_is_asked_for_again_where_the_connection_was_lost(tmp_path: Path) -> None:
    daemon = ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.STATISTICS])

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = (await peer.expect(OpenMetrics)).id
        peer.say(MetricsText(asked, "half"))
        daemon.stop()
        async with daemon:
            peer = await daemon.accept()
            asked = (await peer.expect(OpenMetrics)).id
            peer.say(MetricsText(asked, "a "), MetricsText(asked, "text"), Done(asked))
            asked = (await peer.expect(Status)).id
            peer.say(StatisticsMessage(asked, MEASURED), Done(asked))
            await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        assert await mux.openmetrics() == "a text"
        assert await mux.statistics() == MEASURED


async def test_a_place_that_is_refused_again_ends_with_that_reason(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        (await attached(daemon)).close()
        peer = await daemon.accept()
        peer.say(Refused((await peer.expect(Attach)).id, reason(Cause.CONSOLE_MISSING)))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        _, last = [record async for record in console]
        assert isinstance(last, PlaceEnded)
        assert last.reason.cause is Cause.CONSOLE_MISSING


async def test_a_request_survives_a_lost_connection(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        await peer.expect(ListConsoles)
        peer.close()
        peer = await daemon.accept()
        peer.say(Done((await peer.expect(ListConsoles)).id))

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        assert await mux.consoles() == []


async def test_after_a_migration_a_console_is_asked_for_where_it_goes_on(daemon: ScriptedDaemon) -> None:
    there = "qemu+ssh://b/system"

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.ended(1, reason(Cause.GUEST_MIGRATED, will_retry=True, moved_to=there), at=0)
        peer.attached(2, at=0)
        peer.close()
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        assert (asked.domain, asked.uri) == (CONSOLE.uuid, there)
        peer.say(place(asked.id, position=asked.position))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        *_, last = await taken(console, 4)
        assert isinstance(last, Resumed)


async def test_a_place_that_is_asked_for_again_while_the_connection_is_lost_again_is_lost_once(
    daemon: ScriptedDaemon,
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        (await attached(daemon)).close()
        peer = await daemon.accept()
        await peer.expect(Attach)
        peer.close()
        await (await attached(daemon)).gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        assert [type(record) for record in await taken(console, 2)] == [Disconnected, Resumed]


async def test_a_place_that_cannot_be_given_yet_is_asked_for_until_it_is(
    daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtmux.connection._LONGEST_WAIT_S", 0.01)

    async def script(daemon: ScriptedDaemon) -> None:
        (await attached(daemon)).close()
        peer = await daemon.accept()
        for _ in range(2):
            peer.say(Refused((await peer.expect(Attach)).id, reason(Cause.HYPERVISOR_LOST)))
        peer.say(place((await peer.expect(Attach)).id))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        assert [type(record) for record in await taken(console, 2)] == [Disconnected, Resumed]


async def test_a_place_that_is_left_while_it_is_asked_for_again_is_given_back(daemon: ScriptedDaemon) -> None:
    asked_again, left, given_back = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def script(daemon: ScriptedDaemon) -> None:
        (await attached(daemon)).close()
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        asked_again.set()
        await left.wait()
        peer.say(place(asked.id))
        assert (await peer.expect(Detach)).console == HANDLE
        given_back.set()
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        async with mux.attach("web1"):
            await asked_again.wait()
        left.set()
        await given_back.wait()


async def test_a_place_that_has_ended_is_not_asked_for_again(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await attached(daemon)
        peer.say(PlaceEnded(HANDLE, reason(Cause.GUEST_UNDEFINED)))
        peer.close()
        peer = await daemon.accept()
        peer.say(Done((await peer.expect(ListConsoles)).id))
        await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux, mux.attach("web1") as console:
        assert [type(record) async for record in console] == [PlaceEnded]
        assert await mux.consoles() == []


async def test_a_place_that_was_left_is_not_kept(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await attached(daemon)).gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        async with mux.attach("web1") as console:
            place = weakref.ref(console._place)
        del console
        gc.collect()
        assert place() is None


async def test_its_one_task_is_told_by_its_name(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        await (await daemon.accept()).gone()

    async with playing(daemon, script), virtmux.connect(daemon.path):
        assert "virtmux-connection" in {task.get_name() for task in asyncio.all_tasks()}


async def test_what_the_daemon_knows_is_what_the_last_one_said(tmp_path: Path) -> None:
    daemon = ScriptedDaemon(tmp_path / "virtmux.sock", features=[Feature.WHO])

    async def script(daemon: ScriptedDaemon) -> None:
        await daemon.accept()
        daemon.stop()
        async with ScriptedDaemon(daemon.path, features=[Feature.FORCE]) as newer:
            peer = await newer.accept()
            peer.say(Done((await peer.expect(ListConsoles)).id))
            await peer.gone()

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        assert mux.features == {Feature.WHO}
        await mux.consoles()
        assert mux.features == {Feature.FORCE}
    assert virtmux.connect(daemon.path).features == frozenset()


async def test_cancelled_within_it_a_task_leaves_as_cancelled(daemon: ScriptedDaemon) -> None:
    inside = asyncio.Event()

    async def script(daemon: ScriptedDaemon) -> None:
        await (await daemon.accept()).gone()

    async def stays() -> None:
        async with virtmux.connect(daemon.path):
            inside.set()
            await asyncio.Event().wait()

    async with playing(daemon, script), asyncio.TaskGroup() as tasks:
        staying = tasks.create_task(stays())
        await inside.wait()
        staying.cancel()
    assert staying.cancelled()
