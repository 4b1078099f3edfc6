"""Which starts of the domain the marks of a history tell of."""

from tests.harness.log_source import NOON, OLD, SECOND, at
from tests.harness.scripted_daemon import reason
from virtmux.reasons import Cause
from virtmux.records import Attached, Break, Ended, Mark, Note, Position
from virtmux_cli.log.incarnations import Placed, incarnations
from virtmux_cli.log.records import Incarnation


def placed(*records: Mark) -> list[Placed]:
    return [Placed(Position(OLD, 10 * number, number), record) for number, record in enumerate(records, 1)]


def ended(cause: Cause, seconds: int = 0) -> Ended:
    return Ended(at(seconds), 1, reason(cause))


def test_each_incarnation_begins_with_its_first_attachment() -> None:
    marks = placed(
        Attached(at(0), 1, 1),
        Note(at(1), "paused"),
        Break(at(2), at(1), at(2)),
        Attached(at(2), 2, 1),
        ended(Cause.GUEST_SHUTDOWN),
        Attached(at(5), 3, 2),
    )

    assert incarnations(marks) == (
        Incarnation(1, NOON, Position(OLD, 10, 1), reason(Cause.GUEST_SHUTDOWN)),
        Incarnation(2, NOON + 5 * SECOND, Position(OLD, 60, 6), None),
    )


def test_the_end_of_an_attachment_is_not_that_of_the_guest() -> None:
    lost = placed(Attached(at(0), 1, 1), ended(Cause.HYPERVISOR_LOST), ended(Cause.DEVICE_REMOVED))

    assert [each.end for each in incarnations(lost)] == [None]


def test_the_last_word_on_an_end_counts() -> None:
    (only,) = incarnations(placed(Attached(at(0), 1, 1), ended(Cause.GUEST_SHUTDOWN), ended(Cause.GUEST_CRASHED)))

    assert only.end == reason(Cause.GUEST_CRASHED)


def test_an_end_before_any_start_is_of_one_that_is_stored_no_more() -> None:
    assert incarnations(placed(ended(Cause.GUEST_SHUTDOWN))) == ()
