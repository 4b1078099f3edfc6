"""Input on its way to one attachment: in order, with as few fences as will do, and within everybody's window."""

import pytest

from tests.harness.inputs import WINDOW, Typist, confirmed, send, started, status, take
from virtmux.reasons import Cause
from virtmux.wire import ProtocolError
from virtmuxd.core.inputs import BUDGET, PACKET, SETTLE_BEYOND, SETTLE_FROM, UNFENCED_SIZE, Batch, Inputs


def test_input_is_sent_in_the_order_of_arrival() -> None:
    inputs = started()
    first, second = Typist(inputs), Typist(inputs)

    first.type(b"ls")
    second.type(b"ps")
    first.type(b"\r")

    assert inputs.waiting
    assert take(inputs) == b"lsps\r"


def test_what_was_sent_is_accepted_for_each_who_typed_it() -> None:
    inputs = started()
    first, second, third = Typist(inputs), Typist(inputs), Typist(inputs)
    first.type(b"ls")
    second.type(b"ps ")
    first.type(b"\r")

    confirmed(inputs)

    assert (first.told, second.told, third.told) == ([status(accepted=3)], [status(accepted=3)], [])
    assert not inputs.waiting


def test_what_became_of_all_input_is_counted() -> None:
    inputs = started()
    assert (inputs.accepted, inputs.unknown, inputs.rejected) == (0, 0, 0)
    for _ in range(2):
        first, second = Typist(inputs), Typist(inputs)
        for typist in (first, second):
            typist.type(b"a")
            confirmed(inputs)
            typist.type(b"bc")
        inputs.take()
        first.type(b"def")
        second.type(b"ghi")
        inputs.end()
        inputs.explain(Cause.GUEST_DESTROYED)
        inputs.start(1)

    assert (inputs.accepted, inputs.unknown, inputs.rejected) == (8, 4, 12)


def test_nothing_is_taken_while_something_is_being_sent() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"ls")
    batch = inputs.take()
    assert batch == Batch(1, (b"ls",), fence=False)
    typist.type(b"\r")

    assert (inputs.waiting, inputs.take()) == (False, None)

    inputs.sent(batch)
    assert (inputs.waiting, take(inputs)) == (True, b"\r")


def test_a_long_input_is_sent_in_batches_of_three_packets_and_a_fence() -> None:
    inputs = started()
    first, second = Typist(inputs, window=100_000), Typist(inputs, window=100_000)
    first.type(bytes(3 * PACKET))
    second.type(b"abc" + bytes(PACKET))

    assert send(inputs) == Batch(1, (bytes(PACKET),) * 3, fence=True)
    assert (first.told, second.told) == ([status(accepted=3 * PACKET)], [])
    assert send(inputs) == Batch(1, (b"abc" + bytes(PACKET - 3), bytes(3)), fence=False)


def test_keystrokes_have_no_fence_that_would_hold_up_the_next_but_want_one_in_a_pause() -> None:
    inputs = started()
    typist = Typist(inputs)
    seen = []
    for _ in range(SETTLE_FROM):
        typist.type(b"x")
        seen.append((send(inputs).fence, inputs.unsettled))

    assert seen == [(False, False), (False, False), (False, True)]
    assert typist.told == []

    inputs.ask()
    assert send(inputs) == Batch(1, (), fence=True)
    assert (typist.told, inputs.unsettled) == ([status(accepted=3)], False)


@pytest.mark.parametrize("again", ["a fence", "an attachment"])
def test_which_keystrokes_want_a_fence_is_counted_anew_behind_one_and_at_another_attachment(again: str) -> None:
    inputs = started()
    typist = Typist(inputs)
    for _ in range(SETTLE_FROM):
        typist.type(b"x")
        send(inputs)
    if again == "a fence":
        confirmed(inputs)
    else:
        inputs.end()
        inputs.start(1)
    another = Typist(inputs)
    for _ in range(SETTLE_FROM - 1):
        another.type(b"x")
        send(inputs)

    assert not inputs.unsettled


@pytest.mark.parametrize(("size", "unsettled"), [(SETTLE_BEYOND, False), (SETTLE_BEYOND + 1, True)])
def test_of_few_bytes_no_fence_is_wanted(size: int, unsettled: bool) -> None:
    inputs = started()
    Typist(inputs, window=2 * SETTLE_BEYOND).type(bytes(size))
    assert not send(inputs).fence
    assert inputs.unsettled is unsettled


def prompt(inputs: Inputs) -> bool:
    """Whether a fence would be answered soon now."""
    inputs.probe()
    batch = inputs.take()
    assert batch is not None
    assert batch.fence
    inputs.sent(batch)
    return batch.prompt


