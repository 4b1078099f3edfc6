"""What is only stored: histories that clients read and ask about, and that they have forgotten."""

import gc

import pytest

from tests.harness.consoles import SECOND, Consoles, always, held
from tests.harness.journal_writer import EPOCH, JournalWriter
from tests.harness.served import everything_taken, served
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
    MarkMessage,
    Marks,
    Place,
    Refused,
    State,
    Stored,
)
from virtmux.reasons import Cause
from virtmux.records import Attached, Note, Position, rfc3339
from virtmux.wire import Output
from virtmuxd.service.journal.readers import Readers
from virtmuxd.service.library import Library
from virtmuxd.service.stored_requests import StoredRequests

OLD = "a" * 32
GONE = "5d3f9a5e-0000-4000-8000-00000000dead"


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
    consoles = always()
    held(consoles)
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1", position=position, hold=hold))

        assert (await peer.expect(Refused)).reason.cause is Cause.PROTOCOL_ERROR


async def test_a_place_that_does_not_hold_may_name_an_offset_alone(writer: JournalWriter) -> None:
    consoles = always()
    bench = held(consoles)
    bench.output(b"one")
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()

        assert Position.parse((await peer.attach(position="0" * 18 + "2", hold=False)).position).offset == 2


async def test_a_place_that_holds_is_at_the_history_that_the_console_has(writer: JournalWriter) -> None:
    consoles = always()
    held(consoles)
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()

        assert (await peer.attach(position=f"{OLD}:0:1")).missing


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
    consoles = always()
    held(consoles)
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()
        await peer.say(ask)

        assert (await peer.expect(Refused)).reason.cause is Cause.CONSOLE_MISSING


async def test_who_may_only_watch_forgets_nothing(writer: JournalWriter) -> None:
    consoles = always()
    held(consoles)
    async with served(consoles.registry, stored(consoles, writer), read_only=True) as peer:
        await peer.greet()
        await peer.say(Forget(1, "web1"))

        assert (await peer.expect(Refused)).reason.cause is Cause.ACCESS_DENIED


async def test_what_is_forgotten_is_a_gap_to_who_has_not_had_it() -> None:
    consoles = always()
    bench = held(consoles)
    bench.output(b"secret")
    async with served(consoles.registry) as peer:
        await peer.greet()
        place = await peer.attach(position="2")
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
    consoles = always()
    held(consoles)
    async with served(consoles.registry, stored(consoles, writer)) as peer:
        await peer.greet()
        await peer.say(Marks(1, "web1", since="yesterday"))

        assert (await peer.expect(Refused)).reason.cause is Cause.PROTOCOL_ERROR


@pytest.mark.parametrize("request_", [Histories(1, "gone"), Marks(1, "gone")])
async def test_a_bug_in_telling_what_is_stored_ends_that_client_alone(
    writer: JournalWriter, monkeypatch: pytest.MonkeyPatch, request_: Histories | Marks
) -> None:
    consoles = Consoles()
    library = stored(consoles, writer)
    monkeypatch.setattr(StoredRequests, "_reads", lambda *_: 1 // 0)
    async with served(consoles.registry, library) as peer, served(consoles.registry, library) as other:
        await peer.greet()
        await other.greet()
        await peer.say(request_)
        assert (await peer.goodbye()).cause is Cause.INTERNAL_ERROR
        await everything_taken(other)
