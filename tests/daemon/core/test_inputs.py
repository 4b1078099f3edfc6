"""Input on its way to one attachment: nothing reaches another, and the fate of every byte is told."""

import pytest

from virtmux.messages import InputStatus
from virtmux.reasons import Cause
from virtmux.wire import ProtocolError
from virtmuxd.core.inputs import Inputs, Writer

WINDOW = 20


class Typist:
    """A writer that counts along as a client does, and hears of its account."""

    def __init__(self, inputs: Inputs, refusal: Cause | None = None) -> None:
        self._inputs = inputs
        self.told: list[InputStatus] = []
        self.writer = Writer(self._changed, refusal)
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
    attachment: int = 1, *, accepted: int = 0, unknown: int = 0, rejected: int = 0, cause: Cause | None = None
) -> InputStatus:
    return InputStatus(7, attachment, accepted, unknown, rejected, cause)


def started(attachment: int = 1) -> Inputs:
    inputs = Inputs(WINDOW)
    inputs.start(attachment)
    return inputs


def test_input_is_sent_in_the_order_of_arrival() -> None:
    inputs = started()
    first, second = Typist(inputs), Typist(inputs)

    first.type(b"ls")
    second.type(b"ps")
    first.type(b"\r")

    assert inputs.waiting
    assert inputs.take(100) == b"lsps\r"


def test_what_was_sent_is_accepted_for_each_who_typed_it() -> None:
    inputs = started()
    first, second, third = Typist(inputs), Typist(inputs), Typist(inputs)
    first.type(b"ls")
    second.type(b"ps ")
    first.type(b"\r")
    inputs.take(100)

    inputs.sent(1)

    assert (first.told, second.told, third.told) == ([status(accepted=3)], [status(accepted=3)], [])
    assert not inputs.waiting


def test_nothing_is_taken_while_something_is_in_flight() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"ls")
    assert inputs.take(100) == b"ls"
    typist.type(b"\r")

    assert (inputs.waiting, inputs.take(100)) == (False, b"")

    inputs.sent(1)
    assert (inputs.waiting, inputs.take(100)) == (True, b"\r")


def test_a_long_input_is_taken_in_pieces() -> None:
    inputs = started()
    first, second = Typist(inputs), Typist(inputs)
    first.type(b"0123456789")
    second.type(b"abc")

    pieces = []
    while piece := inputs.take(4):
        pieces.append(piece)
        inputs.sent(1)

    assert pieces == [b"0123", b"4567", b"89ab", b"c"]
    assert first.told == [status(accepted=4), status(accepted=8), status(accepted=10)]
    assert second.told == [status(accepted=2), status(accepted=3)]


def test_at_the_end_what_is_in_flight_is_unknown_and_what_waits_is_rejected() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"one")
    inputs.take(100)
    inputs.sent(1)
    typist.type(b"four")
    inputs.take(100)
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
    inputs = Inputs(WINDOW)
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

    assert (inputs.waiting, inputs.take(100)) == (False, b"")
    assert typist.status == status(rejected=12, cause=Cause.GUEST_DESTROYED)


def test_what_an_old_attachment_took_late_is_not_accepted_by_the_next() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(b"old")
    inputs.take(100)
    inputs.end()
    inputs.explain(Cause.GUEST_DESTROYED)
    inputs.start(2)
    typist.type(b"new!", attachment=2)
    assert inputs.take(100) == b"new!"

    inputs.sent(1)
    assert typist.status == status(2)

    inputs.sent(2)
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
    assert inputs.take(100) == b"ps"


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
    inputs.take(5)
    typist.type(bytes(5))

    with pytest.raises(ProtocolError, match="window"):
        typist.type(b"x")


def test_the_window_opens_again_with_what_is_accepted() -> None:
    inputs = started()
    typist = Typist(inputs)
    typist.type(bytes(WINDOW))
    inputs.take(5)
    inputs.sent(1)

    typist.type(bytes(5))

    assert inputs.take(100) == bytes(WINDOW)


def test_each_writer_has_a_window_of_its_own() -> None:
    inputs = started()

    Typist(inputs).type(bytes(WINDOW))
    Typist(inputs).type(bytes(WINDOW))

    assert inputs.take(100) == bytes(2 * WINDOW)


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

    assert inputs.take(100) == b"poweroff\r"
    inputs.sent(1)
    assert typist.told == []
