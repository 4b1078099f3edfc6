"""Sessions: greeting rules at both ends, and a client that holds the daemon to the order of records."""

from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness import scripted_daemon
from virtmux.messages import (
    Attach,
    ClientHello,
    ClientMessage,
    DaemonHello,
    DaemonMessage,
    Done,
    Gap,
    Goodbye,
    Limits,
    ListConsoles,
    MarkMessage,
    Place,
    PlaceEnded,
    Refused,
    Time,
    encode,
)
from virtmux.reasons import Cause, Phase, Reason
from virtmux.records import Note, Position
from virtmux.session import ClientSession, DaemonSession
from virtmux.wire import HEADER_SIZE, Input, Output, ProtocolError, encode_input, encode_message, encode_output

AT = "2026-01-31T12:00:00.000000Z"
HISTORY = "0123456789abcdef0123456789abcdef"
NOTE = Note(AT, "rebooted")
REASON = Reason(cause=Cause.IDLE, text="idle", phase=Phase.CLIENT, at=AT)


def place(console: int = 7, offset: int = 100, mark: int = 3, position: str | None = None, request: int = 1) -> Place:
    position = position or f"{HISTORY}:{offset}:{mark}"
    return scripted_daemon.place(request, position=position, end=f"{HISTORY}:5000:9", console=console)


def at(offset: int, mark: int) -> Position:
    return Position(HISTORY, offset, mark)


class Daemon:
    """Speaks to a client's session, and gives back what the session made of it."""

    def __init__(self, *said: DaemonMessage) -> None:
        self.session = ClientSession()
        self.say(DaemonHello(), *said)

    def say(self, *messages: DaemonMessage) -> list[DaemonMessage | Output]:
        return [read for message in messages for read in self.session.receive(encode(message))]

    def output(self, data: bytes, *, offset: int, console: int = 7) -> list[DaemonMessage | Output]:
        return list(self.session.receive(encode_output(console, offset, data)))

    def mark(self, offset: int, mark: int, console: int = 7) -> list[DaemonMessage | Output]:
        return self.say(MarkMessage(console, offset, mark, NOTE))

    def gap(self, start: tuple[int, int], stop: tuple[int, int]) -> list[DaemonMessage | Output]:
        return self.say(Gap(7, *start, *stop))


# The daemon's end.


def client_says(*frames: bytes) -> list[ClientMessage | Input]:
    return list(DaemonSession().receive(b"".join(frames)))


def test_the_daemon_reads_requests_and_input_behind_a_hello() -> None:
    session = DaemonSession()
    frames = [encode(ClientHello(software="test")), encode(Attach(1, "web")), encode_input(7, 1, 0, b"ls\r")]
    expected = [ClientHello(software="test"), Attach(1, "web"), Input(7, 1, 0, b"ls\r")]
    assert list(session.receive(b"".join(frames))) == expected
    assert session.greeting == ClientHello(software="test")


def test_a_request_before_hello_is_refused() -> None:
    with pytest.raises(ProtocolError, match="before hello"):
        client_says(encode(ListConsoles(1)))


def test_input_before_hello_is_refused() -> None:
    with pytest.raises(ProtocolError, match="input before hello"):
        client_says(encode_input(7, 1, 0, b"x"))


def test_a_second_hello_is_refused() -> None:
    with pytest.raises(ProtocolError, match="second hello"):
        client_says(encode(ClientHello()), encode(ClientHello()))


@pytest.mark.parametrize("protocol", [0, 2, 2**32 - 1])
def test_another_protocol_is_refused_by_its_number(protocol: int) -> None:
    with pytest.raises(ProtocolError, match=f"protocol {protocol} is not spoken here, only 1"):
        client_says(encode(ClientHello(protocol=protocol)))


def test_a_message_that_is_larger_than_the_daemon_has_announced_is_refused() -> None:
    hello = encode(ClientHello(software="test"))
    size = len(hello) - HEADER_SIZE
    assert len(list(DaemonSession(Limits(message=size)).receive(hello))) == 1
    with pytest.raises(ProtocolError, match=f"payload of {size} bytes, not 2 to {size - 1}"):
        list(DaemonSession(Limits(message=size - 1)).receive(hello))


