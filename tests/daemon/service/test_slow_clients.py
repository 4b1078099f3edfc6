"""Clients that do not read, ask for much, or send too fast: they hold up nobody else, and cost little."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tests.harness.consoles import Consoles, always, held
from tests.harness.served import STOPPING, empty_library, limited, served
from virtmux.messages import (
    Attach,
    Console,
    Detach,
    Done,
    Flow,
    Gap,
    Goodbye,
    Histories,
    ListConsoles,
    MarkMessage,
    Place,
    Refused,
    encode,
)
from virtmux.reasons import Cause
from virtmux.records import Position
from virtmux.wire import MAX_OUTPUT, Output, encode_message
from virtmuxd.core.events import Noted, Policy
from virtmuxd.core.limits import LimitRules
from virtmuxd.core.past import PastConsole, PastRecords
from virtmuxd.service import client as client_module
from virtmuxd.service.journal.archive import DiskArchive
from virtmuxd.service.journal.readers import Readers
from virtmuxd.service.outgoing import MAX_PROMISED
from virtmuxd.service.places import MAX_PAST, Places


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

    monkeypatch.setattr(client_module.Client, "_list", counted)
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
