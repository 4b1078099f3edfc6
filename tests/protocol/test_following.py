"""How far an application has come with a console's records, and what is history to it."""

import pytest

from tests.harness.scripted_daemon import AT, HANDLE, HISTORY, OTHER_HISTORY, place, reason, waiting
from virtmux.following import Disconnected, Progress, Resumed, advance
from virtmux.messages import Gap, MarkMessage, PlaceEnded
from virtmux.reasons import Cause
from virtmux.records import Attached, Ended, Note, Position
from virtmux.wire import Output, ProtocolError

HERE = Position(HISTORY, 3, 2)
LOST = reason(Cause.SERVER_LOST)
DOWN = reason(Cause.GUEST_SHUTDOWN)


@pytest.mark.parametrize(
    ("record", "offset", "mark"),
    [
        (Output(HANDLE, 3, b"abc"), 6, 2),
        (MarkMessage(HANDLE, 3, 2, Note(AT, "rebooted")), 3, 3),
        (Gap(HANDLE, 3, 2, 10, 5), 10, 5),
        (Gap(HANDLE, 3, 2, 3, 5), 3, 5),
    ],
)
def test_each_record_moves_the_position_behind_it(record: Output | MarkMessage | Gap, offset: int, mark: int) -> None:
    assert advance(HERE, record) == Position(HISTORY, offset, mark)


@pytest.mark.parametrize(
    "record",
    [
        Output(HANDLE, 2, b"abc"),
        MarkMessage(HANDLE, 3, 3, Note(AT, "rebooted")),
        MarkMessage(HANDLE, 4, 2, Note(AT, "rebooted")),
        Gap(HANDLE, 3, 1, 10, 5),
        Gap(HANDLE, 3, 2, 2, 5),
    ],
)
def test_a_record_that_stands_elsewhere_is_refused(record: Output | MarkMessage | Gap) -> None:
    with pytest.raises(ProtocolError):
        advance(HERE, record)


def attached(number: int, attachment: int) -> MarkMessage:
    return MarkMessage(HANDLE, 0, number, Attached(AT, attachment, 1))


def ended(number: int) -> MarkMessage:
    return MarkMessage(HANDLE, 0, number, Ended(AT, 1, DOWN))


def test_marks_before_the_places_own_end_are_history() -> None:
    progress = Progress(place(1, position=f"{HISTORY}:0:1", end=f"{HISTORY}:0:3", attachment=4))
    progress.take(attached(1, 9))
    assert (progress.attachment, progress.caught_up) == (4, False)
    progress.take(ended(2))
    assert (progress.attachment, progress.caught_up) == (4, True)
    progress.take(ended(3))
    assert (progress.attachment, progress.why) == (None, DOWN)
    progress.take(attached(4, 5))
    assert progress.attachment == 5


def test_a_place_that_waits_says_why() -> None:
    progress = Progress(waiting(1, DOWN))
    assert (progress.attachment, progress.why, progress.caught_up) == (None, DOWN, True)


def test_bytes_are_history_too() -> None:
    progress = Progress(place(1, position=f"{HISTORY}:0:1", end=f"{HISTORY}:3:1"))
    assert not progress.caught_up
    progress.take(Output(HANDLE, 0, b"abc"))
    assert progress.caught_up


def test_a_new_place_replaces_what_was_known() -> None:
    progress = Progress(place(1))
    progress.take(Disconnected(LOST))
    assert (progress.attachment, progress.why) == (None, LOST)
    again = place(2, position=f"{OTHER_HISTORY}:0:1", attachment=3)
    progress.take(Resumed(Position(HISTORY, 0, 1), again))
    assert (progress.place, progress.attachment) == (again, 3)
    assert progress.position == Position(OTHER_HISTORY, 0, 1)


def test_after_its_end_a_place_has_no_attachment() -> None:
    progress = Progress(place(1))
    progress.take(PlaceEnded(HANDLE, LOST))
    assert (progress.attachment, progress.why) == (None, LOST)
