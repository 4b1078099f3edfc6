"""The service side of one client, over a real socketpair, with real consoles that have no hypervisor."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import pytest

from tests.harness.consoles import RUNNING_ID, UUID, Bench, Consoles
from tests.harness.life import BUSY
from tests.harness.served import Peer, empty_library, served
from virtmux.messages import (
    Attach,
    ClientHello,
    Confirm,
    Console,
    Counters,
    Detach,
    Done,
    Event,
    Flow,
    Gap,
    Goodbye,
    Histories,
    Hypervisor,
    HypervisorInfo,
    InputStatus,
    ListConsoles,
    MarkMessage,
    Place,
    PlaceEnded,
    Reclaim,
    Refused,
    Release,
    ServerHello,
    State,
    Watch,
    encode,
)
from virtmux.reasons import Cause, Phase, Reason
from virtmux.records import Attached, Ended, Note, Position
from virtmux.wire import MAX_MESSAGE, MAX_OUTPUT, Output, encode_input, encode_message, encode_output
from virtmuxd.core.effects import Open
from virtmuxd.core.events import Failed, Noted, OpenFailed, Policy, Up
from virtmuxd.core.evidence import Failure
from virtmuxd.core.limits import LimitRules, Limits
from virtmuxd.core.past import PastConsole, PastRecords
from virtmuxd.service import client as client_module
from virtmuxd.service import places, releases
from virtmuxd.service.journal.archive import DiskArchive
from virtmuxd.service.journal.readers import Readers
from virtmuxd.service.outgoing import MAX_PROMISED
from virtmuxd.service.places import MAX_PAST, Places

STOPPING = Reason(cause=Cause.SERVER_STOPPING, text="stopping", phase=Phase.SERVER, at="2026-01-31T12:00:00.000000Z")
EVICTED = Reason(cause=Cause.EVICTED, text="evicted", phase=Phase.SERVER, at="2026-01-31T12:00:00.000000Z")
OTHER_UUID = "5d3f9a5e-0000-4000-8000-000000000002"


def held(consoles: Consoles, domain: str = "web1", *, uuid: str = UUID) -> Bench:
    """A console that is attached."""
    bench = consoles.add(domain, uuid=uuid)
    bench.attach()
    return bench


def always(*, capacity: int = 1 << 20) -> Consoles:
    return Consoles(policy=Policy.ALWAYS, capacity=capacity)


def limited(**rules: Any) -> Limits:
    return Limits(LimitRules(**rules))


async def everything_taken(peer: Peer) -> None:
    """The daemon has taken all that the peer sent: it has answered what came last."""
    request = peer.session.next_id()
    await peer.say(Detach(request, 2**32 - 1))
    assert (await peer.until(Done)).id == request


# The handshake.


async def test_hello_is_answered_by_hello() -> None:
    async with served(Consoles().registry, limits=limited(input_window=20000, message_size=5000)) as peer:
        await peer.say(ClientHello())

        hello = await peer.expect(ServerHello)

        assert (hello.protocol, hello.software) == (1, "virtmuxd test")
        assert (hello.limits.input_window, hello.limits.message) == (20000, 5000)


async def test_requests_may_follow_hello_at_once() -> None:
    async with served(Consoles().registry) as peer:
        await peer.say(ClientHello(), ListConsoles(1))

        await peer.expect(ServerHello)
        assert await peer.expect(Done) == Done(1)


@pytest.mark.parametrize(
    "sent",
    [
        encode(ListConsoles(1)),
        encode(ClientHello(protocol=2)),
        encode_message(b'{"type":"goodbye"}'),
        encode_message(b"not json"),
        encode_output(1, 0, b"x"),
        (MAX_MESSAGE + 2).to_bytes(4, "big") + b"\x01",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["request", "protocol 2", "unknown type", "no json", "output", "too long", "http"],
)
async def test_who_does_not_greet_properly_gets_a_goodbye(sent: bytes) -> None:
    async with served(Consoles().registry) as peer:
        await peer.send(sent)

        reason = await peer.goodbye()

        assert (reason.cause, reason.phase) == (Cause.PROTOCOL_ERROR, Phase.CLIENT)


async def test_a_second_hello_is_an_error() -> None:
    async with served(Consoles().registry) as peer:
        await peer.greet()
        await peer.say(ClientHello())

        assert (await peer.goodbye()).cause is Cause.PROTOCOL_ERROR


async def test_who_does_not_greet_at_all_is_dismissed() -> None:
    async with served(Consoles().registry, limits=limited(handshake=0.01)) as peer:
        reason = await peer.goodbye()

        assert reason.cause is Cause.IDLE
        assert "no hello within 0.01 s" in reason.text


async def test_a_message_larger_than_was_announced_breaks_the_protocol() -> None:
    async with served(Consoles().registry, limits=limited(message_size=5000)) as peer:
        await peer.greet()
        await peer.send(encode_message(b'{"type":"list","id":1}'.ljust(5000)))
        await peer.expect(Done)

        await peer.send(encode_message(b'{"type":"list","id":2}'.ljust(5001)))
        reason = await peer.goodbye()

        assert reason.cause is Cause.PROTOCOL_ERROR
        assert "5001 bytes" in reason.text


async def test_who_leaves_is_detached() -> None:
    async with served(Consoles().registry) as peer:
        await peer.greet()
        peer.socket.close()

        assert (await peer.ended()).cause is Cause.DETACHED


# Lists.


async def test_a_list_names_every_console() -> None:
    consoles = Consoles()
    first, second = consoles.add("web1"), consoles.add("web2", uuid=OTHER_UUID)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(ListConsoles(5))

        assert await peer.expect(Console) == Console(5, first.console.info())
        assert await peer.expect(Console) == Console(5, second.console.info())
        assert await peer.expect(Done) == Done(5)


async def test_hypervisors_come_before_the_consoles(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = Consoles()
    consoles.add("web1")
    info = HypervisorInfo(
        uri="qemu:///system",
        id=None,
        connected=False,
        since=STOPPING.at,
        reason=None,
        exclusive=True,
        consoles=0,
        counters=Counters(),
    )
    monkeypatch.setattr(consoles.registry, "hypervisors", lambda: [info])
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(ListConsoles(5))

        assert await peer.expect(Hypervisor) == Hypervisor(5, info)
        await peer.expect(Console)
        assert await peer.expect(Done) == Done(5)


# Releases.


class Asked:
    """What a console was asked for, in place of doing it."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.until: int | None = None
        monkeypatch.setattr(bench.console, "release", self._release)
        for name in ("reclaim", "step_aside", "step_back"):
            monkeypatch.setattr(bench.console, name, partial(self._note, name))

    def _release(self, at: int, until: int | None) -> None:
        self.calls.append("release")
        self.until = None if until is None else until - at

    def _note(self, name: str, _at: int) -> None:
        self.calls.append(name)


