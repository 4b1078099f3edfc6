"""Where a client's place begins in what has been, and how far it may lag behind."""

import asyncio
from collections.abc import Callable

import pytest

from tests.harness.consoles import SECOND, Bench, Consoles
from tests.harness.served import Peer, served
from virtmux.messages import (
    Attach,
    Detach,
    Done,
    Flow,
    Gap,
    Lag,
    MarkMessage,
    Place,
    PlaceEnded,
    Refused,
    State,
    Time,
)
from virtmux.reasons import Cause
from virtmux.records import Position, rfc3339
from virtmux.wire import Output
from virtmuxd.core.archive import Page, Point, Seek, Sought
from virtmuxd.core.events import Noted, Policy
from virtmuxd.service import places


class ScriptedArchive:
    """Holds records from its `oldest` on, and answers when the test says so."""

    def __init__(self, oldest: Point = (0, 1), end: Point = (0, 1)) -> None:
        self.oldest = oldest
        self.end = end
        self.sought: list[Sought] = []
        self.answers: list[Callable[[Point | None], None]] = []

    def find(self, sought: Sought, give: Callable[[Point | None], None]) -> None:
        self.sought.append(sought)
        self.answers.append(give)

    def forget(self, point: Point, output: int) -> None:
        self.oldest, self.end = point, (output, point[1])

    def fetch(self, start: Point, stop: Point, *, timed: bool, give: Callable[[list[Page]], None]) -> None:
        assert start <= stop
        assert not timed
        asyncio.get_running_loop().call_soon(give, [])


def held(capacity: int = 1 << 20, archive: ScriptedArchive | None = None) -> tuple[Consoles, Bench]:
    """A console that is attached."""
    consoles = Consoles(policy=Policy.ALWAYS, capacity=capacity)
    bench = consoles.add()
    bench.console.sequence.archive = archive
    bench.attach()
    return consoles, bench


def offset_of(place: Place) -> int:
    return Position.parse(place.position).offset


# Where a place starts.


@pytest.mark.parametrize(
    ("replay", "offset"), [("none", 30), ("all", 0), ("boot", 0), ("bytes:12", 19), ("lines:2", 19), (None, 30)]
)
async def test_a_replay_begins_where_it_says(replay: str | None, offset: int) -> None:
    consoles, bench = held()
    bench.output(b"line one\n\nline two\n\nline last")
    bench.output(b"!")
    async with served(consoles.registry) as peer:
        await peer.greet()

        place = await peer.attach(replay=replay)

        assert (offset_of(place), place.missing_from, place.missing) == (offset, None, False)
        bench.output(b"live")
        output = await peer.until(Output)
        assert output.offset == offset


async def test_a_replay_of_a_time_begins_there() -> None:
    consoles, bench = held()
    bench.output(b"one")
    bench.output(b"two")
    async with served(consoles.registry) as peer:
        await peer.greet()

        assert offset_of(await peer.attach(replay=f"since:{rfc3339(bench.now)}")) == 3


@pytest.mark.parametrize("replay", ["", "much", "bytes:-1", "lines:x", "since:yesterday", "boot:-1"])
async def test_a_replay_that_is_none_is_refused(replay: str) -> None:
    consoles, _ = held()
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1", replay=replay))

        assert (await peer.expect(Refused)).reason.cause is Cause.PROTOCOL_ERROR


async def test_a_position_counts_before_a_replay() -> None:
    consoles, bench = held()
    bench.output(b"one two")
    async with served(consoles.registry) as peer:
        await peer.greet()

        assert offset_of(await peer.attach(position="4", replay="all")) == 4


async def test_what_a_replay_was_to_begin_with_and_is_gone_is_named() -> None:
    consoles, bench = held(capacity=100)
    bench.output(b"x" * 300)
    async with served(consoles.registry) as peer:
        await peer.greet()

        place = await peer.attach(replay="bytes:250")

        assert (offset_of(place), place.missing_from) == (200, 50)


async def test_a_place_that_starts_in_the_archive_is_given_once_that_has_answered() -> None:
    archive = ScriptedArchive(end=(300, 2))
    consoles, bench = held(capacity=100, archive=archive)
    bench.output(b"x" * 300)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1", replay="lines:9"), Attach(2, "web1"), Detach(3, 99))
        assert (await peer.expect(Refused)).id == 2, "it is about to have a place"
        await peer.expect(Done)
        assert archive.sought == [Sought(Seek.LINES, 9)]
        bench.output(b"y")

        archive.answers[0]((17, 2))

        place = await peer.expect(Place)
        assert place.position == f"{bench.store.history}:17:2"
        assert (await peer.expect(Gap)).offset == 17


async def test_an_archive_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_START_DEADLINE", 0.01)
    archive = ScriptedArchive(end=(300, 2))
    consoles, bench = held(capacity=100, archive=archive)
    bench.output(b"x" * 300)
    async with served(consoles.registry) as peer:
        await peer.greet()
        place = await peer.attach(replay="lines:9")
        assert place.position == str(bench.console.sequence.nearest)

        archive.answers[0]((17, 2))  # too late

        assert (await peer.expect(MarkMessage)).offset == 0


