"""Whatever bytes come, each target returns or raises what it documents, in bounded memory.

`make fuzz` looks for such bytes by what code they lead to, for as long as one likes, and keeps them in `corpus/`.
"""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

#: Bytes that a target may take for an input, besides so many for each byte of it.
_ROOM, _FOR_EACH = 4 << 20, 64


@st.composite
def changed(draw: st.DrawFn, inputs: list[bytes]) -> bytes:
    """One of the inputs, with some bytes taken out, and others put in: of any kind, or of another input."""
    data = draw(st.sampled_from(inputs))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(data)))
        end = draw(st.integers(begin, min(len(data), begin + 64)))
        other = draw(st.sampled_from(inputs))
        cut = draw(st.integers(0, len(other)))
        put = draw(st.binary(max_size=16) | st.just(data[begin:end] * 2) | st.just(other[cut:]))
        data = data[:begin] + put + data[end:]
    return data


@pytest.fixture(params=TARGETS, scope="module")
def target(request: pytest.FixtureRequest) -> Target:
    return TARGETS[request.param]


@pytest.fixture(scope="module")
def inputs(target: Target) -> list[bytes]:
    """Those that the target has, read once."""
    return target.inputs()


def test_all_inputs_that_were_kept_do_no_harm(target: Target, inputs: list[bytes]) -> None:
    for data in inputs:
        target.run(data)


@given(data=st.data())
def test_random_inputs_do_no_harm(target: Target, inputs: list[bytes], data: st.DataObject) -> None:
    target.run(data.draw(st.binary(max_size=256) | changed(inputs)))


def test_an_input_takes_bounded_memory(target: Target, inputs: list[bytes]) -> None:
    large = max(inputs, key=len)
    bombs = [
        large * (60_000 // max(1, len(large))),
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b"\x1b]" * 30_000,
        b"\n" * 60_000,
    ]
    for data in bombs:
        target.run(data)  # what is cached is there now
        tracemalloc.start()
        try:
            target.run(data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < _ROOM + _FOR_EACH * len(data)
