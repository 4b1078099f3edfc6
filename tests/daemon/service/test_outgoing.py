"""What is sent to one client, and in which order."""

import asyncio
import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.harness.records import HANDLE, append, sequence
from tests.harness.served import DEADLINE
from virtmux.messages import Done, encode
from virtmux.wire import HEADER_SIZE, MESSAGE, OUTPUT, Decoder, Frame, Message, Output
from virtmuxd.core.sequence import Sequence
from virtmuxd.service.outgoing import Feed, Outgoing


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's end and the daemon's."""
    client, daemon = socket.socketpair()
    with client, daemon:
        for each in (client, daemon):
            each.setblocking(False)
        yield client, daemon


def broken() -> None:
    pytest.fail("the client is there")


def failed() -> None:
    raise AssertionError("there is no bug")


def flowing(
    daemon: socket.socket, full: list[int], broken: Callable[[], None] = broken
) -> tuple[Outgoing, Sequence, Feed]:
    """The records of a console on their way."""
    outgoing = Outgoing(daemon, broken, lambda: full.append(1), failed)
    records = sequence(1 << 22)
    feed = Feed(outgoing, records)
    feed.flow(paused=False)
    return outgoing, records, feed


async def test_what_comes_goes_to_an_idle_client_without_a_detour(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, daemon = pair
    outgoing, records, feed = flowing(daemon, [])
    monkeypatch.setattr(outgoing, "pump", lambda: pytest.fail("it was woken"))

    append(records, b"login: ")
    append(records, b"root")

    received = list(Decoder(frozenset({OUTPUT})).feed(client.recv(1000)))
    assert received == [Output(HANDLE, 0, b"login: "), Output(HANDLE, 7, b"root")]
    assert feed.is_level
    outgoing.close()


async def test_a_client_that_reads_slowly_is_sent_each_byte_once_and_in_order(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, daemon = pair
    full: list[int] = []
    outgoing, records, feed = flowing(daemon, full)
    written = b"".join(bytes([number % 251]) * 10_007 for number in range(100))
    for at in range(0, len(written), 10_007):
        append(records, written[at : at + 10_007])
    assert (bool(full), feed.is_level) == (True, False)
    outgoing.answer(Done(1))  # goes before the output that waits, and behind the frame that is under way

    loop, decoder, received = asyncio.get_running_loop(), Decoder(frozenset({MESSAGE, OUTPUT})), b""
    async with asyncio.timeout(DEADLINE):
        while len(received) < len(written):
            for each in decoder.feed(await loop.sock_recv(client, 5000)):
                if isinstance(each, Output):
                    assert each.offset == len(received)
                    received += each.data

    assert received == written
    assert feed.is_level
    outgoing.close()


async def test_a_place_that_is_paused_is_sent_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    client, daemon = pair
    outgoing, records, feed = flowing(daemon, [])
    feed.flow(paused=True)

    append(records, b"login: ")
    with pytest.raises(BlockingIOError):
        client.recv(1)

    feed.flow(paused=False)
    assert list(Decoder(frozenset({OUTPUT})).feed(client.recv(1000))) == [Output(HANDLE, 0, b"login: ")]
    outgoing.close()


async def test_that_an_idle_client_is_gone_is_found_by_what_it_is_offered(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, daemon = pair
    gone: list[int] = []
    outgoing, records, _ = flowing(daemon, [], lambda: gone.append(1))
    client.close()

    append(records, b"login: ")

    assert (gone, outgoing.is_broken) == ([1], True)


async def test_many_answers_are_made_as_they_are_read_and_nothing_more_is_taken_before(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, daemon = pair
    outgoing, records, _ = flowing(daemon, [])
    made: list[int] = []

    def many() -> Iterator[Done]:
        for number in range(50_000):
            made.append(number)
            yield Done(number)

    outgoing.answer_in_turn(many())
    append(records, b"login: ")
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(made) < 40_000, "the socket is full"

    loop, decoder = asyncio.get_running_loop(), Decoder(frozenset({MESSAGE, OUTPUT}))
    heard: list[Frame] = []
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        room = tasks.create_task(outgoing.room_for_answers())
        while len(heard) <= 50_000:
            assert not room.done() or len(made) == 50_000
            heard += decoder.feed(await loop.sock_recv(client, 65536))

    assert heard == [*(Message(encode(Done(number))[HEADER_SIZE:]) for number in made), Output(HANDLE, 0, b"login: ")]
    outgoing.close()


async def test_a_bug_in_what_is_to_be_sent_is_the_clients_and_not_of_who_has_something_for_it(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[BaseException | None] = []
    outgoing = Outgoing(pair[1], broken, lambda: None, lambda: failures.append(sys.exception()))
    feed = Feed(outgoing, sequence())
    monkeypatch.setattr(feed, "take", lambda: 1 // 0)

    feed.flow(paused=False)

    assert [type(each) for each in failures] == [ZeroDivisionError]
    outgoing.close()
