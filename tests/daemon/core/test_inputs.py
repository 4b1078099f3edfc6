"""Input on its way to one attachment: nothing reaches another, and the fate of every byte is told."""

import time

import pytest

from virtmux.messages import InputStatus
from virtmux.reasons import Cause
from virtmux.wire import ProtocolError
from virtmuxd.core.inputs import BUDGET, PACKET, SETTLE_BEYOND, SETTLE_FROM, UNFENCED_SIZE, Batch, Inputs, Writer

WINDOW = 20
#: As much as a client may have.
WIDE = 65536


class Typist:
    """A writer that counts along as a client does, and hears of its account."""

    def __init__(self, inputs: Inputs, refusal: Cause | None = None, *, window: int = WINDOW) -> None:
        self._inputs = inputs
        self.told: list[InputStatus] = []
        self.writer = Writer(self._changed, refusal, window=window)
        self._attachment = 0
        self._offset = 0

    def _changed(self) -> None:
        self.told.append(self.status)

    def type(self, data: bytes, attachment: int = 1) -> None:
        """Type at an attachment, where it left off."""
        if attachment != self._attachment:
            self._attachment, self._offset = attachment, 0
        self._inputs.offer(self.writer, attachment, self._offset, data)
        self._offset += len(data)

    @property
    def status(self) -> InputStatus:
        """What the account says."""
        return self.writer.account.status(7)


def status(
    attachment: int = 1,
    *,
    accepted: int = 0,
    unknown: int = 0,
    rejected: int = 0,
    cause: Cause | None = None,
    held: bool = False,
    base: int = 0,
) -> InputStatus:
    return InputStatus(7, attachment, accepted, unknown, rejected, cause, held, base)


def started(attachment: int = 1, *, shared: bool = False) -> Inputs:
    inputs = Inputs()
    inputs.start(attachment, shared=shared)
    return inputs


def take(inputs: Inputs) -> bytes:
    """What is to be sent next, as one."""
    batch = inputs.take()
    return b"".join(batch.packets) if batch is not None else b""


def send(inputs: Inputs) -> Batch:
    """Send what is to be sent next, and let libvirt take it."""
    batch = inputs.take()
    assert batch is not None
    inputs.sent(batch)
    return batch._replace(prompt=True)


def confirmed(inputs: Inputs) -> Batch:
    """Send it with a fence behind it."""
    inputs.ask()
    return send(inputs)


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


@pytest.mark.parametrize("attachments", [1, 2])
def test_a_fence_is_prompt_as_long_as_the_guest_was_not_sent_much_beyond_what_it_said(attachments: int) -> None:
    inputs = started()
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


# A guest that takes none.


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


def test_at_the_end_what_is_in_flight_is_unknown_and_what_waits_is_rejected() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"one")
    confirmed(inputs)
    typist.type(b"four")
    inputs.take()
    typist.type(b"fives")

    inputs.end()
    inputs.explain(Cause.GUEST_DESTROYED)

    assert typist.status == status(accepted=3, unknown=4, rejected=5, cause=Cause.GUEST_DESTROYED)
    assert typist.told[-1] == typist.status
    assert not inputs.waiting


def test_those_whose_input_went_no_further_are_told_once_it_is_known_why() -> None:
    inputs = started()
    typist, late = Typist(inputs), Typist(inputs)
    typist.type(b"ls")
    inputs.end()
    late.type(b"ps")
    assert (typist.told, late.told) == ([], [])

    inputs.explain(Cause.GUEST_SAVED)

    assert typist.told == late.told == [status(rejected=2, cause=Cause.GUEST_SAVED)]


def test_input_for_an_attachment_that_never_was_is_rejected_where_there_was_none() -> None:
    inputs = Inputs()
    typist = Typist(inputs)

    inputs.offer(typist.writer, 0, 0, b"ls")

    assert typist.told == [status(0, rejected=2, cause=Cause.CONSOLE_RELEASED)]


def test_nothing_that_was_typed_at_one_attachment_reaches_the_next() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"reboot\r")
    inputs.end()
    inputs.explain(Cause.GUEST_DESTROYED)
    inputs.start(2)
    assert not inputs.waiting

    typist.type(b"late\r", attachment=1)

    assert (inputs.waiting, inputs.take()) == (False, None)
    assert typist.status == status(rejected=12, cause=Cause.GUEST_DESTROYED)


