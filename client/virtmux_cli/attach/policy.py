"""Whether `attach` leaves at an end, and with what status, or rides it out (docs/commands.md, "attach"). Pure."""

from collections.abc import Callable
from typing import NamedTuple

from virtmux.backoff import Backoff
from virtmux.reasons import CAUSES, Cause, Reason
from virtmux.records import Note

_FIRST_RETRY_S = 0.2
_LONGEST_RETRY_S = 2.0

#: Exit statuses of ends that pass by themselves while somebody tries again.
_PASSING = frozenset({1, 5, 6, 8})
#: Exit statuses of a console that somebody else holds, or whose guest does not run.
_NOT_YET = frozenset({8, 9, 10, 11})
#: Exit statuses after which the guest's next start makes the console live again.
NEXT_START = frozenset({9, 10, 11})


class Leave(NamedTuple):
    """When the person wants to leave: `--stay`, `--once`, `--wait`."""

    stay: bool = False
    once: bool = False
    wait: bool = False


def begins_anew(what: Reason | Note) -> bool:
    """Whether what the guest has switched on in the terminal is over with this: it has rebooted, or runs no more."""
    if isinstance(what, Note):
        return what.note == "rebooted"
    return what.exit_status in NEXT_START and not _is_followed(what)


def _is_followed(reason: Reason) -> bool:
    return reason.cause is Cause.GUEST_MIGRATED and reason.moved_to is not None


def leaves_with(reason: Reason, leave: Leave, *, begun: bool) -> int | None:
    """The status to leave with at this end; None to ride it out. `begun`: the console was attached once already."""
    status = reason.exit_status
    passes = reason.retry.will_retry and status in _PASSING
    if not begun and (status in _NOT_YET or (leave.wait and passes)):
        return None if leave.wait else status
    if leave.once:
        return status
    if passes or _is_followed(reason):
        return None
    if leave.stay and status in NEXT_START:
        return None
    return status


def leaves_refused(reason: Reason, leave: Leave) -> int | None:
    """The status to leave with where no place was given at the start; None to ask again.

    A refusal says nothing about what the daemon will try, so the cause itself does.
    """
    status = reason.exit_status
    return None if leave.wait and status in _PASSING and CAUSES[reason.cause].retry else status


def retries(chance: Callable[[], float]) -> Backoff:
    """The intervals, in seconds, at which a place is asked for again; `chance` as `random.random`."""
    return Backoff(chance, _FIRST_RETRY_S, _LONGEST_RETRY_S)


def option_to_wait(reason: Reason, leave: Leave, *, begun: bool) -> str | None:
    """The option with which this end, which makes `attach` leave, would have been waited out."""
    for option, waiting in (("--wait", leave._replace(wait=True)), ("--stay", leave._replace(stay=True))):
        if leaves_with(reason, waiting, begun=begun) is None:
            return option
    return None
