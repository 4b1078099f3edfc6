"""Input of those who may not type, or may again."""

from tests.harness.inputs import Typist, confirmed, send, started, status
from virtmux.reasons import Cause


def test_who_may_only_watch_is_told_and_nothing_is_sent() -> None:
    inputs = started()
    watcher = Typist(inputs, Cause.ACCESS_DENIED)

    watcher.type(b"ls")

    assert watcher.told == [status(rejected=2, cause=Cause.ACCESS_DENIED)]
    assert not inputs.waiting


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