@pytest.mark.parametrize(("seconds", "until"), [(None, None), (1.5, 1_500_000_000)])
async def test_a_release_lasts_for_its_time_and_a_reclaim_ends_it(
    monkeypatch: pytest.MonkeyPatch, seconds: float | None, until: int | None
) -> None:
    consoles = Consoles()
    asked = Asked(consoles.add(), monkeypatch)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1", seconds=seconds))
        assert await peer.expect(Done) == Done(1)
        assert (asked.calls, asked.until) == (["release"], until)
        await peer.say(Reclaim(2, "web1"))
        assert await peer.expect(Done) == Done(2)
    assert asked.calls == ["release", "reclaim"]


async def test_a_release_while_connected_ends_with_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = Consoles()
    asked = Asked(consoles.add(), monkeypatch)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1", while_connected=True), Release(2, "web1", while_connected=True))
        assert [await peer.expect(Done) for _ in range(2)] == [Done(1), Done(2)]
        assert asked.calls == ["step_aside"]
        peer.socket.close()
        await peer.ended()
    assert asked.calls == ["step_aside", "step_back"]


async def test_or_with_as_many_reclaims_as_there_were_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = Consoles()
    asked = Asked(consoles.add(), monkeypatch)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1", while_connected=True), Release(2, "web1", while_connected=True))
        await peer.say(Reclaim(3, "web1", while_connected=True))
        assert [await peer.expect(Done) for _ in range(3)] == [Done(1), Done(2), Done(3)]
        assert asked.calls == ["step_aside"]
        await peer.say(Reclaim(4, "web1", while_connected=True))
        assert await peer.expect(Done) == Done(4)
        assert asked.calls == ["step_aside", "step_back"]


