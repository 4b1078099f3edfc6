"""`virtmux log` on what the daemon tells, against a scripted one."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

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
from virtmux.errors import ConnectionLost
from virtmux.messages import Attach, Done, Event, HistoryInfo, Marks, PlaceEnded, Stored, Time
from virtmux.messages import Gap as GapMessage
from virtmux.reasons import Cause
from virtmux.records import Note, Position, parse_time
from virtmux_cli.log.from_daemon import DaemonSource
from virtmux_cli.log.records import Chunk, Gap, History, LastLines, Marked, Record, Since, Start

NOW = HistoryInfo(
    console=CONSOLE,
    start=f"{HISTORY}:0:1",
    end=f"{HISTORY}:9:2",
    since=AT,
    until=None,
    current=True,
    stored="disk",
    size=100,
)
THEN = replace(NOW, start=f"{OTHER_HISTORY}:5:2", end=f"{OTHER_HISTORY}:9:3", current=False)
Script = Callable[[ScriptedDaemon], Coroutine[Any, Any, None]]


@asynccontextmanager
async def asking(daemon: ScriptedDaemon, script: Script) -> AsyncIterator[DaemonSource]:
    async with playing(daemon, script), virtmux.connect(daemon.path) as mux:
        yield DaemonSource(mux, [THEN, NOW])


async def read(source: DaemonSource, history: str, start: Start, *, follow: bool = False) -> list[Record]:
    return [record async for record in source.records(history, start, follow=follow)]


async def test_histories_have_the_incarnations_that_their_marks_tell_of(daemon: ScriptedDaemon) -> None:
    def event(kind: str, number: int, incarnation: int, cause: Cause | None = None) -> Event:
        console = replace(CONSOLE, incarnation=incarnation)
        why = reason(cause) if cause is not None else None
        return Event(event=kind, at=AT, console=console, offset=number, mark=number, reason=why)

    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Marks)
        assert (asked.domain, asked.device, asked.uri) == (CONSOLE.uuid, CONSOLE.device, CONSOLE.uri)
        told = [
            (OTHER_HISTORY, event("attached", 2, 3)),
            (OTHER_HISTORY, event("ended", 3, 3, Cause.GUEST_SHUTDOWN)),
            (HISTORY, event("attached", 1, 4)),
            (HISTORY, event("note", 2, 4)),
        ]
        peer.say(*(Stored(asked.id, history, each) for history, each in told), Done(asked.id))

    async with asking(daemon, script) as source:
        then, now = await source.histories()

    assert (then.start, then.end) == (Position(OTHER_HISTORY, 5, 2), Position(OTHER_HISTORY, 9, 3))
    (incarnation,) = then.incarnations
    assert (incarnation.number, incarnation.position) == (3, Position(OTHER_HISTORY, 2, 2))
    assert incarnation.end == reason(Cause.GUEST_SHUTDOWN)
    assert [(each.number, each.end) for each in now.incarnations] == [(4, None)]
    assert (now.since, now.until) == (parse_time(AT), None)


@pytest.mark.parametrize(
    ("history", "start", "position", "replay"),
    [
        (HISTORY, Position(HISTORY, 3, 1), f"{HISTORY}:3:1", None),
        (HISTORY, LastLines(5), None, "lines:5"),
        (HISTORY, Since(parse_time(AT)), None, f"since:{AT}"),
        (OTHER_HISTORY, LastLines(5), f"{OTHER_HISTORY}:5:2", None),
        (OTHER_HISTORY, Since(0), f"{OTHER_HISTORY}:5:2", None),
        (OTHER_HISTORY, Position(OTHER_HISTORY, 7, 2), f"{OTHER_HISTORY}:7:2", None),
    ],
)
async def test_what_is_asked_for(
    daemon: ScriptedDaemon, history: str, start: Start, position: str | None, replay: str | None
) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        assert (asked.position, asked.replay) == (position, replay)
        assert (asked.hold, asked.timed, asked.read_only, asked.lag) == (False, True, True, None)
        peer.say(place(asked.id, position=f"{history}:9:3"))

    async with asking(daemon, script) as source:
        assert await read(source, history, start) == []


async def test_what_is_stored_ends_where_it_ended_when_it_was_asked_for(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        peer.say(place(asked.id, position=f"{HISTORY}:0:1", end=f"{HISTORY}:9:2"), Time(HANDLE, 0, AT))
        peer.output(b"one\n", at=0)
        peer.say(GapMessage(HANDLE, 4, 1, 5, 1, "the disk was full"))
        peer.output(b"two\n", at=5)
        peer.mark(1, Note(AT, "paused"), at=9)
        peer.output(b"later", at=9)

    async with asking(daemon, script) as source:
        records = await read(source, HISTORY, Position(HISTORY, 0, 1))

    at = parse_time(AT)
    assert records == [
        Chunk(0, b"one\n", at),
        Gap(4, 1, 5, 1, "the disk was full"),
        Chunk(5, b"two\n", at),
        Marked(9, 1, Note(AT, "paused")),
    ]


async def test_a_reader_that_follows_holds_the_console_and_is_told_of_another_history(daemon: ScriptedDaemon) -> None:
    async def script(daemon: ScriptedDaemon) -> None:
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        assert asked.hold
        peer.say(place(asked.id, position=f"{HISTORY}:9:2"))
        peer.close()
        peer = await daemon.accept()
        asked = await peer.expect(Attach)
        peer.say(place(asked.id, position=f"{OTHER_HISTORY}:0:1", missing=True))
        peer.output(b"new", at=0)
        peer.say(PlaceEnded(HANDLE, reason(Cause.EVICTED)))

    async with asking(daemon, script) as source:
        following = source.records(HISTORY, Position(HISTORY, 9, 2), follow=True)
        records = [await anext(following), await anext(following)]
        with pytest.raises(ConnectionLost) as caught:
            await anext(following)

    assert caught.value.reason.cause is Cause.EVICTED
    assert records == [History(OTHER_HISTORY), Chunk(0, b"new", None)]
