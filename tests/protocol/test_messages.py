"""Messages: what is unknown is ignored, what is wrong is a ProtocolError, and nothing else ever happens."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from virtmux.messages import (
    MAX_TEXT,
    Attach,
    ClientHello,
    ClientMessage,
    Confirm,
    Counters,
    DaemonHello,
    DaemonMessage,
    Detach,
    Done,
    Event,
    Flow,
    Goodbye,
    Hypervisor,
    HypervisorInfo,
    InputStatus,
    ListConsoles,
    MarkMessage,
    Reclaim,
    Release,
    Watch,
    decode_client_message,
    decode_daemon_message,
    encode,
    event_of,
    sendable,
)
from virtmux.reasons import Cause, ConsoleId, Phase, Reason
from virtmux.records import Attached, Break, Ended, Mark, Note
from virtmux.wire import MAX_MESSAGE, ProtocolError, encode_message

AT = "2026-01-31T12:00:00.000000Z"
CONSOLE = ConsoleId("host/QEMU/system", "qemu:///system", "web", "5f0f4a52", "serial0", 1)
REASON = Reason(cause=Cause.GUEST_DESTROYED, text="guest web was destroyed", phase=Phase.RECEIVE, at=AT)

HYPERVISOR = HypervisorInfo(
    uri="qemu:///system",
    id=None,
    connected=False,
    since=AT,
    reason=REASON,
    exclusive=True,
    consoles=0,
    counters=Counters(1, 2, {Cause.GUEST_DESTROYED: 3}),
)

CLIENT_MESSAGES: list[ClientMessage] = [
    ClientHello(software="test", features=["a"]),
    ListConsoles(1),
    Attach(2**32 - 1, "web"),
    Attach(0, "ä" * MAX_TEXT, "serial0", "qemu:///system", "position", read_only=True),
    Detach(2, 3),
    Flow(3, paused=True),
    Confirm(3),
    Release(5, "web", "serial0", "qemu:///system", 1.5),
    Release(5, "web", while_connected=True),
    Reclaim(6, "web"),
    Watch(4),
]
SERVER_MESSAGES: list[DaemonMessage] = [
    DaemonHello(software="test"),
    Done(1),
    MarkMessage(7, 2**63 - 1, 1, Attached(AT, 1, 1)),
    MarkMessage(7, 0, 2, Ended(AT, None, REASON)),
    MarkMessage(7, 0, 3, Break(AT, AT, AT)),
    MarkMessage(7, 0, 4, Note(AT, "rebooted")),
    InputStatus(7, 1, 2, 3, 4, Cause.GUEST_DESTROYED),
    InputStatus(7, 1, 2, held=True),
    Hypervisor(1, HYPERVISOR),
    Event(event="ended", at=AT, console=CONSOLE, offset=1, mark=2, reason=REASON),
    Goodbye(REASON),
]
DECODERS = [decode_client_message, decode_daemon_message]
HEADER_SIZE = 5


def client(**fields: Any) -> ClientMessage:
    return decode_client_message(json.dumps(fields).encode())


def server(**fields: Any) -> DaemonMessage:
    return decode_daemon_message(json.dumps(fields).encode())


@pytest.mark.parametrize("message", CLIENT_MESSAGES)
def test_a_clients_message_is_read_back_as_it_was_written(message: ClientMessage) -> None:
    assert decode_client_message(encode(message)[HEADER_SIZE:]) == message


@pytest.mark.parametrize("message", SERVER_MESSAGES)
def test_a_message_of_the_daemon_is_read_back_as_it_was_written(message: DaemonMessage) -> None:
    assert decode_daemon_message(encode(message)[HEADER_SIZE:]) == message


def test_a_message_larger_than_a_frame_cannot_be_encoded() -> None:
    with pytest.raises(ValueError, match="exceeds the limit"):
        encode(DaemonHello(software="x" * MAX_MESSAGE))


def test_a_break_and_its_event_say_from_and_to() -> None:
    assert b'"kind":"break","at":"a","from":"b","to":"c"' in encode(MarkMessage(1, 2, 3, Break("a", "b", "c")))
    event = Event(event="break", at=AT, console=CONSOLE, offset=1, mark=2, since="b", until="c")
    assert b'"from":"b","to":"c"' in encode(event)


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        (Attached(AT, 1, 1), {"event": "attached"}),
        (Ended(AT, 1, REASON), {"event": "ended", "reason": REASON}),
        (Break(AT, "b", "c"), {"event": "break", "since": "b", "until": "c"}),
        (Note(AT, "paused", "IOERROR"), {"event": "note", "note": "paused", "detail": "IOERROR"}),
    ],
)
def test_a_mark_is_told_as_an_event_with_what_it_says(mark: Mark, told: dict[str, Any]) -> None:
    assert event_of(CONSOLE, 5, 2, mark) == Event(at=AT, console=CONSOLE, offset=5, mark=2, **told)


def test_an_end_is_told_of_the_console_as_it_was_then() -> None:
    former = replace(CONSOLE, domain="former")
    assert event_of(CONSOLE, 5, 2, Ended(AT, 1, replace(REASON, console=former))).console == former


def test_unknown_fields_are_ignored_at_every_level() -> None:
    assert client(type="list", id=1, new={"deep": [1, None]}) == ListConsoles(1)
    record = {"kind": "note", "at": AT, "note": "rebooted", "new": 1}
    assert server(type="mark", console=7, offset=0, mark=4, record=record, new=[]) == SERVER_MESSAGES[5]


def test_a_text_can_be_sent_if_it_is_unicode_and_not_too_long() -> None:
    longest = "ä" * MAX_TEXT
    assert sendable(longest) == longest
    with pytest.raises(ValueError, match=f"^a text of {MAX_TEXT + 1} characters, and at most {MAX_TEXT} can be sent$"):
        sendable(f"{longest}b")
    with pytest.raises(ValueError, match=r"^not UTF-8: 'a\\udcff'$"):
        sendable("a\udcff")


def test_absent_fields_stand_for_their_defaults() -> None:
    assert client(type="attach", id=1, domain="web") == Attach(1, "web", None, None, None, read_only=False)
    assert client(type="hello") == ClientHello()
    assert server(type="hello") == DaemonHello()


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b'{"id":1}',
        b'{"type":null}',
        b'{"type":1}',
        b'{"type":"dance"}',
        b'{"type":"hello"} {}',
        b'{"type":"hello","type":"dance"}',
        b'\xef\xbb\xbf{"type":"hello"}',
        b'{"type":"hello","software":"\xff"}',
        b'{"type":"hello","new":"\xff"}',
        b'{"type":"hello","software":"\\ud800"}',
        b'{"type":"hello","protocol":1.5}',
        b'{"type":"hello","protocol":' + b"9" * 5000 + b"}",
        b'{"type":"hello","new":NaN}',
        b'{"type":"hello","new":' + b"[" * 60_000,
        b'{"type":"hello","new":' + b'{"a":' * 10_000,
        b"[" * MAX_MESSAGE,
    ],
)
def test_what_is_no_message_is_a_protocol_error(decode: Callable[[bytes], object], payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed message"):
        decode(payload)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "place", "id": 1},
        {"type": "list"},
        {"type": "list", "id": None},
        {"type": "list", "id": "1"},
        {"type": "list", "id": True},
        {"type": "list", "id": 1.0},
        {"type": "list", "id": -1},
        {"type": "list", "id": 2**32},
        {"type": "list", "id": 10**30},
        {"type": "hello", "protocol": -1},
        {"type": "hello", "features": "a"},
        {"type": "hello", "features": [1]},
        {"type": "hello", "features": ["a"] * 65},
        {"type": "attach", "id": 1},
        {"type": "attach", "id": 1, "domain": None},
        {"type": "attach", "id": 1, "domain": "x" * (MAX_TEXT + 1)},
        {"type": "attach", "id": 1, "domain": "web", "position": 4096},
        {"type": "attach", "id": 1, "domain": "web", "read_only": 1},
        {"type": "detach", "id": 1, "console": -1},
        {"type": "flow", "console": 1},
        {"type": "flow", "console": 1, "paused": None},
    ],
)
def test_a_missing_or_wrong_field_of_a_client_is_a_protocol_error(fields: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="malformed message"):
        client(**fields)


@pytest.mark.parametrize("word", ["hunter2", "hunter2" * 100, "a'hunter2 - at `$.type`"])
@pytest.mark.parametrize("fields", [{"type": ...}, {"type": "guest", "id": 1, "domain": "web", "action": ...}])
def test_an_error_says_where_it_is_and_repeats_nothing_that_a_client_sent(fields: dict[str, Any], word: str) -> None:
    sent = {name: word if value is ... else value for name, value in fields.items()}
    with pytest.raises(ProtocolError, match=r"^malformed message: Invalid (enum )?value - at `\$\.(type|action)`$"):
        client(**sent)


def test_an_error_of_the_daemon_repeats_what_it_sent() -> None:
    with pytest.raises(ProtocolError, match=r"^malformed message: Invalid value 'dance' - at `\$\.type`$"):
        server(type="dance")


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "attach", "id": 1, "domain": "web"},
        {"type": "done", "id": -1},
        {"type": "done", "id": 2**32},
        {"type": "gap", "console": 1, "offset": -1, "mark": 1, "to_offset": 2, "to_mark": 1},
        {"type": "gap", "console": 1, "offset": 0, "mark": 1, "to_offset": 2**63, "to_mark": 1},
        {"type": "mark", "console": 1, "offset": 0, "mark": 1, "record": {"kind": "dance", "at": AT}},
        {"type": "mark", "console": 1, "offset": 0, "mark": 1, "record": {"at": AT}},
        {
            "type": "mark",
            "console": 1,
            "offset": 0,
            "mark": 1,
            "record": {"kind": "attached", "at": AT, "attachment": -1, "incarnation": 1},
        },
        {"type": "input-status", "console": 1, "attachment": 1, "accepted": 1, "cause": "boredom"},
        {"type": "goodbye", "reason": None},
    ],
)
def test_a_missing_or_wrong_field_of_the_daemon_is_a_protocol_error(fields: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="malformed message"):
        server(**fields)


@pytest.mark.parametrize("decode", DECODERS)
def test_the_text_of_a_protocol_error_fits_into_a_goodbye(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(b'{"type":"' + b"x" * 65_000 + b'"}')
    assert len(str(caught.value)) < 300


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_arbitrary_bytes_are_a_message_or_a_protocol_error(payload: bytes) -> None:
    for decode in DECODERS:
        try:
            decode(payload)
        except ProtocolError:
            continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
TYPES = ["hello", "list", "attach", "detach", "flow", "watch", "place", "mark", "gap", "input-status", "event"]
FIELDS = ["id", "console", "domain", "position", "offset", "mark", "record", "reason", "limits", "info", "paused"]


@given(st.sampled_from(TYPES), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_values_in_known_messages_are_a_message_or_a_protocol_error(kind: str, fields: dict[str, Any]) -> None:
    payload = json.dumps({"type": kind, **fields}).encode()
    for decode in DECODERS:
        try:
            message = decode(payload)
        except ProtocolError:
            continue
        assert encode(message) == encode_message(encode(message)[HEADER_SIZE:])
