"""What `attach` does about each record: scripts of records (>>) and actions (<<)."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from tests.harness.scripted_daemon import AT, HANDLE, HISTORY, OTHER_HISTORY, place, reason, waiting
from virtmux.following import Disconnected, Progress, Record, Resumed
from virtmux.messages import Gap, MarkMessage, Place, PlaceEnded, RoleChanged, State
from virtmux.people import Person, Role
from virtmux.reasons import Cause, Reason
from virtmux.records import Attached, Break, Ended, Mark, Note, Position
from virtmux.wire import Output
from virtmux_cli.attach.company import RoleNews
from virtmux_cli.attach.policy import Leave
from virtmux_cli.attach.replayed import Shown
from virtmux_cli.attach.state import Action, AttachState, End, Live, OtherHistory, Replayed, Withheld

DEFAULT = Leave()
LOST = reason(Cause.SERVER_LOST, will_retry=True)
ENDED = reason(Cause.STREAM_ENDED, will_retry=True)
DOWN = reason(Cause.GUEST_SHUTDOWN, will_retry=True)
IDLE = reason(Cause.GUEST_NOT_RUNNING, will_retry=True)
BOB, CAROL = Person(2, "bob", 1001, 123), Person(3, "carol", 1002, 124)
BUSY = reason(Cause.CONSOLE_BUSY, will_retry=True)


def output(data: bytes, at: int = 0) -> Output:
    return Output(HANDLE, at, data)


def mark(number: int, record: Mark, at: int = 0) -> MarkMessage:
    return MarkMessage(HANDLE, at, number, record)


def attached(number: int, at: int = 0) -> MarkMessage:
    return mark(number, Attached(AT, 2, 1), at)


def ended(number: int, why: Reason, at: int = 0) -> MarkMessage:
    return mark(number, Ended(AT, 1, why), at)


def resumed(position: str, asked: str | None = None, **facts: Any) -> Resumed:
    return Resumed(Position.parse(asked or position), place(1, position=position, **facts))


def actions(first: Place, records: Sequence[Record] = (), leave: Leave = DEFAULT) -> list[Action]:
    progress = Progress(first)
    state = AttachState(leave, progress)
    done = state.enter()
    for record in records:
        progress.take(record)
        done += state.take(record)
    return done


def test_an_attached_console_is_live_at_once_and_its_output_is_written() -> None:
    assert actions(place(1), [output(b"hi")]) == [Live(first=True), Shown(b"hi", replayed=False)]


def test_a_role_that_is_not_everybodys_is_told_once_the_console_is_attached_and_so_is_each_change() -> None:
    watcher = replace(place(1, state=State.WAITING, attachment=None), role=Role.WATCHER, by=BOB)
    records: list[Record] = [
        RoleChanged(HANDLE, Role.WATCHER, CAROL),
        attached(1),
        RoleChanged(HANDLE, Role.WATCHER, BOB),
        RoleChanged(HANDLE, Role.WRITER, BOB),
        RoleChanged(HANDLE, Role.WRITER, CAROL),
    ]
    assert actions(watcher, records) == [
        Live(first=True),
        RoleNews(Role.WATCHER, CAROL, None),
        RoleNews(Role.WATCHER, BOB, Role.WATCHER),
        RoleNews(Role.WRITER, BOB, Role.WATCHER),
    ]


def test_a_role_that_is_another_one_after_a_lost_connection_is_told() -> None:
    exclusive = replace(place(1), role=Role.EXCLUSIVE)
    back = Resumed(Position.parse(f"{HISTORY}:0:1"), replace(place(1), role=Role.WATCHER, by=BOB))
    told = actions(exclusive, [Disconnected(LOST), back])
    assert [each for each in told if isinstance(each, RoleNews)] == [
        RoleNews(Role.EXCLUSIVE, None, None),
        RoleNews(Role.WATCHER, BOB, Role.EXCLUSIVE),
    ]


def test_the_mark_that_repeats_what_the_place_said_changes_nothing() -> None:
    assert actions(place(1), [attached(1)]) == [Live(first=True)]


def test_an_end_that_is_ridden_out_is_told_once_and_so_is_the_attachment_after_it() -> None:
    records = [ended(1, ENDED), ended(2, ENDED), attached(3), attached(4)]
    assert actions(place(1), records) == [Live(first=True), End(ENDED, None), Live(first=False)]


def test_each_change_of_cause_is_told() -> None:
    records = [ended(1, ENDED), ended(2, BUSY), attached(3), ended(4, BUSY)]
    told = [End(ENDED, None), End(BUSY, None), Live(first=False), End(BUSY, None)]
    assert actions(place(1), records) == [Live(first=True), *told]


def test_an_end_of_the_guest_leaves_with_its_status() -> None:
    assert actions(place(1), [output(b"bye"), ended(1, DOWN, 3)]) == [
        Live(first=True),
        Shown(b"bye", replayed=False),
        End(DOWN, 10),
    ]


def test_the_place_tells_why_nothing_is_attached() -> None:
    assert actions(waiting(1, IDLE)) == [End(IDLE, 9)]


def test_waited_for_at_the_start_then_live() -> None:
    assert actions(waiting(1, IDLE), [attached(1)], Leave(wait=True)) == [End(IDLE, None), Live(first=True)]


def test_the_mark_of_a_failed_opening_behind_the_place_is_not_told_twice() -> None:
    first = waiting(1, IDLE, position=f"{HISTORY}:0:1", end=f"{HISTORY}:0:2")
    assert actions(first, [ended(1, IDLE)], Leave(wait=True)) == [End(IDLE, None)]
    assert actions(first, [ended(1, IDLE)]) == [End(IDLE, 9)]


def test_a_console_that_is_being_opened_has_nothing_to_tell_yet() -> None:
    opening = place(1, state="opening", attachment=None)
    assert actions(opening, [attached(1)]) == [Live(first=True)]


class TestReplay:
    OLD = f"{HISTORY}:0:1"

    def test_old_ends_are_shown_and_decide_nothing(self) -> None:
        first = place(1, position=self.OLD, end=f"{HISTORY}:3:4")
        records: list[Record] = [
            attached(1),
            output(b"old"),
            ended(2, DOWN, 3),
            attached(3, 3),
            output(b"new", 3),
            ended(4, DOWN, 6),
        ]
        assert actions(first, records) == [
            Live(first=True),
            Shown(b"old", replayed=True),
            Replayed(DOWN),
            Shown(b"new", replayed=False),
            End(DOWN, 10),
        ]

    def test_what_the_place_told_counts_once_the_replay_has_come_to_it(self) -> None:
        first = waiting(1, IDLE, position=self.OLD, end=f"{HISTORY}:3:2")
        records: list[Record] = [output(b"old"), ended(1, DOWN, 3)]
        assert actions(first, records) == [
            Shown(b"old", replayed=True),
            Replayed(DOWN),
            End(IDLE, 9),
        ]

    def test_a_console_that_waits_for_what_its_last_mark_says_tells_it_once(self) -> None:
        first = waiting(1, BUSY, position=self.OLD, end=f"{HISTORY}:3:3")
        records: list[Record] = [ended(1, BUSY), output(b"old"), ended(2, BUSY, 3)]
        assert actions(first, records) == [Replayed(BUSY), Shown(b"old", replayed=True), End(BUSY, 8)]

    def test_what_happened_to_the_guest_long_ago_is_told_as_such(self) -> None:
        first = place(1, position=self.OLD, end=f"{HISTORY}:0:2")
        past, now = Note(AT, "paused"), Note(AT, "resumed")
        assert actions(first, [mark(1, past), mark(2, now)]) == [Live(first=True), Replayed(past), now]

    def test_a_history_that_is_gone_is_named(self) -> None:
        assert actions(place(1, missing=True)) == [OtherHistory(), Live(first=True)]

    def test_what_one_has_no_right_to_read_is_named(self) -> None:
        assert actions(place(1, withheld=True)) == [Withheld(), Live(first=True)]


class TestReconnecting:
    def test_a_lost_connection_is_ridden_out_and_said_once(self) -> None:
        records: list[Record] = [Disconnected(LOST), resumed(f"{HISTORY}:0:1"), output(b"on")]
        assert actions(place(1), records) == [
            Live(first=True),
            End(LOST, None),
            Live(first=False),
            Shown(b"on", replayed=False),
        ]

    def test_once_leaves_with_its_status(self) -> None:
        assert actions(place(1), [Disconnected(LOST)], Leave(once=True)) == [Live(first=True), End(LOST, 5)]

    def test_an_end_that_was_missed_is_decided_behind_the_last_byte(self) -> None:
        again = resumed(f"{HISTORY}:0:1", state="waiting", attachment=None, reason=IDLE, end=f"{HISTORY}:3:2")
        records: list[Record] = [Disconnected(LOST), again, output(b"bye"), ended(1, DOWN, 3)]
        assert actions(place(1), records)[2:] == [Shown(b"bye", replayed=False), End(DOWN, 10)]

    def test_an_end_that_made_no_mark_is_known_from_the_place(self) -> None:
        again = resumed(f"{HISTORY}:0:1", state="waiting", attachment=None, reason=IDLE)
        assert actions(place(1), [Disconnected(LOST), again])[2:] == [End(IDLE, 9)]

    def test_an_end_and_a_start_that_were_missed_are_told_in_their_order(self) -> None:
        again = resumed(f"{HISTORY}:0:1", attachment=2, end=f"{HISTORY}:0:3")
        records: list[Record] = [Disconnected(LOST), again, ended(1, DOWN), attached(2)]
        assert actions(place(1), records, Leave(stay=True))[2:] == [End(DOWN, None), Live(first=False)]

    def test_another_history_is_named(self) -> None:
        again = resumed(f"{OTHER_HISTORY}:0:1", asked=f"{HISTORY}:0:1", missing=True)
        assert actions(place(1), [Disconnected(LOST), again])[2:] == [OtherHistory(), Live(first=False)]

    def test_nothing_of_another_history_is_of_the_past(self) -> None:
        first = place(1, position=f"{HISTORY}:100:1", end=f"{HISTORY}:200:1")
        again = resumed(f"{OTHER_HISTORY}:0:1", asked=f"{HISTORY}:150:1", missing=True)
        records: list[Record] = [output(b"x" * 50, 100), Disconnected(LOST), again, output(b"new")]
        assert actions(first, records)[-1] == Shown(b"new", replayed=False)

    def test_what_one_has_no_right_to_go_on_from_is_named(self) -> None:
        again = resumed(f"{HISTORY}:9:1", asked=f"{HISTORY}:0:1", withheld=True)
        assert actions(place(1), [Disconnected(LOST), again])[2:] == [Withheld(), Live(first=False)]

    def test_the_place_that_is_not_given_again_ends_it(self) -> None:
        gone = reason(Cause.SERVER_LOST)
        records: list[Record] = [Disconnected(LOST), PlaceEnded(HANDLE, gone)]
        assert actions(place(1), records, Leave(stay=True))[1:] == [End(LOST, None), End(gone, 5)]


@pytest.mark.parametrize(
    "record", [Break(AT, AT, AT), Note(AT, "rebooted", None)], ids=lambda record: type(record).__name__
)
def test_breaks_and_notes_are_passed_on(record: Break | Note) -> None:
    assert actions(place(1), [mark(1, record)])[1:] == [record]


def test_a_console_that_was_only_cut_and_opened_again_is_a_break_and_no_end() -> None:
    first, cut = place(1), Break(AT, AT, AT)
    progress = Progress(first)
    state = AttachState(DEFAULT, progress)
    done = state.enter()
    for record in (output(b"a"), mark(1, cut, 1), attached(2, 1), output(b"b", 1)):
        progress.take(record)
        done += state.take(record)
    assert done == [Live(first=True), Shown(b"a", replayed=False), cut, Shown(b"b", replayed=False)]
    assert progress.attachment == 2


def test_a_gap_moves_on() -> None:
    gap = Gap(HANDLE, 0, 1, 10, 3)
    assert actions(place(1), [gap, output(b"x", 10), ended(3, DOWN, 11)])[1:] == [
        gap,
        Shown(b"x", replayed=False),
        End(DOWN, 10),
    ]