async def test_who_is_gone_when_the_archive_answers_gets_nothing() -> None:
    archive = ScriptedArchive(end=(300, 2))
    consoles, bench = held(capacity=100, archive=archive)
    bench.output(b"x" * 300)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1", replay="lines:9"), Detach(2, 99))
        await peer.expect(Done)
        peer.socket.close()
        await peer.ended()

        archive.answers[0]((17, 2))

        assert bench.console.info().clients == 0


# Without holding.


async def test_a_place_that_does_not_hold_opens_nothing() -> None:
    consoles = Consoles()
    bench = consoles.add()
    async with served(consoles.registry) as peer:
        await peer.greet()

        place = await peer.attach(hold=False)

        assert place.info.state is State.ABSENT
        assert bench.commands == []
        bench.output(b"one")
        assert (await peer.expect(Output)).data == b"one"


# Times.


async def test_a_timed_place_is_told_when_what_follows_came() -> None:
    consoles, bench = held()
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.attach(timed=True)
        told = []
        for data in (b"one", b"two"):
            bench.output(data)
            time, output = await peer.expect(Time), await peer.expect(Output)
            told.append((time.offset, time.at, output.data))

        assert told == [(0, rfc3339(bench.now - SECOND), b"one"), (3, rfc3339(bench.now), b"two")]


# Lag.


async def filled(peer: Peer, bench: Bench) -> int:
    """Output until the client's socket takes no more; gives how much."""
    size = 0
    while not peer.client._outgoing._rest:
        bench.output(b"x" * 4096)
        size += 4096
        await asyncio.sleep(0)
    return size


@pytest.fixture
def checked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_LAG_CHECK", 0.01)


@pytest.mark.usefixtures("checked_often")
@pytest.mark.parametrize(
    ("lag", "number"), [(Lag(65536, 1e9, "leave"), "65536 bytes"), (Lag(1 << 40, 30, "leave"), "30 s")]
)
async def test_who_would_rather_leave_is_told_with_the_numbers(lag: Lag, number: str) -> None:
    consoles, bench = held()
    async with served(consoles.registry, buffer=4096) as peer, served(consoles.registry) as other:
        await peer.greet()
        await other.greet()
        place = await peer.attach(lag=lag)
        await other.attach()
        await filled(peer, bench)
        for _ in range(40):
            bench.output(b"x" * 4096)
        await asyncio.sleep(0.1)

        ended = await peer.until(PlaceEnded)

        assert (ended.console, ended.reason.cause) == (place.info.console, Cause.TOO_SLOW)
        assert number in ended.reason.text
        assert bench.console.info().clients == 1
        await peer.attach()  # the connection goes on


@pytest.mark.usefixtures("checked_often")
async def test_who_would_rather_miss_something_goes_on_within_its_limit() -> None:
    consoles, bench = held()
    async with served(consoles.registry, buffer=4096) as peer:
        await peer.greet()
        await peer.attach(lag=Lag(65536, 1e9, "gap"))
        await filled(peer, bench)
        for _ in range(40):
            bench.output(b"x" * 4096)
        end = bench.store.end

        gap = await peer.until(Gap)

        assert (gap.to_offset, gap.to_mark) == (end - 32768, gap.mark)
        received = 0
        while gap.to_offset + received < end:
            received += len((await peer.expect(Output)).data)


@pytest.mark.usefixtures("checked_often")
@pytest.mark.parametrize("lag", [None, Lag(1 << 30, 1e9, "gap")])
async def test_a_thousand_marks_end_a_place_whatever_its_limit(lag: Lag | None) -> None:
    consoles, bench = held()
    async with served(consoles.registry) as peer:
        await peer.greet()
        place = await peer.attach(lag=lag)
        await peer.say(Flow(place.info.console, paused=True), Detach(9, 99))
        await peer.expect(Done)
        for _ in range(999):
            bench.happen(Noted(bench.now, "rebooted"))
        await asyncio.sleep(0.05)
        assert bench.console.info().clients == 1
        bench.happen(Noted(bench.now, "rebooted"))

        ended = await peer.until(PlaceEnded)

        assert ended.reason.cause is Cause.TOO_SLOW
        assert "1000 marks wait" in ended.reason.text


@pytest.mark.usefixtures("checked_often")
async def test_a_replay_however_long_is_no_lag() -> None:
    consoles, bench = held()
    bench.output(b"x" * 900_000)
    async with served(consoles.registry, buffer=4096) as peer:
        await peer.greet()
        await peer.attach(replay="all", lag=Lag(65536, 1, "leave"))
        await asyncio.sleep(0.05)
        await peer.expect(MarkMessage)
        received = 0
        while received < 900_000:
            received += len((await peer.expect(Output)).data)
