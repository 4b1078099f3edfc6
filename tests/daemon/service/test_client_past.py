"""The service side of one client that looks back: where its places start, how far they may lag, what is stored."""

import asyncio
import gc
from collections.abc import Callable

import pytest

from tests.harness.consoles import SECOND, Bench, Consoles
from tests.harness.journal_writer import EPOCH, JournalWriter
from tests.harness.served import Peer, served
from virtmux.journal.directory import Journal
from virtmux.journal.history import History as StoredHistory
from virtmux.messages import (
    Attach,
    Detach,
    Done,
    Flow,
    Forget,
    Gap,
    Histories,
    History,
    Lag,
    MarkMessage,
    Marks,
    Place,
    PlaceEnded,
    Refused,
    State,
    Stored,
    Time,
)
from virtmux.reasons import Cause
from virtmux.records import Attached, Note, Position, rfc3339
from virtmux.wire import Output
from virtmuxd.core.archive import Page, Point, Seek, Sought
from virtmuxd.core.events import Noted, Policy
from virtmuxd.service import places
from virtmuxd.service.journal.readers import Readers
from virtmuxd.service.library import Library

OLD = "a" * 32
GONE = "5d3f9a5e-0000-4000-8000-00000000dead"


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


async def attach(peer: Peer, **options: object) -> Place:
    await peer.say(Attach(peer.session.next_id(), "web1", **options))  # type: ignore[arg-type]
    return await peer.expect(Place)


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

        place = await attach(peer, replay=replay)

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

        assert offset_of(await attach(peer, replay=f"since:{rfc3339(bench.now)}")) == 3


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

        assert offset_of(await attach(peer, position="4", replay="all")) == 4


async def test_what_a_replay_was_to_begin_with_and_is_gone_is_named() -> None:
    consoles, bench = held(capacity=100)
    bench.output(b"x" * 300)
    async with served(consoles.registry) as peer:
        await peer.greet()

        place = await attach(peer, replay="bytes:250")

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
        place = await attach(peer, replay="lines:9")
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

        place = await attach(peer, hold=False)

        assert place.info.state is State.ABSENT
        assert bench.commands == []
        bench.output(b"one")
        assert (await peer.expect(Output)).data == b"one"


# Times.


async def test_a_timed_place_is_told_when_what_follows_came() -> None:
    consoles, bench = held()
    async with served(consoles.registry) as peer:
        await peer.greet()
        await attach(peer, timed=True)
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
        place = await attach(peer, lag=lag)
        await attach(other)
        await filled(peer, bench)
        for _ in range(40):
            bench.output(b"x" * 4096)
        await asyncio.sleep(0.1)

        ended = await peer.until(PlaceEnded)

        assert (ended.console, ended.reason.cause) == (place.info.console, Cause.TOO_SLOW)
        assert number in ended.reason.text
        assert bench.console.info().clients == 1
        await attach(peer)  # the connection goes on


@pytest.mark.usefixtures("checked_often")
async def test_who_would_rather_miss_something_goes_on_within_its_limit() -> None:
    consoles, bench = held()
    async with served(consoles.registry, buffer=4096) as peer:
        await peer.greet()
        await attach(peer, lag=Lag(65536, 1e9, "gap"))
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
        place = await attach(peer, lag=lag)
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
        await attach(peer, replay="all", lag=Lag(65536, 1, "leave"))
        await asyncio.sleep(0.05)
        await peer.expect(MarkMessage)
        received = 0
        while received < 900_000:
            received += len((await peer.expect(Output)).data)


# What is only stored.


def stored(consoles: Consoles, writer: JournalWriter) -> Library:
    return Library(consoles.registry, Journal(writer.directory), Readers(), lambda _key, then: then(None))


@pytest.fixture
def writer(tmp_path_factory: pytest.TempPathFactory) -> JournalWriter:
    """The journal of a guest that is undefined."""
    writer = JournalWriter(tmp_path_factory.mktemp("journal"), uuid=GONE)
    writer.begin(OLD, domain="gone")
    writer.mark(1, 0, Attached(rfc3339(EPOCH), 1, 4))
    writer.batch(0, b"one\n")
    writer.mark(2, 4, Note(rfc3339(EPOCH + SECOND), "paused"))
    writer.batch(4, b"two\n")
    return writer


async def test_a_history_of_a_guest_that_is_undefined_is_read_to_its_end(writer: JournalWriter) -> None:
    consoles = Consoles()
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()
        await peer.say(Attach(1, "gone", position=f"{OLD}:0:1", hold=False))

        place = await peer.expect(Place)
        assert (place.position, place.info.position) == (f"{OLD}:0:1", f"{OLD}:8:3")
        assert (place.info.state, place.info.id.domain, place.info.id.incarnation) == (State.ABSENT, "gone", 4)
        assert isinstance((await peer.expect(MarkMessage)).record, Attached)
        assert (await peer.expect(Output)).data == b"one\n"
        assert (await peer.expect(MarkMessage)).mark == 2
        assert (await peer.expect(Output)).data == b"two\n"

        await peer.say(Detach(2, place.info.console))
        assert await peer.expect(Done) == Done(2)


async def test_of_such_a_history_nothing_stays_in_memory_once_its_place_is_given_up(writer: JournalWriter) -> None:
    consoles = Consoles()
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()
        for request in range(1, 4):
            await peer.say(Attach(request, "gone", position=f"{OLD}:0:1", hold=False))
            place = await peer.expect(Place)
            while (await peer.until(Output)).data != b"two\n":
                pass
            await peer.say(Detach(9, place.info.console))
            await peer.until(Done)
        gc.collect()
        assert [each for each in gc.get_objects() if isinstance(each, StoredHistory)] == []