async def test_or_with_its_reclaim_and_no_other_release_does(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = Consoles()
    asked = Asked(consoles.add(), monkeypatch)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1", while_connected=True))
        await peer.say(*(Reclaim(request, "web1", while_connected=True) for request in (2, 3)))
        assert [await peer.expect(Done) for _ in range(3)] == [Done(1), Done(2), Done(3)]
    assert asked.calls == ["step_aside", "step_back"]


async def test_a_release_is_done_once_the_console_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = always()
    bench = consoles.add()
    Asked(bench, monkeypatch)
    bench.happen(Up(bench.tick(), RUNNING_ID))
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1"))
        await everything_taken(peer)
        bench.answer_open()
        assert await peer.expect(Done) == Done(1)


@pytest.mark.parametrize(("while_connected", "calls"), [(True, ["step_aside", "step_back"]), (False, ["release"])])
async def test_what_is_not_let_go_in_time_is_refused(
    monkeypatch: pytest.MonkeyPatch, while_connected: bool, calls: list[str]
) -> None:
    monkeypatch.setattr(releases, "_DEADLINE", 0.05)
    consoles = always()
    bench = consoles.add()
    asked = Asked(bench, monkeypatch)
    bench.happen(Up(bench.tick(), RUNNING_ID))
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1", while_connected=while_connected))
        refused = await peer.expect(Refused)
        assert (refused.id, refused.reason.cause) == (1, Cause.HYPERVISOR_TIMEOUT)
        assert "not let go within 0.05 s" in refused.reason.text
        assert asked.calls == calls
        bench.answer_open()
        await everything_taken(peer)
    assert asked.calls == calls


async def test_so_many_releases_of_a_client_may_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "MOST", 3)
    consoles = always()
    bench = consoles.add()
    asked = Asked(bench, monkeypatch)
    bench.happen(Up(bench.tick(), RUNNING_ID))
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(*(Release(request, "web1") for request in range(1, 5)))
        refused = await peer.expect(Refused)
        assert (refused.id, refused.reason.cause) == (4, Cause.PROTOCOL_ERROR)
        assert "3 releases of this client wait" in refused.reason.text
        bench.answer_open()
        assert [await peer.expect(Done) for _ in range(3)] == [Done(1), Done(2), Done(3)]
        assert asked.calls == ["release"] * 3
        await peer.say(Release(5, "web1"))
        assert await peer.expect(Done) == Done(5)


@pytest.mark.parametrize("request_", [Release(1, "web1"), Release(1, "web1", while_connected=True), Reclaim(1, "web1")])
async def test_who_may_only_watch_releases_nothing(
    monkeypatch: pytest.MonkeyPatch, request_: Release | Reclaim
) -> None:
    consoles = Consoles()
    asked = Asked(consoles.add(), monkeypatch)
    async with served(consoles.registry, read_only=True) as peer:
        await peer.greet()
        await peer.say(request_)
        assert (await peer.expect(Refused)).reason.cause is Cause.ACCESS_DENIED
    assert asked.calls == []


async def test_a_console_that_does_not_exist_cannot_be_released() -> None:
    async with served(Consoles().registry) as peer:
        await peer.greet()
        await peer.say(Release(1, "web1"))
        assert (await peer.expect(Refused)).reason.cause is Cause.CONSOLE_MISSING


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
        bench.console.evict(next(iter(bench.console._roles)), EVICTED, bench.tick())
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
        bench.console.evict(next(iter(bench.console._roles)), EVICTED, bench.tick())
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


# Slow readers.


