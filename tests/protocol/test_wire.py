"""Frames: any chunking gives the same frames, limits hold at their boundary, nothing is kept that is not needed."""

import tracemalloc
from contextlib import suppress
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.frames import encoded
from virtmux.wire import (
    INPUT,
    MAX_INPUT,
    MAX_MESSAGE,
    MAX_OUTPUT,
    MESSAGE,
    OUTPUT,
    PAYLOAD_LIMITS,
    Decoder,
    Frame,
    Input,
    Message,
    Output,
    ProtocolError,
    encode_input,
    encode_message,
    encode_output,
)

ALL = frozenset({MESSAGE, OUTPUT, INPUT})
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)

FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Message, st.binary(min_size=2, max_size=64)),
    st.builds(Output, U32, U64, st.binary(min_size=1, max_size=64)),
    st.builds(Input, U32, U32, U64, st.binary(min_size=1, max_size=64)),
)


def decode(data: bytes, allowed: frozenset[int] = ALL) -> list[Frame]:
    return list(Decoder(allowed).feed(data))


def header(kind: int, payload_size: int) -> bytes:
    return pack(">IB", payload_size + 1, kind)


EXAMPLES: list[Frame] = [Message(b"{}"), Output(7, 2**40, b"out"), Input(7, 2, 9, b"in"), Message(b'{"a":"b"}')]


def test_a_frame_split_at_every_byte_arrives_whole_and_not_early() -> None:
    for frame in EXAMPLES:
        data = encoded(frame)
        for cut in range(len(data)):
            decoder = Decoder(ALL)
            assert list(decoder.feed(data[:cut])) == []
            assert list(decoder.feed(data[cut:])) == [frame]


def test_frames_that_arrive_byte_by_byte_come_in_order() -> None:
    decoder = Decoder(ALL)
    data = b"".join(map(encoded, EXAMPLES))
    assert [frame for byte in data for frame in decoder.feed(bytes([byte]))] == EXAMPLES


def test_several_frames_in_one_feed_are_all_given_and_the_rest_is_kept() -> None:
    decoder = Decoder(ALL)
    data = b"".join(map(encoded, EXAMPLES))
    assert list(decoder.feed(data + data[:-1])) == EXAMPLES + EXAMPLES[:-1]
    assert list(decoder.feed(data[-1:])) == EXAMPLES[-1:]


@given(st.lists(FRAMES, max_size=8), st.data())
def test_any_chunking_of_any_frames_gives_these_frames(frames: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(map(encoded, frames))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    decoder = Decoder(ALL)
    chunks = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [frame for chunk in chunks for frame in decoder.feed(chunk)] == frames


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_arbitrary_bytes_give_frames_or_a_protocol_error(chunks: list[bytes]) -> None:
    decoder = Decoder(ALL)
    with suppress(ProtocolError):
        for chunk in chunks:
            for frame in decoder.feed(chunk):
                assert isinstance(frame, Frame)


@pytest.mark.parametrize("kind", sorted(ALL))
def test_a_payload_of_the_smallest_and_the_largest_size_is_a_frame(kind: int) -> None:
    for size in PAYLOAD_LIMITS[kind]:
        assert len(decode(header(kind, size) + bytes(size))) == 1


@pytest.mark.parametrize("kind", sorted(ALL))
def test_a_payload_beyond_either_limit_is_refused_at_its_header(kind: int) -> None:
    smallest, largest = PAYLOAD_LIMITS[kind]
    for size in (smallest - 1, largest + 1):
        with pytest.raises(ProtocolError, match=f"payload of {size} bytes"):
            decode(header(kind, size))


def test_the_payload_limits_are_those_of_the_data() -> None:
    assert decode(encode_message(bytes(MAX_MESSAGE))) == [Message(bytes(MAX_MESSAGE))]
    assert decode(encode_output(1, 2, bytes(MAX_OUTPUT))) == [Output(1, 2, bytes(MAX_OUTPUT))]
    assert decode(encode_input(1, 2, 3, bytes(MAX_INPUT))) == [Input(1, 2, 3, bytes(MAX_INPUT))]
    for frame in (encode_output(1, 2, bytes(MAX_OUTPUT + 1)), encode_input(1, 2, 3, bytes(MAX_INPUT + 1))):
        with pytest.raises(ProtocolError):
            decode(frame)


def test_a_length_of_zero_is_refused() -> None:
    with pytest.raises(ProtocolError):
        decode(pack(">IB", 0, MESSAGE))


@pytest.mark.parametrize("kind", sorted(ALL))
def test_a_header_that_promises_4_gib_is_refused_before_any_payload(kind: int) -> None:
    with pytest.raises(ProtocolError, match="4294967294"):
        decode(pack(">IB", 2**32 - 1, kind))


@pytest.mark.parametrize("kind", [0, 4, 0x7B, 255])
def test_an_unknown_type_is_refused_at_its_header(kind: int) -> None:
    with pytest.raises(ProtocolError, match=f"unexpected type {kind}"):
        decode(header(kind, 10))


def test_a_type_that_the_peer_may_not_send_is_refused() -> None:
    assert decode(encode_input(1, 1, 0, b"x"), frozenset({MESSAGE, INPUT})) == [Input(1, 1, 0, b"x")]
    with pytest.raises(ProtocolError, match="unexpected type 2"):
        decode(encode_output(1, 0, b"x"), frozenset({MESSAGE, INPUT}))


def test_frames_before_a_bad_one_are_given_and_the_bad_one_stays_bad() -> None:
    decoder = Decoder(ALL)
    frames = decoder.feed(encoded(EXAMPLES[0]) + header(9, 5))
    assert next(frames) == EXAMPLES[0]
    with pytest.raises(ProtocolError):
        next(frames)
    with pytest.raises(ProtocolError):
        list(decoder.feed(encoded(EXAMPLES[0])))


def test_a_message_that_exceeds_the_limit_cannot_be_encoded() -> None:
    with pytest.raises(ValueError, match="65537"):
        encode_message(bytes(MAX_MESSAGE + 1))


def test_data_may_be_a_view_into_a_buffer() -> None:
    view = memoryview(b"abcdef")[2:4]
    assert decode(encode_output(1, 2, view) + encode_input(1, 2, 3, view)) == [
        Output(1, 2, b"cd"),
        Input(1, 2, 3, b"cd"),
    ]


def test_memory_is_bounded_by_one_frame_however_much_passes() -> None:
    decoder = Decoder(ALL)
    stream = encode_output(1, 0, bytes(MAX_OUTPUT)) * 3
    largest = len(stream) // 3
    tracemalloc.start()
    try:
        for _ in range(100):
            for start in range(0, len(stream), 50_000):
                for _frame in decoder.feed(stream[start : start + 50_000]):
                    pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The buffer (a frame and a chunk, overallocated by an eighth), the chunk and the frame that is given.
    assert peak < 5 * largest
