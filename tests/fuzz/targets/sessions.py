"""Both ends of a connection. The pieces of an input are frames, so that what lies behind the decoder is reached."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from tests.fuzz.target import Target
from tests.fuzz.targets import messages
from virtmux.messages import ClientHello, ClientMessage, DaemonHello, DaemonMessage, encode
from virtmux.records import Position
from virtmux.session import ClientSession, DaemonSession
from virtmux.wire import HEADER_SIZE, INPUT, MAX_MESSAGE, MESSAGE, OUTPUT, ProtocolError

_SEPARATOR = b"\n"  # stands in no message as it is encoded, and ends a frame here
_RAW = b"="


def server(data: bytes) -> None:
    """A client is let in by a hello alone, and breaks nothing but its own connection."""
    session = DaemonSession()
    with suppress(ProtocolError):
        for frame in _frames(data, INPUT):
            for said in session.receive(frame):
                assert session.greeting is not None
                assert isinstance(said, ClientHello) == (said is session.greeting)


def client(data: bytes) -> None:
    """The position at each console never goes back, whatever a daemon says."""
    session, before = ClientSession(), dict[int, Position]()
    with suppress(ProtocolError):
        for frame in _frames(data, OUTPUT):
            for _ in session.receive(frame):
                for console, position in session.positions.items():
                    former = before.get(console)
                    assert former is None or _place(former) <= _place(position)
                before = dict(session.positions)


def _place(position: Position) -> tuple[int, int]:
    return position.offset, position.mark


def _frames(data: bytes, raw: int) -> Iterator[bytes]:
    """A line of an input is a message; or a frame of the type `raw`, or bytes as they are."""
    for line in data.split(_SEPARATOR):
        if line.startswith(_RAW * 2):
            yield line[2:]
        else:
            kind, payload = (raw, line[1:]) if line.startswith(_RAW) else (MESSAGE, line)
            yield (len(payload) + 1).to_bytes(4, "big") + bytes([kind]) + payload


def _conversation(hello: ClientMessage | DaemonMessage, more: Iterable[bytes], frame: bytes) -> Iterator[bytes]:
    first = encode(hello)[HEADER_SIZE:]
    lines = [line for line in more if len(line) < MAX_MESSAGE]
    for line in lines:
        yield first + _SEPARATOR + line
    yield _SEPARATOR.join([first, *lines, _RAW + frame, _RAW * 2 + b"\0\0"])
    yield _SEPARATOR.join([first, *(line for line in lines if b'"place"' in line), _RAW + frame, *lines])


def server_seeds() -> Iterator[bytes]:
    """A hello and each request; all of them."""
    frame = (1).to_bytes(4, "big") * 2 + bytes(8) + b"ls\r"
    yield from _conversation(ClientHello(), messages.seeds(ClientMessage), frame)


def client_seeds() -> Iterator[bytes]:
    """A hello and each answer; all of them; a place, and what comes to it."""
    frame = (1).to_bytes(4, "big") + (5).to_bytes(8, "big") + b"output"
    yield from _conversation(DaemonHello(), messages.seeds(DaemonMessage), frame)


TARGETS = (Target("server-session", server, server_seeds), Target("client-session", client, client_seeds))