def test_output_from_a_client_is_refused() -> None:
    with pytest.raises(ProtocolError, match="unexpected type 2"):
        client_says(encode(ClientHello()), encode_output(7, 0, b"x"))


def test_a_message_of_the_daemon_is_refused_from_a_client() -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        client_says(encode(ClientHello()), encode(Done(1)))


@given(
    st.lists(st.binary(max_size=60) | st.binary(min_size=2, max_size=60).map(encode_message), max_size=6), st.booleans()
)
def test_the_daemon_survives_any_bytes_with_nothing_but_a_protocol_error(chunks: list[bytes], greeted: bool) -> None:
    session = DaemonSession()
    with suppress(ProtocolError):
        for chunk in [encode(ClientHello()), *chunks] if greeted else chunks:
            list(session.receive(chunk))


# A client's end.


def test_a_client_keeps_the_daemons_greeting() -> None:
    assert Daemon().session.greeting == DaemonHello()


def test_a_message_before_the_daemons_hello_is_refused() -> None:
    with pytest.raises(ProtocolError, match="hello first"):
        list(ClientSession().receive(encode(Done(1))))


def test_output_before_the_daemons_hello_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no place"):
        list(ClientSession().receive(encode_output(7, 0, b"x")))


def test_a_second_hello_of_the_daemon_is_refused() -> None:
    with pytest.raises(ProtocolError, match="and once"):
        Daemon().say(DaemonHello())


def test_a_daemon_of_another_protocol_is_refused_by_its_number() -> None:
    with pytest.raises(ProtocolError, match="protocol 2, not 1"):
        list(ClientSession().receive(encode(DaemonHello(protocol=2))))


def test_a_goodbye_is_understood_before_and_behind_the_hello() -> None:
    assert list(ClientSession().receive(encode(Goodbye(REASON)))) == [Goodbye(REASON)]
    assert Daemon().say(Goodbye(REASON)) == [Goodbye(REASON)]


def test_input_from_the_daemon_is_refused() -> None:
    with pytest.raises(ProtocolError, match="unexpected type 3"):
        list(Daemon().session.receive(encode_input(7, 1, 0, b"x")))


def test_request_ids_are_not_used_twice() -> None:
    session = ClientSession()
    assert [session.next_id(), session.detach(7).id, session.next_id()] == [1, 2, 3]


def test_a_place_starts_at_its_position_and_every_record_moves_it() -> None:
    daemon = Daemon(place(offset=100, mark=3))
    positions = [daemon.session.positions[7]]
    for frame in (
        encode_output(7, 100, b"abc"),
        encode(MarkMessage(7, 103, 3, NOTE)),
        encode(MarkMessage(7, 103, 4, NOTE)),
        encode(Gap(7, 103, 5, 200, 5)),
        encode(Gap(7, 200, 5, 200, 8)),
        encode_output(7, 200, b"x"),
    ):
        assert len(list(daemon.session.receive(frame))) == 1
        positions.append(daemon.session.positions[7])
    assert positions == [at(100, 3), at(103, 3), at(103, 4), at(103, 5), at(200, 5), at(200, 8), at(201, 8)]


def test_places_at_several_consoles_are_followed_apart() -> None:
    daemon = Daemon(place(7, 0, 1), place(8, 50, 2))
    daemon.output(b"ab", offset=50, console=8)
    daemon.mark(0, 1, console=7)
    assert daemon.session.positions == {7: at(0, 2), 8: at(52, 2)}


@pytest.mark.parametrize("offset", [0, 99, 101])
def test_output_that_does_not_follow_is_refused(offset: int) -> None:
    daemon = Daemon(place(offset=100))
    with pytest.raises(ProtocolError, match=f"expected {HISTORY}:100:3"):
        daemon.output(b"x", offset=offset)
    assert daemon.session.positions[7] == at(100, 3)


@pytest.mark.parametrize(("offset", "mark"), [(99, 3), (101, 3), (100, 2), (100, 4)])
def test_a_mark_that_does_not_follow_is_refused(offset: int, mark: int) -> None:
    with pytest.raises(ProtocolError, match="expected"):
        Daemon(place(offset=100, mark=3)).mark(offset, mark)