def test_what_an_old_attachment_took_late_is_not_accepted_by_the_next() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"old")
    inputs.ask()
    old = inputs.take()
    assert old is not None
    inputs.end()
    inputs.explain(Cause.GUEST_DESTROYED)
    inputs.start(2)
    typist.type(b"new!", attachment=2)
    inputs.ask()
    new = inputs.take()
    assert new == Batch(2, (b"new!",), fence=True)

    inputs.sent(old)
    assert typist.status == status(2)

    inputs.sent(new)
    assert typist.status == status(2, accepted=4)


def test_input_for_an_attachment_that_ended_is_rejected_with_its_cause() -> None:
    inputs = started()
    typist = Typist(inputs)
    inputs.end()
    inputs.explain(Cause.CONSOLE_TAKEN_OVER)

    typist.type(b"ls")

    assert typist.told == [status(rejected=2, cause=Cause.CONSOLE_TAKEN_OVER)]


def test_a_new_attachment_counts_from_zero() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"ls")
    inputs.end()
    inputs.explain(Cause.GUEST_DESTROYED)
    inputs.start(2)

    typist.type(b"ps", attachment=2)

    assert typist.status == status(2)
    assert take(inputs) == b"ps"


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_an_offset_that_does_not_follow_breaks_the_protocol(offset: int) -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"ls")

    with pytest.raises(ProtocolError, match=f"at offset {offset}, expected 2"):
        inputs.offer(typist.writer, 1, offset, b"x")


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


def test_who_may_only_watch_is_told_and_nothing_is_sent() -> None:
    inputs = started()
    watcher = Typist(inputs, Cause.ACCESS_DENIED)

    watcher.type(b"ls")

    assert watcher.told == [status(rejected=2, cause=Cause.ACCESS_DENIED)]
    assert not inputs.waiting


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


def test_who_may_type_no_more_is_told_what_goes_no_further() -> None:
    inputs = started()
    typist, other = Typist(inputs), Typist(inputs)
    typist.type(b"sent")
    batch = inputs.take()
    assert batch is not None
    typist.type(b"queued")
    other.type(b"ok")

    inputs.refuse(typist.writer, Cause.ACCESS_DENIED)
    typist.type(b"late")

    assert typist.status == status(rejected=10, cause=Cause.ACCESS_DENIED)
    inputs.sent(batch)
    assert confirmed(inputs).packets == (b"ok",)
    assert typist.status == status(accepted=4, rejected=10, cause=Cause.ACCESS_DENIED)


def test_nothing_is_said_of_what_is_rejected_before_the_fate_of_what_is_under_way_is_known() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"sent")
    batch = inputs.take()
    assert batch is not None
    typist.type(b"queued")

    inputs.refuse(typist.writer, Cause.ACCESS_DENIED)
    typist.type(b"late")
    assert typist.told == []
    inputs.sent(batch)
    assert confirmed(inputs).packets == ()

    assert typist.told == [status(accepted=4, rejected=10, cause=Cause.ACCESS_DENIED)]


def test_who_may_type_again_has_its_input_counted_anew() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"first")
    confirmed(inputs)
    inputs.refuse(typist.writer, Cause.ACCESS_DENIED)
    typist.type(b"no")

    inputs.permit(typist.writer)
    typist.type(b"second")
    confirmed(inputs)

    assert typist.told == [
        status(accepted=5),
        status(accepted=5, rejected=2, cause=Cause.ACCESS_DENIED),
        status(accepted=6, base=7),
    ]


def test_who_may_type_again_before_anything_was_refused_goes_on_as_if_nothing_had_been() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"first")
    inputs.refuse(typist.writer, Cause.ACCESS_DENIED)
    inputs.permit(typist.writer)
    assert typist.told == [status(rejected=5, cause=Cause.ACCESS_DENIED)]  # it was queued

    other = Typist(inputs)
    other.type(b"sent")
    send(inputs)
    inputs.refuse(other.writer, Cause.ACCESS_DENIED)
    inputs.permit(other.writer)
    other.type(b"more")
    confirmed(inputs)

    assert other.told == [status(accepted=8)]


def test_nothing_more_is_told_of_what_is_under_way_once_the_count_begins_anew() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"sent")
    batch = inputs.take()
    assert batch is not None
    inputs.refuse(typist.writer, Cause.ACCESS_DENIED)
    typist.type(b"no")
    inputs.permit(typist.writer)

    typist.type(b"again")
    inputs.sent(batch)
    confirmed(inputs)

    assert typist.told == [status(accepted=5, base=6)]
