"""Input for a guest that takes none: it waits, within bounds, and whose it is is told."""

import time
from collections.abc import Callable

import pytest

from tests.harness.inputs import WIDE, WINDOW, Typist, confirmed, send, started, status, take
from virtmux.reasons import Cause
from virtmuxd.core.inputs import BUDGET, Batch, Inputs


def test_the_input_of_a_paused_guest_waits_and_its_writer_is_told() -> None:
    inputs = started()
    typist, idle = Typist(inputs), Typist(inputs)
    inputs.hold(held=True)

    typist.type(b"one")
    typist.type(b"two")

    assert not inputs.waiting
    assert (typist.told, idle.told) == ([status(held=True)], [])

    inputs.hold(held=False)

    assert typist.told[-1] == status()
    assert take(inputs) == b"onetwo"


def test_a_window_of_single_keys_that_wait_takes_no_time() -> None:
    inputs = started()
    typists = [Typist(inputs, window=WIDE) for _ in range(2)]
    inputs.hold(held=True)

    began = time.process_time()
    for typist in typists:
        for _ in range(WIDE):
            typist.type(b"x")
    assert time.process_time() - began < 5

    assert [typist.told for typist in typists] == [[status(held=True)]] * 2
    inputs.hold(held=False)
    while inputs.waiting:
        confirmed(inputs)
    assert [typist.status for typist in typists] == [status(accepted=WIDE)] * 2


def test_nothing_is_asked_of_a_paused_guest_that_has_input_to_take() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"a")
    send(inputs)
    inputs.hold(held=True)

    inputs.probe()
    inputs.ask()

    assert not inputs.waiting
    inputs.hold(held=False)
    assert send(inputs).fence


def test_a_paused_guest_with_nothing_to_take_can_be_probed() -> None:
    inputs = started()
    inputs.hold(held=True)

    inputs.probe()

    assert send(inputs) == Batch(1, (), fence=True)


def test_what_waits_at_the_end_is_rejected_and_waits_no_more() -> None:
    inputs = started()
    typist = Typist(inputs)
    inputs.hold(held=True)
    typist.type(b"one")

    inputs.end()
    inputs.explain(Cause.GUEST_DESTROYED)

    assert typist.told[-1] == status(rejected=3, cause=Cause.GUEST_DESTROYED)


def test_a_shared_connection_is_never_fenced_and_libvirts_word_is_taken() -> None:
    inputs = started(shared=True)
    typist = Typist(inputs)
    typist.type(b"ls")
    inputs.ask()
    inputs.probe()

    assert send(inputs) == Batch(1, (b"ls",), fence=False)
    assert typist.told == [status(accepted=2)]
    assert not inputs.waiting


def test_a_guest_behind_a_shared_connection_gets_no_more_than_a_budget_until_it_speaks() -> None:
    inputs = started(shared=True)
    typist = Typist(inputs, window=100_000)
    typist.type(bytes(2 * BUDGET))
    while inputs.waiting:
        send(inputs)
    assert typist.told[-1] == status(accepted=BUDGET, held=True)

    assert inputs.heard(100)
    assert typist.told[-1] == status(accepted=BUDGET)
    assert send(inputs).packets == (bytes(100),)
    assert typist.told[-1] == status(accepted=BUDGET + 100, held=True)


def test_what_a_guest_says_makes_way_for_input_only_where_that_waited_for_it() -> None:
    assert not started().heard(1)
    inputs = started(shared=True)
    typist = Typist(inputs, window=2 * BUDGET)
    typist.type(bytes(BUDGET))
    assert not inputs.heard(1), "it may be sent at once"
    send(inputs)
    assert not inputs.heard(1), "there is none"


def test_what_somebody_typed_before_leaving_still_goes_its_way() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"poweroff\r")

    inputs.forget(typist.writer)

    assert confirmed(inputs).packets == (b"poweroff\r",)
    assert typist.told == []


def leave(inputs: Inputs, data: bytes) -> None:
    """Somebody types it at a paused guest, and leaves."""
    inputs.hold(held=True)
    typist = Typist(inputs)
    typist.type(data)
    inputs.forget(typist.writer)


@pytest.mark.parametrize(("size", "queued"), [(WINDOW - 1, WINDOW - 1), (WINDOW, WINDOW), (8, 16)])
def test_what_those_who_left_have_queued_for_a_paused_guest_is_bounded(size: int, queued: int) -> None:
    inputs = started()
    for _ in range(3):
        leave(inputs, bytes(size))

    inputs.hold(held=False)

    assert take(inputs) == bytes(queued)


def go_on(inputs: Inputs) -> None:
    inputs.hold(held=False)
    confirmed(inputs)


def end(inputs: Inputs) -> None:
    inputs.end()
    inputs.start(1)


def nobody_types(inputs: Inputs) -> None:
    inputs.refuse_those_who_left()
    inputs.forget(Typist(inputs).writer)


@pytest.mark.parametrize("passes", [go_on, end, Inputs.refuse_those_who_left, nobody_types])
def test_what_those_left_behind_who_left_before_counts_until_it_is_gone(passes: Callable[[Inputs], None]) -> None:
    inputs = started()
    leave(inputs, bytes(WINDOW))
    passes(inputs)

    leave(inputs, bytes(WINDOW))

    inputs.hold(held=False)
    assert take(inputs) == bytes(WINDOW)


def test_what_those_left_behind_who_left_counts_while_some_of_it_waits() -> None:
    inputs = started(shared=True)
    other = Typist(inputs, window=2 * BUDGET)
    other.type(bytes(BUDGET))
    leave(inputs, bytes(WINDOW))
    inputs.hold(held=False)
    while inputs.waiting:
        send(inputs)

    leave(inputs, b"x")

    inputs.hold(held=False)
    inputs.heard(BUDGET)
    assert take(inputs) == bytes(WINDOW)