async def test_an_offset_alone_means_the_first_mark_at_it_in_such_a_history_too(writer: JournalWriter) -> None:
    consoles = Consoles()
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()
        await peer.say(Attach(1, "gone", position=f"{OLD}:4:0", hold=False))

        assert (await peer.expect(Place)).position == f"{OLD}:4:2"
        assert (await peer.expect(MarkMessage)).mark == 2


@pytest.mark.parametrize(
    ("position", "cause"),
    [
        (f"{OLD}:9:3", Cause.PROTOCOL_ERROR),
        (f"{OLD}:0:4", Cause.PROTOCOL_ERROR),
        (f"{OLD}:x", Cause.PROTOCOL_ERROR),
        (f"{'c' * 32}:0:1", Cause.CONSOLE_MISSING),
        (None, Cause.CONSOLE_MISSING),
    ],
)
async def test_a_place_in_a_history_that_cannot_be_is_refused(
    writer: JournalWriter, position: str | None, cause: Cause
) -> None:
    consoles = Consoles()
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()
        await peer.say(Attach(1, "gone", position=position, hold=False))

        assert (await peer.expect(Refused)).reason.cause is cause


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("position", ["junk", "x" * 40, f"{OLD}:0", f"{OLD.upper()}:0:1", "", "9" * 40])
async def test_a_position_that_is_none_is_refused(writer: JournalWriter, position: str, *, hold: bool) -> None:
    consoles, _ = held()
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1", position=position, hold=hold))

        assert (await peer.expect(Refused)).reason.cause is Cause.PROTOCOL_ERROR


async def test_a_place_that_does_not_hold_may_name_an_offset_alone(writer: JournalWriter) -> None:
    consoles, bench = held()
    bench.output(b"one")
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()

        assert offset_of(await attach(peer, position="0" * 18 + "2", hold=False)) == 2


async def test_a_place_that_holds_is_at_the_history_that_the_console_has(writer: JournalWriter) -> None:
    consoles, _ = held()
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()

        assert (await attach(peer, position=f"{OLD}:0:1")).missing


@pytest.mark.parametrize("left", [False, True])
async def test_input_to_what_is_only_stored_breaks_the_protocol(writer: JournalWriter, left: bool) -> None:
    consoles = Consoles()
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()
        await peer.say(Attach(1, "gone", position=f"{OLD}:8:3", hold=False))
        place = await peer.expect(Place)
        if left:  # of those that it had, nothing is remembered: there may be any number
            await peer.say(Detach(2, place.info.console))
            await peer.expect(Done)
        await peer.put(place.info.console, 1, 0, b"ls\n")

        assert (await peer.goodbye()).cause is Cause.PROTOCOL_ERROR


async def test_histories_and_marks_are_told(writer: JournalWriter) -> None:
    consoles = Consoles()
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()
        await peer.say(Histories(1, "gone"))
        info = (await peer.expect(History)).info
        assert (info.start, info.end, info.current, info.stored) == (f"{OLD}:0:1", f"{OLD}:8:3", False, "disk")
        assert await peer.expect(Done) == Done(1)

        await peer.say(Marks(2, "gone", since=rfc3339(EPOCH + SECOND)))
        told = await peer.expect(Stored)
        assert (told.history, told.event.mark, told.event.offset, told.event.note) == (OLD, 2, 4, "paused")
        assert told.event.console.domain == "gone"
        assert await peer.expect(Done) == Done(2)


@pytest.mark.parametrize("ask", [Histories(1, "nobody"), Marks(1, "nobody"), Forget(1, "nobody")])
async def test_of_whom_nothing_is_stored_is_missing(writer: JournalWriter, ask: Histories | Marks | Forget) -> None:
    consoles, _ = held()
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()
        await peer.say(ask)

        assert (await peer.expect(Refused)).reason.cause is Cause.CONSOLE_MISSING


async def test_who_may_only_watch_forgets_nothing(writer: JournalWriter) -> None:
    consoles, _ = held()
    async with served(consoles.registry, stored(consoles, writer), read_only=True) as peer:
        await peer.greet()
        await peer.say(Forget(1, "web1"))

        assert (await peer.expect(Refused)).reason.cause is Cause.ACCESS_DENIED


async def test_what_is_forgotten_is_a_gap_to_who_has_not_had_it() -> None:
    consoles, bench = held()
    bench.output(b"secret")
    async with served(consoles.registry) as peer:
        await peer.greet()
        place = await attach(peer, position="2")
        await peer.say(Flow(place.info.console, paused=True), Forget(1, "web1"))
        await peer.until(Done)
        bench.output(b"news")
        await peer.say(Flow(place.info.console, paused=False))
        taken = [await peer.hear()]
        while not (isinstance(taken[-1], Output) and taken[-1].data == b"news"):
            taken.append(await peer.hear())

        assert all(isinstance(each, Gap | Output) for each in taken)
        assert bench.console.sequence.oldest.offset == 6


async def test_a_time_that_is_none_is_refused(writer: JournalWriter) -> None:
    consoles, _ = held()
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()
        await peer.say(Marks(1, "web1", since="yesterday"))

        assert (await peer.expect(Refused)).reason.cause is Cause.PROTOCOL_ERROR
