"""What the asyncio client asks about the past, against a scripted daemon."""

import pytest

import virtmux
from tests.harness.scripted_daemon import (
    AT,
    CONSOLE,
    HANDLE,
    HISTORY,
    OTHER_HISTORY,
    ScriptedDaemon,
    place,
    playing,
    reason,
)
from virtmux.messages import (
    Attach,
    Done,
    Event,
    Forget,
    Histories,
    History,
    HistoryInfo,
    Lag,
    Marks,
    PlaceEnded,
    Refused,
    Stored,
    Time,
)
from virtmux.reasons import Cause
from virtmux.wire import Output

INFO = HistoryInfo(
    console=CONSOLE,
    start=f"{HISTORY}:0:1",
    end=f"{HISTORY}:9:2",
    since=AT,
    until=AT,
    current=True,
    stored="disk",
    size=100,
)
MARK = Event(event="note", at=AT, console=CONSOLE, offset=3, mark=1, note="paused")


async def test_histories_are_asked_for_by_name(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Histories)
        assert asked == Histories(asked.id, "web1", "serial0", "qemu:///system")
        peer.say(History(asked.id, INFO), History(asked.id, INFO), Done(asked.id))
        asked = await peer.expect(Histories)
        assert asked == Histories(asked.id)
        peer.say(Done(asked.id))

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        assert await mux.histories("web1", "serial0", uri="qemu:///system") == [INFO, INFO]
        assert await mux.histories() == []


async def test_marks_are_asked_for_since_a_time(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Marks)
        assert asked == Marks(asked.id, "web1", "serial0", CONSOLE.uri, AT)
        peer.say(Stored(asked.id, HISTORY, MARK), Done(asked.id))

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        (stored,) = await mux.marks("web1", "serial0", uri=CONSOLE.uri, since=AT)

        assert (stored.history, stored.event) == (HISTORY, MARK)


async def test_what_is_asked_is_asked_anew_after_a_lost_connection_and_answered_once(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Marks)
        peer.say(Stored(asked.id, HISTORY, MARK))
        peer.close()
        peer = await daemon.accept()
        asked = await peer.expect(Marks)
        peer.say(Stored(asked.id, HISTORY, MARK), Done(asked.id))

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        assert len(await mux.marks("web1")) == 1


async def test_to_forget_is_done_or_refused(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Forget)
        assert asked == Forget(asked.id, "web1", "serial0", CONSOLE.uri)
        peer.say(Done(asked.id))
        peer.say(Refused((await peer.expect(Forget)).id, reason(Cause.CONSOLE_MISSING)))

    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        await mux.forget("web1", "serial0", uri=CONSOLE.uri)
        with pytest.raises(virtmux.Refused) as caught:
            await mux.forget("web1")
        assert caught.value.reason.cause is Cause.CONSOLE_MISSING


async def test_a_place_is_asked_for_with_all_that_is_wished(daemon: ScriptedDaemon) -> None:
    lag = Lag(65536, 2.5, "leave")

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        assert asked == Attach(asked.id, "web1", replay="bytes:100", hold=False, timed=True, lag=lag)
        peer.say(place(asked.id, position=f"{HISTORY}:5:1", end=f"{HISTORY}:9:1"), Time(HANDLE, 5, AT))
        peer.output(b"tail", at=5)
        peer.say(PlaceEnded(HANDLE, reason(Cause.TOO_SLOW)))

    async with (
        playing(daemon, script),
        virtmux.connect(daemon.path) as mux,
        mux.attach("web1", replay="bytes:100", hold=False, timed=True, lag=lag) as console,
    ):
        records = [record async for record in console]

    assert records[:2] == [Time(HANDLE, 5, AT), Output(HANDLE, 5, b"tail")]
    assert isinstance(records[2], PlaceEnded)
    assert records[2].reason.cause is Cause.TOO_SLOW


async def test_a_replay_is_not_asked_for_again_after_a_lost_connection(daemon: ScriptedDaemon) -> None:
    lag = Lag(65536, 2.5, "gap")

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        peer.say(place((await peer.expect(Attach)).id, position=f"{HISTORY}:5:1", end=f"{HISTORY}:9:1"))
        peer.output(b"ta", at=5)
        peer.close()
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        assert (asked.replay, asked.position) == (None, f"{HISTORY}:7:1")
        assert (asked.hold, asked.timed, asked.lag) == (True, True, lag)
        peer.say(place(asked.id, position=f"{HISTORY}:7:1", end=f"{HISTORY}:9:1"))
        peer.output(b"il", at=7)

    async with (
        playing(daemon, script),
        virtmux.connect(daemon.path) as mux,
        mux.attach("web1", replay="all", timed=True, lag=lag) as console,
    ):
        data = b""
        while len(data) < 4:
            record = await anext(console)
            data += record.data if isinstance(record, Output) else b""

    assert data == b"tail"


async def test_a_place_in_a_history_that_is_only_stored_is_taken_up_again(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        for at in (0, 2):
            peer = await daemon.accept()
            asked = await peer.expect(Attach)
            assert (asked.position, asked.hold) == (f"{OTHER_HISTORY}:{at}:1", False)
            peer.say(place(asked.id, position=f"{OTHER_HISTORY}:{at}:1", end=f"{OTHER_HISTORY}:4:1"))
            peer.output(b"ol", at=at)
            peer.close()

    async with (
        playing(daemon, script),
        virtmux.connect(daemon.path, reconnect_for=5) as mux,
        mux.attach("web1", position=f"{OTHER_HISTORY}:0:1", hold=False) as console,
    ):
        data = b""
        while len(data) < 4:
            record = await anext(console)
            data += record.data if isinstance(record, Output) else b""