async def test_a_slow_reader_is_told_which_bytes_it_missed_and_holds_nothing_up() -> None:
    consoles = always(capacity=100_000)
    bench = held(consoles)
    sent = bytearray()
    async with served(consoles.registry, buffer=4096) as slow, served(consoles.registry) as fast:
        for peer in (slow, fast):
            await peer.greet()
            await peer.attach()
        for number in range(300):
            data = number.to_bytes(4, "big") * 1024
            sent += data
            bench.output(data)
            got = await fast.expect(Output)
            assert (got.offset, got.data) == (len(sent) - 4096, data)
        bench.happen(Noted(bench.tick(), "paused"))

        received, missed = 0, 0
        while not isinstance(heard := await slow.hear(), MarkMessage):
            if isinstance(heard, Gap):
                missed += heard.to_offset - heard.offset
            else:
                assert isinstance(heard, Output)
                assert heard.data == sent[heard.offset : heard.offset + len(heard.data)]
                received += len(heard.data)

        assert (received + missed, heard.offset) == (len(sent), len(sent))
        assert missed >= len(sent) - 100_000 - 4 * MAX_OUTPUT


async def test_a_reader_that_never_reads_costs_no_memory() -> None:
    consoles = always(capacity=100_000)
    bench = held(consoles)
    async with served(consoles.registry, buffer=4096) as slow:
        await slow.greet()
        await slow.attach()
        for _ in range(100):
            bench.output(bytes(65536))
            bench.happen(Noted(bench.tick(), "paused"))

        outgoing = slow.client._outgoing
        assert len(outgoing._rest) + sum(map(len, outgoing._answers)) <= MAX_OUTPUT + 100


async def test_consoles_take_turns() -> None:
    consoles = always()
    benches = [held(consoles, f"web{number}", uuid=f"{number}") for number in range(3)]
    async with served(consoles.registry, buffer=4096) as peer:
        await peer.greet()
        handles = [(await peer.attach(f"web{number}")).info.console for number in range(3)]
        for bench in benches:
            bench.output(bytes(5 * MAX_OUTPUT))

        turns = [(await peer.expect(Output)).console for _ in range(15)]

        # The first one fills the socket before the others have anything to say.
        rounds = [turns[begin : begin + 3] for begin in range(1, 13, 3)]
        assert all(sorted(each) == sorted(handles) for each in rounds), turns


async def test_a_client_that_asks_and_does_not_read_is_not_asked_further() -> None:
    consoles = always()
    held(consoles)
    async with served(consoles.registry, buffer=4096) as peer:
        await peer.greet()
        peer.socket.send(encode(ListConsoles(1)) * 1000)
        for _ in range(100):
            await asyncio.sleep(0)

        assert len(peer.client._outgoing._in_turn) == 1

        peer.client.dismiss(STOPPING)
        assert (await peer.until(Goodbye)).reason == STOPPING
        assert await peer.ended() == STOPPING


async def test_a_client_that_asks_for_much_that_is_stored_keeps_nobody_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = always()
    held(consoles)
    asked: list[Any] = []
    library = empty_library(consoles.registry)
    monkeypatch.setattr(library, "histories", lambda _, give: asked.append(give))
    async with served(consoles.registry, library) as peer:
        await peer.greet()
        await peer.say(*(Histories(request, "web1") for request in range(1, 11)))
        for request in range(1, 11):
            for _ in range(100):
                await asyncio.sleep(0)
            assert 0 < len(asked) <= MAX_PROMISED

            asked.pop(0)(None)
            assert (await peer.expect(Refused)).id == request


async def test_for_who_asks_for_much_that_is_stored_and_is_gone_little_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consoles = always()
    held(consoles)
    asked: list[Any] = []
    library = empty_library(consoles.registry)
    monkeypatch.setattr(library, "histories", lambda _, give: asked.append(give))
    async with served(consoles.registry, library) as peer:
        await peer.greet()
        await peer.say(*(Histories(request, "web1") for request in range(1, 501)))
        while len(asked) < MAX_PROMISED:
            await asyncio.sleep(0)
        peer.socket.close()
        for give in tuple(asked):
            give(None)

        assert (await peer.ended()).cause is Cause.DETACHED
        assert len(asked) <= 2 * MAX_PROMISED


