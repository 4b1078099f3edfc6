"""Both ends of a connection as state machines: received bytes in, typed messages out. Pure (sans-I/O).

    client                                     daemon
      | -- hello ------------------------------> |   first of all, both ways
      | <------------------------------ hello -- |
      | -- attach(id) --------------------------> |
      | <-------------------------- place(id) -- |   or refused(id)
      | <------------- output | mark | gap ... -- |   continuous from the place's position
      | -- input ------------------------------> |
      | <----------------------- input-status -- |
      | -- detach(id) --------------------------> |
      | <--------------------------- done(id) -- |
      | <---------------------------- goodbye -- |   last of all

A session that has raised ProtocolError is over: close the connection.
"""

from collections.abc import Iterator
from itertools import count

from virtmux.following import advance
from virtmux.messages import (
    ClientHello,
    ClientMessage,
    DaemonHello,
    DaemonMessage,
    Detach,
    Done,
    Gap,
    Goodbye,
    Limits,
    MarkMessage,
    Place,
    PlaceEnded,
    Refused,
    Time,
    decode_client_message,
    decode_daemon_message,
)
from virtmux.records import Position
from virtmux.wire import INPUT, MESSAGE, OUTPUT, PROTOCOL, Decoder, Input, Message, Output, ProtocolError


class DaemonSession:
    """The daemon's end: checks that a client greets first, once, and in a protocol that is spoken here."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008  # frozen
        """`limits` are those that the daemon's hello announces."""
        self._decoder = Decoder(frozenset({MESSAGE, INPUT}), message=limits.message)
        self.greeting: ClientHello | None = None

    def receive(self, data: bytes) -> Iterator[ClientMessage | Input]:
        """Take received bytes, give what the client said; exhaust the iterator before the next call.

        Raises:
            ProtocolError: the client broke the protocol; the text is for its goodbye.
        """
        for frame in self._decoder.feed(data):
            if isinstance(frame, Message):
                message = decode_client_message(frame.payload)
                self._greet(message)
                yield message
            elif isinstance(frame, Input) and self.greeting is not None:
                yield frame
            else:
                raise ProtocolError("input before hello")

    def _greet(self, message: ClientMessage) -> None:
        if isinstance(message, ClientHello):
            if self.greeting is not None:
                raise ProtocolError("a second hello")
            if message.protocol != PROTOCOL:
                raise ProtocolError(f"protocol {message.protocol} is not spoken here, only {PROTOCOL}")
            self.greeting = message
        elif self.greeting is None:
            raise ProtocolError("a request before hello")


class ClientSession:
    """A client's end: follows its position at every console and holds the daemon to it.

    `positions` maps the handle of each console with a place to the position of what comes next there: what a client
    that has lost its connection attaches with to miss nothing and get nothing twice.
    """

    def __init__(self) -> None:
        self._decoder = Decoder(frozenset({MESSAGE, OUTPUT}))
        self._ids = count(1)
        self.greeting: DaemonHello | None = None
        self.positions: dict[int, Position] = {}
        self._detaching: dict[int, int] = {}

    def next_id(self) -> int:
        """A request id that was not used before on this connection."""
        return next(self._ids)

    def detach(self, console: int) -> Detach:
        """The request that gives the place at `console` up."""
        request = Detach(self.next_id(), console)
        self._detaching[request.id] = console
        return request

    def receive(self, data: bytes) -> Iterator[DaemonMessage | Output]:
        """Take received bytes, give what the daemon said; exhaust the iterator before the next call.

        Raises:
            ProtocolError: the daemon broke the protocol, for example by output that does not follow the last.
        """
        for frame in self._decoder.feed(data):
            if isinstance(frame, Message):
                message = decode_daemon_message(frame.payload)
                self._follow(message)
                yield message
            else:
                assert isinstance(frame, Output)  # the decoder lets no input through
                self._advance(frame)
                yield frame

    def _follow(self, message: DaemonMessage) -> None:
        if (self.greeting is None) != isinstance(message, DaemonHello) and not isinstance(message, Goodbye):
            raise ProtocolError("the daemon must say hello first, and once")
        match message:
            case DaemonHello():
                if message.protocol != PROTOCOL:
                    raise ProtocolError(f"the daemon speaks protocol {message.protocol}, not {PROTOCOL}")
                self.greeting = message
            case Place():
                self._start(message)
            case MarkMessage() | Gap():
                self._advance(message)
            case Time() if message.console not in self.positions:
                raise ProtocolError(f"a time of console {message.console}, where this client has no place")
            case PlaceEnded():
                self.positions.pop(message.console, None)
            case Done() if message.id in self._detaching:
                self.positions.pop(self._detaching.pop(message.id), None)
            case Refused():
                self._detaching.pop(message.id, None)
            case _:
                pass

    def _start(self, place: Place) -> None:
        if place.info.console in self.positions:
            raise ProtocolError(f"a second place at console {place.info.console}")
        try:
            self.positions[place.info.console] = Position.parse(place.position)
        except ValueError as error:
            raise ProtocolError(str(error)) from error

    def _advance(self, record: Output | MarkMessage | Gap) -> None:
        position = self.positions.get(record.console)
        if position is None:
            raise ProtocolError(f"records of console {record.console}, where this client has no place")
        self.positions[record.console] = advance(position, record)
