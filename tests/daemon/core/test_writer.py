"""What one client is told of what it typed."""

from virtmux.messages import InputStatus
from virtmux.reasons import Cause
from virtmuxd.core.writer import Account, Writer

HANDLE = 7


def test_what_is_pending_is_what_came_since_the_base_and_has_no_fate_yet() -> None:
    account = Account(1, received=100, base=10, accepted=20, unknown=5, rejected=7)

    assert account.pending == 58


def test_a_client_is_told_the_fate_of_all_it_typed_and_that_it_is_held_while_some_is_pending() -> None:
    account = Account(3, 100, 10, 20, 5, 7, Cause.CONSOLE_BUSY, held=True)
    assert account.status(HANDLE) == InputStatus(HANDLE, 3, 20, 5, 7, Cause.CONSOLE_BUSY, True, 10)

    account.accepted += account.pending

    assert account.status(HANDLE) == InputStatus(HANDLE, 3, 78, 5, 7, Cause.CONSOLE_BUSY, False, 10)


def test_input_that_is_counted_again_goes_on_where_it_was() -> None:
    again = Account(3, 100, 10, 20, 5, 7, Cause.CONSOLE_BUSY, held=True, refused=True).begin_again()

    assert again == Account(3, received=100, base=100)
    assert again.pending == 0


def test_who_has_left_is_told_no_more() -> None:
    told: list[str] = []
    writer = Writer(lambda: told.append("news"))
    assert not writer.has_left
    writer.changed()

    writer.leave()
    writer.changed()

    assert (writer.has_left, told) == (True, ["news"])
