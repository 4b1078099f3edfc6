"""What every store of a console's records does, in memory as in the ring file."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.memory_store import MemoryStore
from tests.harness.stores import AT, contents, note, pattern
from virtmux.reasons import Cause, Phase, Reason
from virtmux.records import Ended
from virtmuxd.core.store import MAX_MARKS, Boot, Store, StoredMark
from virtmuxd.service.ring import Life, Ring

LIMIT = 16384


class Bench:
    """Makes a store, and opens it again as the next daemon would, without a clean stop."""

    def __init__(self, first: Callable[[], Store], again: Callable[[Store], Store]) -> None:
        self.open = first
        self.reopen = again


@pytest.fixture(params=["memory", "ring"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    if request.param == "memory":

        def again(store: Store) -> Store:
            assert isinstance(store, MemoryStore)
            return store.reopened()

        return Bench(lambda: MemoryStore(LIMIT), again)
    names = iter(range(10**6))

    def first() -> Store:
        return Ring.open(tmp_path / f"ring{next(names)}", LIMIT, 7, Life(1, 1, 0))

    def reopened(store: Store) -> Store:
        assert isinstance(store, Ring)
        assert store._path is not None
        return Ring.open(store._path, LIMIT, 7, Life(1, 1, 0))

    return Bench(first, reopened)


def test_a_new_store_is_empty_and_knows_nothing(bench: Bench) -> None:
    store = bench.open()

    assert (store.start, store.end, contents(store)) == (0, 0, b"")
    assert (store.found_marks(), store.incarnation, store.held_until) == ([], (0, -1), None)


def test_two_stores_have_histories_of_their_own(bench: Bench) -> None:
    first, second = bench.open().history, bench.open().history

    assert first != second
    assert len(first) == len(second) == 32


def test_it_reads_back_what_was_appended(bench: Bench) -> None:
    store = bench.open()

    store.append(b"log", 1)
    store.append(b"in: ", 2)

    assert contents(store) == b"login: "


def test_it_holds_the_last_bytes_up_to_its_capacity(bench: Bench) -> None:
    store, sent = bench.open(), b""

    for seed in range(0, 30000, 3000):
        store.append(pattern(3000, seed), 1)
        sent += pattern(3000, seed)

    assert (store.end, store.start) == (30000, 30000 - LIMIT)
    assert contents(store) == sent[-LIMIT:]


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT + 5])
@pytest.mark.parametrize("before", [0, 1, LIMIT])
def test_one_piece_may_be_larger_than_the_store(bench: Bench, size: int, before: int) -> None:
    store = bench.open()
    store.append(pattern(before, 1 << 20), 1)

    store.append(pattern(size), 2)

    assert store.end == before + size
    assert contents(store) == (pattern(before, 1 << 20) + pattern(size))[-LIMIT:]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 40000), max_size=8))
def test_after_any_appends_it_holds_their_end(bench: Bench, sizes: list[int]) -> None:
    store, sent = bench.open(), b""

    for seed, size in enumerate(sizes):
        store.append(pattern(size, seed << 20), 1)
        sent += pattern(size, seed << 20)

    assert store.end == len(sent)
    assert contents(store) == sent[store.start :]
    assert contents(bench.reopen(store)) == sent[store.start :]


def test_the_next_daemon_finds_history_bytes_and_marks(bench: Bench) -> None:
    store = bench.open()
    store.append(b"login: ", 5)
    store.put_mark(note(1, 0))
    store.put_mark(note(2, 7))

    found = bench.reopen(store)

    assert (found.history, found.start, found.end) == (store.history, 0, 7)
    assert contents(found) == b"login: "
    assert found.found_marks() == [note(1, 0), note(2, 7)]


def test_the_next_daemon_goes_on_where_the_last_one_was(bench: Bench) -> None:
    store = bench.open()
    store.append(b"one", 1)
    found = bench.reopen(store)

    found.append(b"two", 2)
    found.put_mark(note(1, 6))

    last = bench.reopen(found)
    assert (contents(last), last.found_marks()) == (b"onetwo", [note(1, 6)])


def test_a_completed_mark_replaces_the_reserved_one(bench: Bench) -> None:
    store = bench.open()
    store.put_mark(note(1, reserved=True))
    store.put_mark(note(2))
    assert bench.reopen(store).found_marks() == [note(1, reserved=True), note(2)]

    store.put_mark(note(1, text="paused"))

    assert bench.reopen(store).found_marks() == [note(1, text="paused"), note(2)]


def test_the_number_of_the_next_mark_is_found(bench: Bench) -> None:
    store = bench.open()
    assert store.next_mark == 1
    store.put_mark(note(1))
    store.put_mark(note(2, reserved=True))
    store.put_mark(note(1))

    assert (store.next_mark, bench.reopen(store).next_mark) == (3, 3)


def test_a_reason_is_found_whole(bench: Bench) -> None:
    store = bench.open()
    reason = Reason(cause=Cause.GUEST_CRASHED, text='line\nbreak "quoted" \u2026', phase=Phase.LIFECYCLE, at=AT)

    store.put_mark(StoredMark(1, 0, Ended(AT, 1, reason)))

    assert bench.reopen(store).found_marks() == [StoredMark(1, 0, Ended(AT, 1, reason))]


def test_the_newest_marks_are_held(bench: Bench) -> None:
    store = bench.open()

    for number in range(1, 5 * MAX_MARKS):
        store.put_mark(note(number))

    found = bench.reopen(store)
    assert [mark.number for mark in found.found_marks()] == list(range(4 * MAX_MARKS, 5 * MAX_MARKS))


def test_it_remembers_the_incarnation_and_until_when_the_console_was_held(bench: Bench) -> None:
    store = bench.open()

    store.remember(3, 17)
    store.hold(4)
    store.let_go(5)
    assert (bench.reopen(store).incarnation, bench.reopen(store).held_until) == ((3, 17), 5)

    store.append(b"x", 6)
    store.remember(3, -1)
    assert (bench.reopen(store).incarnation, bench.reopen(store).held_until) == ((3, -1), 6)


def test_a_clean_stop_loses_nothing(bench: Bench) -> None:
    store = bench.open()
    store.append(b"login: ", 5)
    history = store.history

    store.close(6)

    found = bench.reopen(store)
    assert (found.history, contents(found)) == (history, b"login: ")


def test_where_the_newest_incarnation_begins_is_remembered(bench: Bench) -> None:
    store = bench.open()
    assert store.boot == Boot(0, 0, 1)

    store.append(b"old", 1)
    store.begin_boot(Boot(2, 3, 1))

    assert bench.reopen(store).boot == Boot(2, 3, 1)


def test_what_is_forgotten_is_not_held_any_more_and_no_address_is_used_again(bench: Bench) -> None:
    store = bench.open()
    history = store.history
    store.append(b"secret", 1)
    store.put_mark(note(1, 6))

    store.forget()

    again = bench.reopen(store)
    assert (again.history, again.start, again.end, again.next_mark) == (history, 6, 6, 2)
    assert (contents(again), again.found_marks()) == (b"", [])
    again.append(b"on it goes", 2)
    assert contents(again) == b"on it goes"