async def test_a_client_has_a_few_places_at_stored_histories_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = always()
    console = held(consoles).console
    end = Position("c" * 32, 0, 1)
    handles = count(100)

    def opened(_named: object, _history: str, give: Callable[[PastConsole], None]) -> None:
        handle = next(handles)
        archive = DiskArchive(handle, lambda: None, Readers())
        records = PastRecords(handle, archive, end, end, lambda position: position)
        give(PastConsole(console.id, records, archive.close))

    library = empty_library(consoles.registry)
    monkeypatch.setattr(library, "open", opened)
    async with served(consoles.registry, library) as peer:
        await peer.greet()
        for request in range(1, MAX_PAST + 1):
            await peer.say(Attach(request, "web1", position=str(end), hold=False))
            assert (await peer.expect(Place)).info.console == 99 + request
        await peer.say(Attach(50, "web1", position=str(end), hold=False))
        assert (await peer.expect(Refused)).id == 50

        await peer.say(Detach(51, 100), Attach(52, "web1", position=str(end), hold=False))
        await peer.expect(Done)
        assert (await peer.expect(Place)).id == 52


async def test_a_client_that_sends_too_fast_waits_and_others_do_not() -> None:
    limits = limited(input_rate=100, input_window=16384)
    async with served(Consoles().registry, limits=limits) as fast, served(Consoles().registry, limits=limits) as other:
        for peer in (fast, other):
            await peer.greet()
        for request in range(1, 6):
            await fast.send(encode_message(f'{{"type":"list","id":{request}}}'.encode().ljust(4000)))
        for request in range(1, 5):  # the fifth would take the daemon 36 s
            assert await fast.expect(Done) == Done(request)

        await other.say(ListConsoles(7))
        assert await other.expect(Done) == Done(7)

        limits.rules = LimitRules()
        assert await fast.expect(Done) == Done(5)


async def test_a_client_has_places_at_so_many_consoles_and_no_more() -> None:
    consoles, limits = Consoles(policy=Policy.NEVER), limited(consoles_per_client=2)
    for number in range(3):
        consoles.add(f"web{number}", uuid=f"{number}")
    async with served(consoles.registry, limits=limits) as peer:
        await peer.greet()
        first = await peer.attach("web0")
        await peer.attach("web1")

        await peer.say(Attach(50, "web2"))
        refused = await peer.expect(Refused)
        assert (refused.id, refused.reason.cause) == (50, Cause.PROTOCOL_ERROR)
        assert "2 places, the most that limits.consoles_per_client allows" in refused.reason.text

        await peer.say(peer.session.detach(first.info.console))
        await peer.expect(Done)
        await peer.attach("web2")

        limits.rules = LimitRules(consoles_per_client=3)
        await peer.attach("web0")


async def test_who_asks_much_and_is_gone_leaves_nothing_behind() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.attach()
        await peer.send(encode(ListConsoles(1)) * 500)
        peer.socket.close()

        assert (await peer.ended()).cause is Cause.DETACHED
        assert bench.console.info().clients == 0


async def test_of_who_asks_much_and_is_gone_hardly_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = Consoles()
    done: list[int] = []
    list_ = client_module.Client._list

    def counted(client: client_module.Client, request: int) -> None:
        done.append(request)
        list_(client, request)

    monkeypatch.setattr(client_module.Client, "_list_once_known", counted)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.send(encode(ListConsoles(1)) * 2000)
        peer.socket.close()

        assert (await peer.ended()).cause is Cause.DETACHED
    assert len(done) < 1000


async def test_what_a_client_asks_has_a_turn_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0
    done: Counter[int] = Counter()

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(Places, "flow", lambda *_, **__: done.update([turns]))
    async with served(Consoles().registry) as peer, asyncio.TaskGroup() as tasks:
        await peer.greet()
        turning = tasks.create_task(turn())
        await peer.send(encode(Flow(7, paused=True)) * 500)
        await peer.say(ListConsoles(1))
        await peer.expect(Done)
        turning.cancel()
    assert done.total() == 500
    assert max(done.values()) <= 2


async def test_a_client_in_a_flood_is_still_listened_to() -> None:
    consoles = always()
    bench = held(consoles)
    for number in range(200):
        consoles.add(f"guest{number}", uuid=f"{number}")
    async with served(consoles.registry, buffer=4096) as peer:
        await peer.greet()
        place = await peer.attach()
        bench.output(bytes(MAX_OUTPUT))
        await peer.say(ListConsoles(8))
        await peer.put(place.info.console, 1, 0, b"\x03")

        while not bench.console.inputs.waiting:
            bench.output(bytes(MAX_OUTPUT))
            assert isinstance(await peer.hear(), Output | Console | Done)


# Watching.