@pytest.mark.parametrize(("attachments", "said_before"), [(1, 0), (1, 10 * BUDGET), (2, 0)])
def test_a_fence_is_prompt_as_long_as_the_guest_was_not_sent_much_beyond_what_it_said(
    attachments: int, said_before: int
) -> None:
    inputs = started()
    inputs.heard(said_before)
    typist = Typist(inputs, window=2 * BUDGET)
    for _ in range(BUDGET // 256):
        typist.type(bytes(256))
        assert prompt(inputs), "what is accepted may wait to be read"
    typist.type(b"x")
    assert not prompt(inputs)

    for attachment in range(2, attachments + 1):
        inputs.end()
        inputs.start(attachment)
    assert not prompt(inputs)
    inputs.heard(1)
    assert prompt(inputs)


def test_a_fence_is_not_prompt_behind_more_than_a_few_bytes() -> None:
    inputs = started()
    Typist(inputs, window=1000).type(bytes(257))
    assert not prompt(inputs)


def test_keystrokes_have_a_fence_once_they_are_as_many_bytes_as_a_slow_guest_takes() -> None:
    inputs = started()
    typist = Typist(inputs, window=2 * UNFENCED_SIZE)
    for _ in range(UNFENCED_SIZE - 1):
        typist.type(b"x")
        assert not send(inputs).fence

    typist.type(b"xy")
    assert send(inputs) == Batch(1, (b"x",), fence=True)
    assert send(inputs) == Batch(1, (b"y",), fence=False)


def test_who_asks_is_told_the_fate_of_what_was_sent_before_and_of_what_waits() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"a")
    send(inputs)
    typist.type(b"b")

    inputs.ask()

    assert send(inputs) == Batch(1, (b"b",), fence=True)
    assert typist.told == [status(accepted=2)]


def test_who_asks_when_all_was_sent_gets_a_fence_alone() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"a")
    send(inputs)
    assert not inputs.waiting

    inputs.ask()

    assert send(inputs) == Batch(1, (), fence=True)
    assert typist.told == [status(accepted=1)]
    assert not inputs.waiting


def test_asking_about_nothing_sends_nothing() -> None:
    inputs = started()

    inputs.ask()

    assert not inputs.waiting


def test_what_was_asked_for_while_more_input_came_is_answered_behind_all_of_it() -> None:
    inputs = started()
    typist = Typist(inputs, window=100_000)
    typist.type(bytes(4 * PACKET))
    inputs.ask()

    assert [send(inputs).fence, send(inputs).fence] == [True, True]
    assert typist.status.accepted == 4 * PACKET
    assert not inputs.waiting


def test_a_probe_is_a_fence_that_accepts_what_was_sent_before() -> None:
    inputs = started()
    typist = Typist(inputs)
    inputs.probe()
    assert send(inputs) == Batch(1, (), fence=True)
    typist.type(b"a")
    send(inputs)

    inputs.probe()

    assert send(inputs) == Batch(1, (), fence=True)
    assert typist.status.accepted == 1


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_an_offset_that_does_not_follow_breaks_the_protocol(offset: int) -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"ls")

    with pytest.raises(ProtocolError, match=f"at offset {offset}, expected 2"):
        inputs.offer(typist.writer, 1, offset, b"x")


def test_before_the_first_attachment_there_is_none_to_type_at() -> None:
    with pytest.raises(ProtocolError, match="the current one is 0"):
        Typist(Inputs()).type(b"x")


@pytest.mark.parametrize("attachment", [2, 2**32 - 1])
def test_an_attachment_that_never_was_breaks_the_protocol(attachment: int) -> None:
    inputs = started()

    with pytest.raises(ProtocolError, match="the current one is 1"):
        Typist(inputs).type(b"x", attachment)


def test_going_back_to_an_older_attachment_breaks_the_protocol() -> None:
    inputs = started()
    typist = Typist(inputs)
    inputs.end()
    inputs.explain(Cause.GUEST_DESTROYED)
    inputs.start(2)
    typist.type(b"x", attachment=2)

    with pytest.raises(ProtocolError, match="for attachment 1"):
        typist.type(b"y", attachment=1)


def test_the_window_is_what_waits_and_what_is_in_flight() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(bytes(WINDOW - 5))
    inputs.take()
    typist.type(bytes(5))

    with pytest.raises(ProtocolError, match="window"):
        typist.type(b"x")


def test_the_window_opens_again_with_what_is_accepted() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(bytes(WINDOW))
    confirmed(inputs)

    typist.type(bytes(WINDOW))

    assert take(inputs) == bytes(WINDOW)


def test_each_writer_has_a_window_of_its_own() -> None:
    inputs = started()

    Typist(inputs).type(bytes(WINDOW))
    Typist(inputs).type(bytes(WINDOW))

    assert take(inputs) == bytes(2 * WINDOW)
