"""The service side of one client, over a real socketpair, with real consoles that have no hypervisor."""

import pytest

from tests.harness.consoles import OTHER_UUID, Consoles, always, held
from tests.harness.served import STOPPING, everything_taken, limited, served
from virtmux.features import Feature
from virtmux.messages import (
    Attach,
    ClientHello,
    Console,
    Counters,
    DaemonHello,
    Done,
    Event,
    Goodbye,
    Hypervisor,
    HypervisorInfo,
    ListConsoles,
    Watch,
    encode,
)
from virtmux.reasons import Cause, Phase, Reason
from virtmux.wire import MAX_MESSAGE, MAX_OUTPUT, Output, encode_message, encode_output
from virtmuxd.service import client as client_module
from virtmuxd.service.client_place import ClientPlace

# The handshake.


async def test_hello_is_answered_by_hello() -> None:
    async with served(Consoles().registry, limits=limited(input_window=20000, message_size=5000)) as peer:
        await peer.say(ClientHello())

        hello = await peer.expect(DaemonHello)

        assert (hello.protocol, hello.software) == (1, "virtmuxd test")
        assert (hello.limits.input_window, hello.limits.message) == (20000, 5000)


async def test_requests_may_follow_hello_at_once() -> None:
    async with served(Consoles().registry) as peer:
        await peer.say(ClientHello(), ListConsoles(1))

        await peer.expect(DaemonHello)
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


async def test_one_in_what_a_client_is_told_of_another_ends_the_one_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consoles = always()
    bench = held(consoles)
    async with served(consoles.registry) as told, served(consoles.registry) as newcomer:
        for peer in (told, newcomer):
            await peer.greet(Feature.ROLES)
        await told.placed(company=True)
        with monkeypatch.context() as bug:
            bug.setattr(ClientPlace, "_company", lambda _: 1 // 0)
            await newcomer.attach()
            assert (await told.goodbye()).cause is Cause.INTERNAL_ERROR
        bench.output(b"x")
        await newcomer.expect(Output)


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