@pytest.mark.parametrize(("offset", "mark"), [(99, 3), (101, 3), (100, 2), (100, 4)])
def test_a_gap_that_does_not_follow_is_refused(offset: int, mark: int) -> None:
    with pytest.raises(ProtocolError, match="expected"):
        Daemon(place(offset=100, mark=3)).gap((offset, mark), (200, 9))


@pytest.mark.parametrize("stop", [(99, 3), (100, 2), (99, 4), (101, 2)])
def test_a_gap_that_goes_back_is_refused(stop: tuple[int, int]) -> None:
    with pytest.raises(ProtocolError, match="goes back"):
        Daemon(place(offset=100, mark=3)).gap((100, 3), stop)


def test_records_without_a_place_are_refused() -> None:
    with pytest.raises(ProtocolError, match="no place"):
        Daemon(place(7)).output(b"x", offset=100, console=8)


def test_a_time_without_a_place_is_refused() -> None:
    assert Daemon(place(7)).say(Time(7, 100, AT)) == [Time(7, 100, AT)]
    with pytest.raises(ProtocolError, match="no place"):
        Daemon(place(7)).say(Time(8, 100, AT))


def test_a_second_place_at_a_console_is_refused() -> None:
    with pytest.raises(ProtocolError, match="second place"):
        Daemon(place(7)).say(place(7, request=2))


def test_a_place_without_a_position_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not a position"):
        Daemon().say(place(position="somewhere"))


def test_a_place_ends_with_place_ended_and_may_begin_again() -> None:
    daemon = Daemon(place(), PlaceEnded(7, REASON))
    assert daemon.session.positions == {}
    with pytest.raises(ProtocolError, match="no place"):
        daemon.mark(100, 3)
    daemon.say(place(offset=500))
    assert daemon.session.positions == {7: at(500, 3)}


def test_a_place_ends_with_the_answer_to_detach_and_not_before() -> None:
    daemon = Daemon(place())
    request = daemon.session.detach(7)
    daemon.say(Done(request.id + 1))
    daemon.output(b"x", offset=100)
    daemon.say(Done(request.id))
    assert daemon.session.positions == {}


def test_a_refused_detach_leaves_the_place() -> None:
    daemon = Daemon(place())
    request = daemon.session.detach(7)
    daemon.say(Refused(request.id, REASON), Done(request.id))
    assert daemon.session.positions == {7: at(100, 3)}


def test_a_detach_that_crosses_the_end_of_its_place_is_answered_all_the_same() -> None:
    daemon = Daemon(place())
    request = daemon.session.detach(7)
    assert len(daemon.say(PlaceEnded(7, REASON), Done(request.id))) == 2
    assert daemon.session.positions == {}


def test_the_end_of_a_place_that_crosses_the_answer_to_detach_is_told_all_the_same() -> None:
    daemon = Daemon(place())
    request = daemon.session.detach(7)
    assert len(daemon.say(Done(request.id), PlaceEnded(7, REASON))) == 2
    assert daemon.session.positions == {}


def test_a_refusal_of_another_request_leaves_the_detach_to_be_answered() -> None:
    daemon = Daemon(place())
    request = daemon.session.detach(7)
    daemon.say(Refused(request.id + 1, REASON), Done(request.id))
    assert daemon.session.positions == {}


@given(st.lists(st.tuples(st.sampled_from(["output", "mark", "gap"]), st.integers(1, 50)), max_size=20), st.data())
def test_any_continuous_records_in_any_chunks_lead_to_their_sum(
    steps: list[tuple[str, int]], data: st.DataObject
) -> None:
    offset, mark, stream = 0, 1, encode(DaemonHello()) + encode(place(offset=0, mark=1))
    for kind, size in steps:
        match kind:
            case "output":
                stream += encode_output(7, offset, bytes(size))
                offset += size
            case "mark":
                stream += encode(MarkMessage(7, offset, mark, NOTE))
                mark += 1
            case _:
                stream += encode(Gap(7, offset, mark, offset + size, mark + size // 2))
                offset, mark = offset + size, mark + size // 2
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8))), len(stream)]
    session = ClientSession()
    read: list[Any] = [item for start, stop in pairwise(cuts) for item in session.receive(stream[start:stop])]
    assert len(read) == 2 + len(steps)
    assert session.positions == {7: at(offset, mark)}
