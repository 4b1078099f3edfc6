"""A client's places at consoles: where they begin, what is answered, and how they end."""

import pytest

from tests.harness.consoles import OTHER_UUID, RUNNING_ID, Consoles, always, held
from tests.harness.life import BUSY
from tests.harness.served import everything_taken, served
from virtmux.messages import (
    Attach,
    Console,
    Detach,
    Done,
    Flow,
    Gap,
    ListConsoles,
    MarkMessage,
    Place,
    PlaceEnded,
    Refused,
    State,
)
from virtmux.reasons import Cause, Phase, Reason
from virtmux.records import Attached, Ended, Note
from virtmux.wire import Output
from virtmuxd.core.effects import Open
from virtmuxd.core.events import Failed, Noted, OpenFailed, Up
from virtmuxd.core.evidence import Failure
from virtmuxd.service import places

EVICTED = Reason(cause=Cause.EVICTED, text="evicted", phase=Phase.SERVER, at="2026-01-31T12:00:00.000000Z")


# Places.


async def test_an_attach_is_answered_by_a_place_and_records_follow() -> None:
    consoles = always()
    bench = held(consoles)
    bench.output(b"before")
    async with served(consoles.registry) as peer:
        await peer.greet()
        place = await peer.attach()

        assert place.position == f"{bench.store.history}:6:2"
        assert (place.info.state, place.info.attachment, place.info.clients) == (State.ATTACHED, 1, 1)
        assert (place.missing, place.reason, place.read_only) == (False, None, False)

        bench.output(b"login: ")
        assert await peer.expect(Output) == Output(place.info.console, 6, b"login: ")
        bench.happen(Noted(bench.tick(), "paused"))
        mark = await peer.expect(MarkMessage)
        assert (mark.offset, mark.mark) == (13, 2)
        assert isinstance(mark.record, Note)


async def test_a_place_at_an_earlier_position_goes_on_from_there() -> None:
    consoles = always()
    bench = held(consoles)
    bench.output(b"login: ")
    async with served(consoles.registry) as peer:
        await peer.greet()
        place = await peer.attach(position=f"{bench.store.history}:0:1")

        assert isinstance((await peer.expect(MarkMessage)).record, Attached)
        assert await peer.expect(Output) == Output(place.info.console, 0, b"login: ")


async def test_a_place_at_a_position_of_another_history_starts_at_the_oldest_record() -> None:
    consoles = always(capacity=4)
    bench = held(consoles)
    bench.output(b"abc")
    bench.happen(Noted(bench.tick(), "paused"))
    bench.output(b"defghij")
    async with served(consoles.registry) as peer:
        await peer.greet()
        place = await peer.attach(position=f"{'f' * 32}:1000:7")

        assert (place.missing, place.position) == (True, f"{bench.store.history}:0:1")
        handle = place.info.console
        assert (await peer.expect(MarkMessage)).mark == 1
        assert await peer.expect(Gap) == Gap(handle, 0, 2, 3, 2)
        assert (await peer.expect(MarkMessage)).mark == 2
        assert await peer.expect(Gap) == Gap(handle, 3, 3, 6, 3)
        assert await peer.expect(Output) == Output(handle, 6, b"ghij")


@pytest.mark.parametrize("position", ["nonsense", "HISTORY:8:1", "HISTORY:0:9"])
async def test_a_position_that_cannot_be_is_refused(position: str) -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(9, "web1", position=position.replace("HISTORY", bench.store.history)))

        refused = await peer.expect(Refused)
        assert (refused.id, refused.reason.cause) == (9, Cause.PROTOCOL_ERROR)
        assert bench.console.info().clients == 0
        await peer.attach()


async def test_an_unknown_console_is_refused_and_the_connection_goes_on() -> None:
    consoles = always()
    held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(9, "nobody"))

        refused = await peer.expect(Refused)
        assert (refused.id, refused.reason.cause) == (9, Cause.CONSOLE_MISSING)
        assert "nobody" in refused.reason.text
        await peer.attach("web1")


async def test_a_second_place_at_one_console_is_refused() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.attach()
        await peer.say(Attach(9, "web1"))

        assert (await peer.expect(Refused)).reason.cause is Cause.PROTOCOL_ERROR
        bench.output(b"x")
        await peer.expect(Output)


async def test_an_attach_waits_until_the_console_is_open() -> None:
    consoles = Consoles()
    bench = consoles.add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1"), Detach(2, 2**32 - 1))
        await peer.expect(Done)
        assert Open() in bench.commands

        bench.answer_open()

        place = await peer.expect(Place)
        assert (place.info.state, place.info.attachment) == (State.ATTACHED, 1)


