"""Input for a guest that takes none: it waits, within bounds, and whose it is is told."""

import time

from tests.harness.inputs import WIDE, WINDOW, Typist, confirmed, send, started, status, take
from virtmux.reasons import Cause
from virtmuxd.core.inputs import BUDGET, Batch


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


def test_what_somebody_typed_before_leaving_still_goes_its_way() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"poweroff\r")

    inputs.forget(typist.writer)

    assert confirmed(inputs).packets == (b"poweroff\r",)
    assert typist.told == []


def test_what_those_who_left_have_queued_for_a_paused_guest_is_bounded() -> None:
    inputs = started()
    inputs.hold(held=True)
    for _ in range(3):
        typist = Typist(inputs)
        typist.type(bytes(WINDOW - 1))
        inputs.forget(typist.writer)

    inputs.hold(held=False)

    assert take(inputs) == bytes(WINDOW - 1)
