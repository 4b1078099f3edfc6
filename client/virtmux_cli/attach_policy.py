"""Whether `attach` leaves at an end, and with what status, or rides it out (DESIGN "The command"). Pure."""

from typing import NamedTuple

from virtmux.reasons import Cause, Reason

TIMED_OUT = 7

#: Exit statuses of ends that pass by themselves while somebody tries again.
_PASSING = frozenset({1, 5, 6, 8})
#: Exit statuses of a console that somebody else holds, or whose guest does not run.
_NOT_YET = frozenset({8, 9, 10, 11})
#: Exit statuses after which the guest's next start makes the console live again.
_NEXT_START = frozenset({9, 10, 11})


class Policy(NamedTuple):
    """What the person asked for: `--stay`, `--once`, `--wait`."""

    stay: bool = False
    once: bool = False
    wait: bool = False


def leaves_with(reason: Reason, policy: Policy, *, begun: bool) -> int | None:
    """The status to leave with at this end; None to ride it out. `begun`: the console was attached once already."""
    status = reason.exit_status
    if not begun and status in _NOT_YET:
        return None if policy.wait else status
    if policy.once:
        return status
    if reason.retry.will_retry and (status in _PASSING or reason.cause is Cause.GUEST_MIGRATED):
        return None
    if policy.stay and status in _NEXT_START:
        return None
    return status