async def test_a_watcher_hears_of_what_exists_and_then_of_what_happens() -> None:
    consoles = Consoles()
    bench = consoles.add()
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Watch(4))
        assert (await peer.expect(Event)).event == "appeared"
        assert await peer.expect(Done) == Done(4)

        consoles.add("web2", uuid=OTHER_UUID)
        consoles.registry.tell(bench.console.event("vanished", bench.tick()))

        heard = [await peer.expect(Event) for _ in range(2)]
        assert [(event.event, event.console.domain) for event in heard] == [("appeared", "web2"), ("vanished", "web1")]


async def test_a_watcher_that_watches_twice_hears_everything_once() -> None:
    consoles = Consoles()
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.say(Watch(4), Watch(5))
        assert [await peer.expect(Done), await peer.expect(Done)] == [Done(4), Done(5)]

        consoles.add()
        await peer.expect(Event)
        await everything_taken(peer)


async def test_a_watcher_that_is_too_slow_is_dismissed_and_others_are_not() -> None:
    consoles = Consoles()
    bench = consoles.add()
    async with served(consoles.registry, buffer=4096) as slow, served(consoles.registry) as fast:
        for peer in (slow, fast):
            await peer.greet()
            await peer.say(Watch(4))
            await peer.until(Done)

        for _ in range(2000):
            consoles.registry.tell(bench.console.event("waiting", bench.tick()))
            await fast.expect(Event)

        assert (await slow.until(Goodbye)).reason.cause is Cause.TOO_SLOW
        assert (await slow.ended()).cause is Cause.TOO_SLOW
        consoles.registry.tell(bench.console.event("waiting", bench.tick()))
        await fast.expect(Event)


# Input.


async def test_input_is_queued_for_the_guest_and_its_fate_is_told() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.attach()).info.console
        await peer.put(handle, 1, 0, b"ls")
        await peer.put(handle, 1, 2, b"\r")
        await everything_taken(peer)

        bench.console.inputs.ask()
        batch = bench.console.inputs.take()
        assert batch is not None
        assert batch.packets == (b"ls\r",)
        bench.console.sent(batch, bench.tick())

        assert await peer.expect(InputStatus) == InputStatus(handle, 1, 3)


async def test_whose_input_is_held_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = always()
    bench = held(consoles)
    places: list[Any] = []
    monkeypatch.setattr(bench.console, "confirm", places.append)
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.attach()).info.console
        await peer.put(handle, 1, 0, b"ls")
        await peer.say(Confirm(handle), Confirm(handle + 1))
        await everything_taken(peer)
        [place] = places
        place.writer.account.held = True
        place.writer.changed()

        assert await peer.expect(InputStatus) == InputStatus(handle, 1, 0, held=True)


async def test_input_in_flight_and_waiting_is_settled_when_the_attachment_ends() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.attach()).info.console
        await peer.put(handle, 1, 0, b"one")
        await everything_taken(peer)
        bench.console.inputs.take()
        await peer.put(handle, 1, 3, b"two!")
        await everything_taken(peer)

        bench.stop("CRASHED")

        status = await peer.until(InputStatus)
        assert (status.accepted, status.unknown, status.rejected) == (0, 3, 4)
        assert status.cause is not None


@pytest.mark.parametrize("socket_is_read_only", [True, False])
async def test_input_of_who_may_only_watch_is_rejected(socket_is_read_only: bool) -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry, read_only=socket_is_read_only) as peer:
        await peer.greet()
        place = await peer.attach(read_only=not socket_is_read_only)
        assert place.read_only
        await peer.put(place.info.console, 1, 0, b"poweroff\r")

        status = await peer.expect(InputStatus)

        assert (status.rejected, status.cause) == (9, Cause.ACCESS_DENIED)
        assert not bench.console.inputs.waiting


async def test_input_behind_a_detach_is_ignored() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.attach()).info.console
        await peer.say(Detach(9, handle))
        await peer.put(handle, 1, 0, b"late")

        assert await peer.expect(Done) == Done(9)
        await everything_taken(peer)
        assert not bench.console.inputs.waiting


