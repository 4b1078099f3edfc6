"""The fate of input, counted from the start of a write."""

import pytest

from virtmux.ledger import Fate, InputLedger, InputState
from virtmux.messages import InputStatus
from virtmux.reasons import Cause


@pytest.mark.parametrize(
    ("status", "first", "second"),
    [
        # the fates of bytes 0 to 3 and of bytes 3 to 10
        (InputStatus(7, 1, accepted=10), (3, 0, 0), (7, 0, 0)),
        (InputStatus(7, 1, accepted=4, unknown=2, rejected=4), (3, 0, 0), (1, 2, 4)),
        (InputStatus(7, 1, accepted=2, unknown=3, rejected=5), (2, 1, 0), (0, 2, 5)),
        (InputStatus(7, 1, accepted=0, rejected=10), (0, 0, 3), (0, 0, 7)),
    ],
)
def test_each_write_has_its_share(status: InputStatus, first: Fate, second: Fate) -> None:
    ledger = InputLedger(1)
    ledger.sent = 10
    ledger.status(status)
    assert (ledger.fate(0, 3), ledger.fate(3, 7)) == (first, second)
    assert ledger.settled(10)


def test_what_is_under_way_has_no_fate_yet() -> None:
    ledger = InputLedger(1)
    ledger.sent = 10
    ledger.status(InputStatus(7, 1, accepted=4))
    assert (ledger.in_flight(), ledger.settled(4), ledger.settled(5), ledger.open) == (6, True, False, True)


def test_after_a_rejection_nothing_more_may_be_sent() -> None:
    ledger = InputLedger(1)
    ledger.sent = 10
    ledger.status(InputStatus(7, 1, accepted=4, rejected=6, cause=Cause.GUEST_DESTROYED))
    assert (ledger.open, ledger.cause) == (False, Cause.GUEST_DESTROYED)


def test_closed_what_was_under_way_is_unknown_and_what_was_not_sent_is_rejected() -> None:
    ledger = InputLedger(1)
    ledger.sent = 10
    ledger.status(InputStatus(7, 1, accepted=4))
    ledger.close(Cause.SERVER_LOST)
    assert ledger.fate(0, 12) == (4, 6, 2)
    assert ledger.cause is Cause.SERVER_LOST


def test_its_state_counts_what_was_given_and_not_sent_as_waiting_while_it_can_be_sent() -> None:
    ledger = InputLedger(3)
    ledger.given, ledger.sent = 10, 8
    ledger.status(InputStatus(7, 3, accepted=4, held=True))
    assert ledger.state == InputState(3, accepted=4, waiting=6, held=True, unsent=2)
    ledger.status(InputStatus(7, 3, accepted=5, unknown=1, rejected=1, cause=Cause.GUEST_DESTROYED))
    assert ledger.state == InputState(3, 5, unknown=1, rejected=3, waiting=1, cause=Cause.GUEST_DESTROYED)
    ledger.close(Cause.SERVER_LOST)
    assert ledger.state == InputState(3, 5, unknown=2, rejected=3, cause=Cause.GUEST_DESTROYED)


class TestACountThatBeginsAnew:
    def test_after_a_refusal_the_client_begins_where_it_goes_on(self) -> None:
        ledger = InputLedger(1, base=10)
        assert (ledger.in_flight(), ledger.open, ledger.state) == (0, True, InputState(1, 0))
        ledger.sent = 15
        ledger.status(InputStatus(7, 1, accepted=4, rejected=6, cause=Cause.ACCESS_DENIED))  # of what came before
        assert (ledger.in_flight(), ledger.open) == (5, True)
        ledger.status(InputStatus(7, 1, accepted=3, base=10))
        assert (ledger.fate(10, 3), ledger.fate(10, 5).accepted, ledger.settled(13)) == (Fate(3, 0, 0), 3, True)
        assert ledger.state == InputState(1, accepted=3, waiting=2)

    def test_where_the_daemon_does_not_begin_anew_all_behind_that_is_refused(self) -> None:
        ledger = InputLedger(1, base=10)
        ledger.given = ledger.sent = 15
        ledger.status(InputStatus(7, 1, accepted=2, unknown=1, rejected=11, cause=Cause.ACCESS_DENIED))
        assert (ledger.in_flight(), ledger.open, ledger.cause) == (1, False, Cause.ACCESS_DENIED)
        assert ledger.fate(10, 5) == (0, 0, 5)
        assert ledger.state == InputState(1, 0, rejected=4, waiting=1, cause=Cause.ACCESS_DENIED)

    def test_of_what_the_daemon_counts_no_more_only_what_it_had_accepted_has_arrived(self) -> None:
        ledger = InputLedger(1)
        ledger.sent = 20
        ledger.status(InputStatus(7, 1, accepted=4))
        ledger.status(InputStatus(7, 1, accepted=8, base=12))
        assert (ledger.open, ledger.in_flight(), ledger.settled(20)) == (True, 0, True)
        assert ledger.fate(0, 4) == (4, 0, 0)
        assert ledger.fate(2, 18) == (2, 16, 0)
        assert ledger.fate(12, 8) == (8, 0, 0)
        assert ledger.why is Cause.ACCESS_DENIED
        assert ledger.state == InputState(1, accepted=8, unknown=8, cause=Cause.ACCESS_DENIED)

    def test_what_was_in_doubt_stays_so_where_the_daemon_counts_anew_once_more(self) -> None:
        ledger = InputLedger(1)
        ledger.sent = 30
        ledger.status(InputStatus(7, 1, accepted=4))
        ledger.status(InputStatus(7, 1, accepted=6, base=12))
        ledger.status(InputStatus(7, 1, accepted=5, base=25))
        assert ledger.fate(0, 30) == (4, 26, 0)
        assert ledger.fate(12, 18) == (6, 12, 0)
        assert ledger.fate(12, 6) == (6, 0, 0)
        assert ledger.fate(25, 5) == (5, 0, 0)
        assert ledger.state == InputState(1, accepted=5, unknown=15, cause=Cause.ACCESS_DENIED)

    def test_where_all_was_accepted_before_nothing_is_in_doubt(self) -> None:
        ledger = InputLedger(1)
        ledger.sent = 6
        ledger.status(InputStatus(7, 1, accepted=4))
        ledger.status(InputStatus(7, 1, accepted=2, base=4))
        assert (ledger.fate(0, 6), ledger.why) == (Fate(6, 0, 0), None)

    def test_what_is_typed_anew_is_rejected_where_the_daemon_goes_on_to_count_from_before(self) -> None:
        ledger = InputLedger(1, base=10)
        ledger.given = ledger.sent = 11
        ledger.status(InputStatus(7, 1, accepted=4, rejected=6, cause=Cause.CONSOLE_BUSY))
        assert (ledger.in_flight(), ledger.open) == (1, True)
        ledger.status(InputStatus(7, 1, accepted=4, rejected=7, cause=Cause.CONSOLE_BUSY))
        assert ledger.state == InputState(1, accepted=0, rejected=1, cause=Cause.CONSOLE_BUSY)


def test_closed_its_state_waits_for_nothing() -> None:
    ledger = InputLedger(1)
    ledger.given, ledger.sent = 12, 10
    ledger.status(InputStatus(7, 1, accepted=4, held=True))
    ledger.close(Cause.SERVER_LOST)
    assert ledger.state == InputState(1, 4, unknown=6, rejected=2, cause=Cause.SERVER_LOST)
