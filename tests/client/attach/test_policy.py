"""When `attach` leaves and when it rides an end out: the rules of docs/commands.md, a row each."""

import pytest

from tests.harness.scripted_daemon import reason
from virtmux.reasons import CAUSES, Cause
from virtmux_cli.attach.policy import Leave, leaves_refused, leaves_with, option_to_wait

DEFAULT = Leave()
STAY = Leave(stay=True)
ONCE = Leave(once=True)
WAIT = Leave(wait=True)

ROWS = [
    # what ended it, will it be retried, what was asked for, status (None: ride out)
    (Cause.STREAM_ERROR, True, DEFAULT, None),
    (Cause.STREAM_ENDED, True, DEFAULT, None),
    (Cause.SERVER_STOPPING, True, DEFAULT, None),
    (Cause.SERVER_LOST, True, DEFAULT, None),
    (Cause.HYPERVISOR_LOST, True, DEFAULT, None),
    (Cause.HYPERVISOR_TIMEOUT, True, DEFAULT, None),
    (Cause.CONSOLE_BUSY, True, DEFAULT, None),
    (Cause.CONSOLE_TAKEN_OVER, True, DEFAULT, None),
    (Cause.GUEST_MIGRATED, True, DEFAULT, 10),
    (Cause.STREAM_ENDED, False, DEFAULT, 1),
    (Cause.INTERNAL_ERROR, False, DEFAULT, 1),
    (Cause.SERVER_LOST, False, DEFAULT, 5),
    (Cause.HYPERVISOR_LOST, False, DEFAULT, 6),
    (Cause.CONSOLE_RELEASED, False, DEFAULT, 8),
    (Cause.GUEST_MIGRATED, False, DEFAULT, 10),
    (Cause.GUEST_UNDEFINED, False, DEFAULT, 3),
    (Cause.HYPERVISOR_DENIED, False, DEFAULT, 4),
    (Cause.GUEST_NOT_RUNNING, True, DEFAULT, 9),
    (Cause.GUEST_SHUTDOWN, True, DEFAULT, 10),
    (Cause.GUEST_DESTROYED, True, DEFAULT, 10),
    (Cause.GUEST_CRASHED, True, DEFAULT, 11),
    (Cause.GUEST_FAILED, True, DEFAULT, 11),
    (Cause.EVICTED, False, DEFAULT, 12),
    (Cause.GUEST_SHUTDOWN, True, STAY, None),
    (Cause.GUEST_NOT_RUNNING, True, STAY, None),
    (Cause.GUEST_CRASHED, True, STAY, None),
    (Cause.GUEST_UNDEFINED, False, STAY, 3),
    (Cause.EVICTED, False, STAY, 12),
    (Cause.SERVER_LOST, True, ONCE, 5),
    (Cause.STREAM_ENDED, True, ONCE, 1),
    (Cause.GUEST_SHUTDOWN, True, ONCE, 10),
    (Cause.GUEST_SHUTDOWN, True, WAIT, 10),
]


@pytest.mark.parametrize(("cause", "will_retry", "leave", "status"), ROWS)
def test_once_begun(cause: Cause, will_retry: bool, leave: Leave, status: int | None) -> None:
    assert leaves_with(reason(cause, will_retry=will_retry), leave, begun=True) == status


AT_THE_START = [
    (Cause.CONSOLE_BUSY, DEFAULT, 8),
    (Cause.GUEST_NOT_RUNNING, DEFAULT, 9),
    (Cause.GUEST_SHUTDOWN, DEFAULT, 10),
    (Cause.GUEST_NOT_RUNNING, STAY, 9),
    (Cause.HYPERVISOR_LOST, DEFAULT, None),
    (Cause.HYPERVISOR_LOST, ONCE, 6),
    (Cause.CONSOLE_BUSY, WAIT, None),
    (Cause.GUEST_NOT_RUNNING, WAIT, None),
    (Cause.GUEST_SHUTDOWN, WAIT, None),
    (Cause.GUEST_NOT_RUNNING, Leave(wait=True, once=True), None),
    (Cause.GUEST_UNDEFINED, WAIT, 3),
    (Cause.HYPERVISOR_LOST, WAIT, None),
    (Cause.HYPERVISOR_LOST, Leave(wait=True, once=True), None),
    (Cause.HYPERVISOR_DENIED, WAIT, 4),
]


@pytest.mark.parametrize(("cause", "leave", "status"), AT_THE_START)
def test_at_the_start(cause: Cause, leave: Leave, status: int | None) -> None:
    assert leaves_with(reason(cause, will_retry=CAUSES[cause].retry), leave, begun=False) == status


@pytest.mark.parametrize(("leave", "status"), [(DEFAULT, None), (STAY, None), (ONCE, 10)])
def test_a_migration_that_virtmux_follows_is_ridden_out(leave: Leave, status: int | None) -> None:
    gone = reason(Cause.GUEST_MIGRATED, will_retry=True, moved_to="qemu+ssh://b/system")
    assert leaves_with(gone, leave, begun=True) == status


@pytest.mark.parametrize("cause", Cause)
def test_nothing_but_what_will_be_tried_again_is_ridden_out_by_default(cause: Cause) -> None:
    assert leaves_with(reason(cause, will_retry=False), DEFAULT, begun=True) == CAUSES[cause].exit_status


@pytest.mark.parametrize(
    ("cause", "leave", "status"),
    [
        (Cause.HYPERVISOR_LOST, DEFAULT, 6),
        (Cause.HYPERVISOR_LOST, STAY, 6),
        (Cause.HYPERVISOR_LOST, WAIT, None),
        (Cause.HYPERVISOR_TIMEOUT, WAIT, None),
        (Cause.HYPERVISOR_DENIED, WAIT, 4),
        (Cause.CONSOLE_MISSING, WAIT, 3),
        (Cause.PROTOCOL_ERROR, WAIT, 12),
    ],
)
def test_where_no_place_is_given(cause: Cause, leave: Leave, status: int | None) -> None:
    assert leaves_refused(reason(cause), leave) == status


@pytest.mark.parametrize(
    ("cause", "leave", "begun", "option"),
    [
        (Cause.GUEST_SHUTDOWN, DEFAULT, True, "--stay"),
        (Cause.GUEST_SHUTDOWN, ONCE, True, None),
        (Cause.GUEST_NOT_RUNNING, DEFAULT, False, "--wait"),
        (Cause.CONSOLE_BUSY, STAY, False, "--wait"),
        (Cause.HYPERVISOR_LOST, ONCE, False, "--wait"),
        (Cause.EVICTED, DEFAULT, True, None),
        (Cause.GUEST_UNDEFINED, DEFAULT, True, None),
    ],
)
def test_the_option_that_would_have_waited(cause: Cause, leave: Leave, begun: bool, option: str | None) -> None:
    assert option_to_wait(reason(cause, will_retry=CAUSES[cause].retry), leave, begun=begun) == option
