"""How far an application has come with a console's records, and what is history to it."""

import pytest

from tests.harness.scripted_daemon import AT, HANDLE, HISTORY, OTHER_HISTORY, place, reason, waiting
from virtmux.following import Disconnected, Progress, Reconnected, Resumed, advance
from virtmux.messages import Company, Gap, MarkMessage, PlaceEnded, RoleChanged, Time
from virtmux.people import Companion, Person, Role
from virtmux.reasons import Cause
from virtmux.records import Attached, Ended, Note, Position
from virtmux.wire import Output, ProtocolError

HERE = Position(HISTORY, 3, 2)
LOST = reason(Cause.SERVER_LOST)
DOWN = reason(Cause.GUEST_SHUTDOWN)
BOB = Person(2, "bob", 1001, 123)


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
        Gap(HANDLE, 2, 2, 10, 5),
    ],
)
def test_a_record_that_stands_elsewhere_is_refused(record: Output | MarkMessage | Gap) -> None:
    with pytest.raises(ProtocolError, match=f"expected {HERE}"):
        advance(HERE, record)


@pytest.mark.parametrize(("offset", "mark"), [(2, 5), (4, 1)])
def test_a_gap_does_not_go_back(offset: int, mark: int) -> None:
    with pytest.raises(ProtocolError, match=f"a gap of console {HANDLE} that goes back"):
        advance(HERE, Gap(HANDLE, 3, 2, offset, mark))
    assert advance(HERE, Gap(HANDLE, 3, 2, 3, 2)) == HERE


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
    progress.take(MarkMessage(HANDLE, 0, 5, Note(AT, "rebooted")))
    assert (progress.attachment, progress.position.mark) == (5, 6)


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
    assert not progress.disconnected
    progress.take(Disconnected(LOST))
    assert (progress.attachment, progress.why, progress.disconnected) == (None, LOST, True)
    again = place(2, position=f"{OTHER_HISTORY}:0:1", attachment=3)
    progress.take(Resumed(Position(HISTORY, 0, 1), again))
    assert (progress.place, progress.attachment, progress.disconnected) == (again, 3, False)
    assert progress.position == Position(OTHER_HISTORY, 0, 1)


@pytest.mark.parametrize(
    ("position", "continuous"), [(f"{HISTORY}:3:2", True), (f"{HISTORY}:4:2", False), (f"{OTHER_HISTORY}:3:2", False)]
)
def test_a_place_is_continuous_where_its_records_go_on_exactly_where_they_stopped(
    position: str, continuous: bool
) -> None:
    assert Resumed(HERE, place(2, position=position)).continuous == continuous


def test_after_its_end_a_place_has_no_attachment() -> None:
    progress = Progress(place(1))
    progress.take(PlaceEnded(HANDLE, LOST))
    assert (progress.attachment, progress.why, progress.disconnected) == (None, LOST, False)


@pytest.mark.parametrize(
    ("role", "read_only", "may"),
    [
        (Role.WRITER, False, Role.WRITER),
        (Role.EXCLUSIVE, False, Role.EXCLUSIVE),
        (Role.WATCHER, False, Role.WATCHER),
        (Role.WATCHER, True, Role.WATCHER),
        (Role.WRITER, True, Role.READ_ONLY),  # of a daemon that knows no roles
    ],
)
def test_a_place_that_only_reads_does_not_type(role: Role, read_only: bool, may: Role) -> None:
    assert Progress(place(1, read_only=read_only, role=role)).role is may


def test_a_role_is_that_of_the_place_until_another_is_told() -> None:
    progress = Progress(place(1, role=Role.WATCHER, by=BOB))
    assert (progress.role, progress.by) == (Role.WATCHER, BOB)
    for record in (Time(HANDLE, 0, AT), Company(HANDLE, [Companion(BOB, Role.EXCLUSIVE)])):
        progress.take(record)
    assert (progress.role, progress.by) == (Role.WATCHER, BOB)
    progress.take(RoleChanged(HANDLE, Role.WRITER))
    assert (progress.role, progress.by) == (Role.WRITER, None)


def test_what_is_no_record_of_a_console_is_not_passed_over() -> None:
    with pytest.raises(AssertionError, match=r"Reconnected\(\)"):
        Progress(place(1)).take(Reconnected())  # type: ignore[arg-type]
