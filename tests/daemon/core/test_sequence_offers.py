"""What readers that wait are offered at once, instead of coming for it."""

from tests.harness.reading import Reader
from tests.harness.records import HANDLE, append, ended, sequence
from virtmux.messages import Gap, MarkMessage
from virtmux.wire import MAX_OUTPUT, Output
from virtmuxd.core.sequence import Sequence


def idle(records: Sequence) -> Reader:
    """A reader that has all there is, and takes what it is offered."""
    reader = Reader(records)
    assert reader.take() is None
    reader.idle = True
    return reader


def test_a_reader_that_waits_for_nothing_else_is_offered_what_comes() -> None:
    records = sequence()
    reader = idle(records)

    append(records, b"login: ")
    append(records, b"root")

    assert reader.offered == [Output(HANDLE, 0, b"login: "), Output(HANDLE, 7, b"root")]
    assert reader.take() is None


def test_a_reader_is_offered_no_frame_without_bytes() -> None:
    records = sequence()
    reader = idle(records)

    records.publish()

    assert (reader.offered, reader.take()) == ([], None)


def test_a_reader_that_declines_comes_for_it() -> None:
    records = sequence()
    reader = idle(records)
    reader.idle = False

    append(records, b"login: ")

    assert (reader.offered, reader.take()) == ([], Output(HANDLE, 0, b"login: "))


def test_a_reader_is_offered_one_frame_and_comes_for_the_others() -> None:
    records = sequence()
    reader = idle(records)

    append(records, bytes(MAX_OUTPUT + 1))

    assert reader.offered == [Output(HANDLE, 0, bytes(MAX_OUTPUT))]
    assert reader.take() == Output(HANDLE, MAX_OUTPUT, bytes(1))


def test_what_was_overwritten_before_it_was_published_is_a_gap_and_offered_to_nobody() -> None:
    records = sequence(8)
    reader = idle(records)

    append(records, b"0123456789")

    assert reader.offered == []
    assert reader.all() == [Gap(HANDLE, 0, 1, 2, 1), Output(HANDLE, 2, b"23456789")]


def test_a_reader_with_a_mark_before_it_is_offered_nothing() -> None:
    records = sequence()
    reader = idle(records)

    append(records, b"before")
    reader.idle = False
    records.mark(ended())
    reader.idle = True
    append(records, b"behind")
    assert reader.offered == [Output(HANDLE, 0, b"before")]
    assert [type(each) for each in reader.all()] == [MarkMessage, Output]


def test_a_reader_is_offered_nothing_that_is_beyond_the_rate() -> None:
    records = sequence()
    records.limit(10)
    reader = idle(records)

    append(records, b"0123456789")
    records.append(b"abcdefghijklmnopqrstuvwxyz", at=1)
    records.publish()
    records.let_out(10**12)

    assert reader.offered == [Output(HANDLE, 0, b"0123456789")]
    assert [type(each) for each in reader.all()] == [Gap, Output]


def test_a_reader_that_is_told_the_time_is_offered_nothing() -> None:
    records = sequence()
    reader = Reader(records, timed=True)
    assert reader.take() is None
    reader.idle = True

    append(records, b"login: ")

    assert (reader.offered, reader.take()) == ([], Output(HANDLE, 0, b"login: "))
    assert len(reader.times) == 1
