"""Input where an attachment ends: none reaches another, and the fate of every byte is told."""

from tests.harness.inputs import Typist, confirmed, started, status, take
from virtmux.reasons import Cause
from virtmuxd.core.inputs import Batch, Inputs


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
