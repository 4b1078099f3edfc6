"""Input that waits: in the order in which it came, whoever's is dropped meanwhile."""

import time

from hypothesis import given
from hypothesis import strategies as st

from virtmuxd.core.input_queue import InputQueue

WRITERS = "abc"
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(WRITERS), st.binary(min_size=1, max_size=6)),
        st.tuples(st.just("take"), st.integers(1, 8), st.none()),
        st.tuples(st.just("drop"), st.sampled_from(WRITERS), st.none()),
    ),
    max_size=40,
)


@given(STEPS)
def test_it_gives_each_byte_that_was_not_dropped_once_and_in_order(steps: list[tuple[str, object, object]]) -> None:
    queue: InputQueue[str] = InputQueue(4)
    expected: list[tuple[str, int]] = []
    for step in steps:
        match step:
            case "add", str(writer), bytes(data):
                queue.add(writer, data)
                expected += [(writer, byte) for byte in data]
            case "take", int(room), _ if expected:
                writer, data = queue.take(room)
                assert 0 < len(data) <= room
                assert [(writer, byte) for byte in data] == expected[: len(data)]
                del expected[: len(data)]
            case "drop", str(writer), _:
                left = [each for each in expected if each[0] != writer]
                assert queue.drop(writer) == len(expected) - len(left)
                expected = left
            case _:
                pass
        assert bool(queue) == bool(expected)
        assert set(queue) == {writer for writer, _ in expected}
        for writer in WRITERS:
            assert queue.waiting(writer) == sum(each[0] == writer for each in expected)


def test_what_follows_its_writers_last_is_one_piece_with_that_up_to_its_size() -> None:
    queue: InputQueue[str] = InputQueue(4)
    for writer, data in (("a", b"12"), ("a", b"34"), ("a", b"567"), ("a", b"89"), ("b", b"0"), ("a", b"1")):
        queue.add(writer, data)

    taken = [queue.take(9) for _ in range(5)]

    assert taken == [("a", b"1234"), ("a", b"567"), ("a", b"89"), ("b", b"0"), ("a", b"1")]
    assert not queue


def test_what_becomes_of_many_windows_takes_no_time() -> None:
    queue: InputQueue[int] = InputQueue(2048)
    writers = range(1000)
    for writer in writers:
        for _ in range(32):
            queue.add(writer, bytes(2048))

    began = time.process_time()
    assert sum(map(queue.waiting, writers)) == sum(map(queue.drop, writers)) == 1000 * 65536
    assert time.process_time() - began < 0.5


def test_what_was_dropped_takes_no_room() -> None:
    queue: InputQueue[str] = InputQueue(4)
    queue.add("waits", b"x")
    for _ in range(1000):
        queue.add("eve", b"1234")
        queue.drop("eve")
    assert len(queue._pieces) < 5
    assert queue.take(9) == ("waits", b"x")
