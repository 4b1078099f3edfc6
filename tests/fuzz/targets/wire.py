"""The decoder of frames, at both ends."""

from collections.abc import Iterator
from contextlib import suppress

from tests.fuzz.target import Cuts, Target
from tests.harness.frames import encoded
from virtmux.wire import (
    INPUT,
    MESSAGE,
    OUTPUT,
    Decoder,
    ProtocolError,
    encode_input,
    encode_message,
    encode_output,
)

_ENDS = (frozenset({MESSAGE, INPUT}), frozenset({MESSAGE, OUTPUT}), frozenset({MESSAGE, OUTPUT, INPUT}))


def run(data: bytes) -> None:
    """Frames that are given are those that lie in the bytes, one behind the other; however these are cut."""
    cuts = Cuts(data)
    allowed, message = _ENDS[cuts.number(2)], cuts.number(0xFFFF) + 2
    decoder, given, fed = Decoder(allowed, message=message), b"", b""
    with suppress(ProtocolError):
        for piece in cuts.pieces(8):
            fed += piece
            for frame in decoder.feed(piece):
                given += encoded(frame)
            assert fed.startswith(given), "the frames are those of the bytes"


def seeds() -> Iterator[bytes]:
    """A frame of each type, several, and one that promises 4 GiB."""
    frames = [encode_message(b'{"type":"list","id":1}'), encode_output(7, 4096, b"ok"), encode_input(7, 2, 5, b"ls\r")]
    yield from frames
    yield b"".join(frames) + bytes([0, 0, 3, 0, 5, 0, 2, 0, 0xFE, 0xFF, 2, 0])
    yield b"\xff\xff\xff\xff\x01"


TARGETS = (Target("wire", run, seeds),)
