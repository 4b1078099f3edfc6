"""Frames: how messages, output and input lie in the byte stream between a client and the daemon.

A frame is `u32 length` (of what follows), `u8 type`, payload; all integers are big-endian. Pure: bytes in, frames out.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Annotated, NamedTuple

from msgspec import Meta

PROTOCOL = 1
"""The version of all this that is spoken here, as a `hello` names it."""

#: The types of frames.
MESSAGE = 1
OUTPUT = 2
INPUT = 3

#: The most that a frame of each type carries, in bytes: JSON, a console's output, input for one.
MAX_MESSAGE = 65536
MAX_OUTPUT = 65536
MAX_INPUT = 16384

U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
"""A request's `id` (chosen by the client, repeated in the answer), a console's handle, or a count of openings."""
U63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""An offset, the number of a mark or a sum of bytes: fits the signed 64-bit integers of other languages."""

_HEADER = Struct(">IB")
#: Bytes of a frame before its payload.
HEADER_SIZE = _HEADER.size
#: With what stands before the data: the console and the offset; the console, the attachment and the input offset.
_OUTPUT = Struct(">IBIQ")
_INPUT = Struct(">IBIIQ")
_LENGTH_SIZE = 4

#: The largest and the smallest payload a type may have, in bytes.
PAYLOAD_LIMITS: dict[int, tuple[int, int]] = {
    MESSAGE: (2, MAX_MESSAGE),
    OUTPUT: (_OUTPUT.size - HEADER_SIZE + 1, _OUTPUT.size - HEADER_SIZE + MAX_OUTPUT),
    INPUT: (_INPUT.size - HEADER_SIZE + 1, _INPUT.size - HEADER_SIZE + MAX_INPUT),
}


class ProtocolError(Exception):
    """The peer broke the protocol; the text says how. The connection cannot go on: say goodbye and close it."""


class Message(NamedTuple):
    """A JSON message, not yet decoded."""

    payload: bytes


class Output(NamedTuple):
    """Bytes of a console's output, the first of them at `offset`; `console` is its handle."""

    console: int
    offset: int
    data: bytes


class Input(NamedTuple):
    """Bytes for a console's input within `attachment`; `input_offset` counts this client's bytes there, from 0.
    `console` is its handle."""

    console: int
    attachment: int
    input_offset: int
    data: bytes


Frame = Message | Output | Input
"""A frame that was received whole."""


def encode_message(payload: bytes) -> bytes:
    """Frame a JSON message of at most `MAX_MESSAGE` bytes.

    Raises:
        ValueError: it is longer.
    """
    if len(payload) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(payload)} bytes exceeds the limit of {MAX_MESSAGE}")
    return _HEADER.pack(1 + len(payload), MESSAGE) + payload


def encode_output(console: int, offset: int, data: bytes | memoryview) -> bytes:
    """Frame 1 to `MAX_OUTPUT` bytes of output. The one copy that all caught-up clients share."""
    return b"".join((_OUTPUT.pack(_OUTPUT.size - _LENGTH_SIZE + len(data), OUTPUT, console, offset), data))


def encode_input(console: int, attachment: int, input_offset: int, data: bytes | memoryview) -> bytes:
    """Frame 1 to `MAX_INPUT` bytes of input."""
    header = _INPUT.pack(_INPUT.size - _LENGTH_SIZE + len(data), INPUT, console, attachment, input_offset)
    return b"".join((header, data))


class Decoder:
    """Turns received bytes into frames of the types that the peer may send.

    Holds at most one incomplete frame, so its memory is bounded by the largest allowed payload. Where it has raised,
    the connection is over: what comes then raises again.
    """

    def __init__(self, allowed: frozenset[int], *, message: int = MAX_MESSAGE) -> None:
        """`message`: no JSON message may be larger, in bytes."""
        self._limits = {kind: PAYLOAD_LIMITS[kind] for kind in allowed}
        if MESSAGE in allowed:
            self._limits[MESSAGE] = PAYLOAD_LIMITS[MESSAGE][0], message
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take received bytes and give the frames that they complete, in order.

        Exhaust the iterator before the next call.

        Raises:
            ProtocolError: a frame of unknown or forbidden type, or of impossible length. It is raised as soon as the
                header shows it, before the payload arrives.
        """
        self._buffer += data
        position, end = 0, len(self._buffer)
        try:
            while end - position >= HEADER_SIZE:
                length, kind = _HEADER.unpack_from(self._buffer, position)
                self._check(kind, length - 1)
                stop = position + _LENGTH_SIZE + length
                if stop > end:
                    break
                start, position = position, stop
                yield self._frame(kind, start, stop)
        finally:
            del self._buffer[:position]

    def _check(self, kind: int, size: int) -> None:
        if kind not in self._limits:
            raise ProtocolError(f"frame of unexpected type {kind}")
        smallest, largest = self._limits[kind]
        if not smallest <= size <= largest:
            raise ProtocolError(f"frame of type {kind} with a payload of {size} bytes, not {smallest} to {largest}")

    def _frame(self, kind: int, start: int, stop: int) -> Frame:
        if kind == OUTPUT:
            _, _, console, offset = _OUTPUT.unpack_from(self._buffer, start)
            return Output(console, offset, self._slice(start + _OUTPUT.size, stop))
        if kind == INPUT:
            _, _, console, attachment, input_offset = _INPUT.unpack_from(self._buffer, start)
            return Input(console, attachment, input_offset, self._slice(start + _INPUT.size, stop))
        return Message(self._slice(start + HEADER_SIZE, stop))

    def _slice(self, start: int, stop: int) -> bytes:
        return bytes(memoryview(self._buffer)[start:stop])