async def test_an_attach_to_a_console_that_cannot_be_had_says_why() -> None:
    consoles = Consoles()
    bench = consoles.add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1"), Detach(2, 2**32 - 1))
        await peer.expect(Done)
        bench.happen(OpenFailed(bench.tick(), BUSY))

        place = await peer.expect(Place)

        assert (place.info.state, place.info.attachment) == (State.WAITING, None)
        assert place.reason is not None
        assert (place.reason.cause, place.reason.error) == (Cause.CONSOLE_BUSY, BUSY)


async def test_an_attach_that_is_not_decided_is_answered_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_ATTACH_DEADLINE", 0.01)
    consoles = Consoles()
    bench = consoles.add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    async with served(consoles.registry) as peer:
        await peer.greet()
        place = await peer.attach()
        assert place.info.state is State.OPENING

        bench.answer_open()
        assert isinstance((await peer.expect(MarkMessage)).record, Attached)


async def test_a_detach_does_not_withdraw_an_attach_that_is_not_answered() -> None:
    consoles = Consoles()
    bench = consoles.add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1"), Detach(2, bench.console.handle))
        await peer.expect(Done)

        bench.answer_open()

        assert (await peer.expect(Place)).id == 1


async def test_who_is_sent_away_from_a_console_is_told_and_may_come_again() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        place = await peer.attach()
        bench.console.company.evict(next(iter(bench.console.company)), EVICTED, bench.tick())
        assert await peer.until(PlaceEnded) == PlaceEnded(place.info.console, EVICTED)
        bench.output(b"unseen")
        assert (await peer.attach()).info.console == place.info.console


async def test_who_is_sent_away_before_the_attach_is_answered_is_refused() -> None:
    consoles = Consoles()
    bench = consoles.add()
    bench.happen(Up(bench.tick(), RUNNING_ID))
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(peer.session.next_id(), "web1"))
        await everything_taken(peer)
        assert not bench.console.machine.decided
        bench.console.company.evict(next(iter(bench.console.company)), EVICTED, bench.tick())
        assert await peer.expect(Refused) == Refused(1, EVICTED)


async def test_nothing_of_a_console_follows_its_detach() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        place = await peer.attach()
        leaving = peer.session.detach(place.info.console)
        await peer.say(leaving)
        assert await peer.expect(Done) == Done(leaving.id)

        bench.output(b"x")
        await peer.say(ListConsoles(10))
        assert (await peer.expect(Console)).info.clients == 0
        assert await peer.expect(Done) == Done(10)
        assert (await peer.attach()).position == f"{bench.store.history}:1:2"


async def test_who_is_gone_has_no_places_any_more() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.attach()
        assert bench.console.info().clients == 1
        peer.socket.close()
        await peer.ended()

        assert bench.console.info().clients == 0


async def test_who_is_gone_before_the_hypervisors_are_known_gets_no_place() -> None:
    consoles = Consoles()
    consoles.registry.expect("qemu:///system")
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1"), Detach(2, 7))
        await peer.expect(Done)
        peer.socket.close()
        await peer.ended()

        bench = consoles.add()
        consoles.registry.surveyed("qemu:///system")

        assert bench.console.info().clients == 0


async def test_an_attach_waits_until_the_hypervisors_are_known() -> None:
    consoles = always()
    consoles.registry.expect("qemu:///system")
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Attach(1, "web1"), ListConsoles(2), Detach(3, 7))
        assert await peer.expect(Done) == Done(3)

        held(consoles)
        consoles.registry.surveyed("qemu:///system")

        assert (await peer.expect(Place)).id == 1
        assert (await peer.expect(Console)).info.id.domain == "web1"


async def test_readers_hold_in_front_of_an_end_until_it_is_explained() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.attach()
        bench.output(b"bye")
        assert (await peer.expect(Output)).data == b"bye"
        bench.happen(Failed(Failure(Phase.RECEIVE, bench.tick())))
        await everything_taken(peer)

        bench.stop("CRASHED")

        ended = (await peer.expect(MarkMessage)).record
        assert isinstance(ended, Ended)
        assert (ended.reason.cause, ended.reason.offset) == (Cause.GUEST_CRASHED, 3)


# Flow.


async def test_a_paused_console_sends_nothing_and_goes_on_where_it_was() -> None:
    consoles = always()
    bench, other = held(consoles), held(consoles, "web2", uuid=OTHER_UUID)
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.attach("web1")).info.console
        await peer.attach("web2")
        await peer.say(Flow(handle, paused=True))
        await everything_taken(peer)

        bench.output(b"held back")
        other.output(b"not held back")
        assert (await peer.expect(Output)).data == b"not held back"
        bench.output(b", and on")
        await peer.say(Flow(handle, paused=True), Flow(handle, paused=False))

        assert await peer.expect(Output) == Output(handle, 0, b"held back, and on")
        bench.output(b"!")
        assert await peer.expect(Output) == Output(handle, 17, b"!")


async def test_a_flow_for_no_place_is_ignored() -> None:
    async with served(Consoles().registry) as peer:
        await peer.greet()
        await peer.say(Flow(77, paused=True))
        await everything_taken(peer)