async def test_input_behind_a_detach_is_ignored_also_of_a_client_that_is_gone() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        handle = (await peer.attach()).info.console
        late = encode_input(handle, 1, 0, b"late")
        refused = encode(Attach(8, "web1"))  # at once: so it is found out that nobody is there
        await peer.send(refused * 2 + encode(Detach(9, handle)) + late)
        peer.socket.close()

        await peer.ended()
        assert not bench.console.inputs.waiting


async def test_input_at_another_console_breaks_the_protocol() -> None:
    async with served(Consoles().registry) as peer:
        await peer.greet()
        await peer.put(7, 1, 0, b"x")

        reason = await peer.goodbye()
        assert reason.cause is Cause.PROTOCOL_ERROR
        assert "console 7" in reason.text


async def test_more_input_than_the_window_breaks_the_protocol_and_harms_nobody_else() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry, limits=limited(input_window=20)) as rude, served(consoles.registry) as other:
        for peer in (rude, other):
            await peer.greet()
            await peer.attach()
        handle = bench.console.handle
        await rude.put(handle, 1, 0, bytes(21))
        assert (await rude.goodbye()).cause is Cause.PROTOCOL_ERROR

        bench.output(b"x")
        assert (await other.expect(Output)).data == b"x"


# The end.


async def test_a_dismissed_client_is_told_why() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        await peer.attach()
        peer.client.dismiss(STOPPING)

        assert await peer.goodbye() == STOPPING
        assert bench.console.info().clients == 0


async def test_the_first_reason_for_a_dismissal_counts() -> None:
    async with served(Consoles().registry) as peer:
        await peer.greet()
        peer.client.dismiss(STOPPING)
        peer.client.dismiss(Reason(cause=Cause.EVICTED, text="", phase=Phase.SERVER, at=STOPPING.at))

        assert await peer.goodbye() == STOPPING


async def test_a_goodbye_comes_behind_the_frame_that_is_on_its_way() -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry, buffer=4096) as peer:
        await peer.greet()
        await peer.attach()
        bench.output(bytes(MAX_OUTPUT))
        peer.client.dismiss(STOPPING)

        assert len((await peer.expect(Output)).data) == MAX_OUTPUT
        assert await peer.goodbye() == STOPPING


async def test_a_goodbye_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_GOODBYE_DEADLINE", 0.01)
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry, buffer=4096) as peer:
        await peer.greet()
        await peer.attach()
        bench.output(bytes(10 * MAX_OUTPUT))
        peer.client.dismiss(STOPPING)

        assert await peer.ended() == STOPPING
        assert peer.client._socket.fileno() == -1


async def test_a_bug_while_serving_a_client_ends_that_one_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as unlucky, served(consoles.registry) as other:
        for peer in (unlucky, other):
            await peer.greet()
        await other.attach()
        with monkeypatch.context() as bug:
            bug.setattr(consoles.registry, "find", lambda *_: 1 // 0)
            await unlucky.say(Attach(1, "web1"))
            reason = await unlucky.goodbye()

        assert reason.cause is Cause.INTERNAL_ERROR
        assert "ZeroDivisionError" not in reason.text
        assert "ZeroDivisionError" in caplog.text
        bench.output(b"x")
        await other.expect(Output)


async def test_so_does_one_in_an_answer_that_is_made_as_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as peer:
        await peer.greet()
        with monkeypatch.context() as bug:
            bug.setattr(bench.console, "info", lambda: 1 // 0)
            await peer.say(ListConsoles(1))
            assert (await peer.goodbye()).cause is Cause.INTERNAL_ERROR


async def test_a_client_that_breaks_off_in_the_middle_of_a_frame_is_just_gone() -> None:
    async with served(Consoles().registry) as peer:
        await peer.greet()
        await peer.send(encode(ListConsoles(1))[:-3])
        peer.socket.close()

        assert (await peer.ended()).cause is Cause.DETACHED


async def test_who_asks_without_reading_is_dismissed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_GOODBYE_DEADLINE", 0.01)
    consoles = Consoles()
    for number in range(50):
        consoles.add(f"guest{number}", uuid=f"uuid{number}")
    async with served(consoles.registry, buffer=4096) as peer:
        await peer.greet()
        await peer.say(*(ListConsoles(number) for number in range(10)))
        await peer.hear()  # it answers, and waits for the rest to be read
        peer.client.dismiss(STOPPING)
        assert await peer.ended() == STOPPING
