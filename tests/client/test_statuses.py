"""Exit statuses that belong to no cause."""

import signal

from virtmux.reasons import CAUSES
from virtmux_cli.statuses import FURTHER, INTERRUPTED, SIGNALLED, TIMED_OUT, USAGE


def test_no_cause_has_one_of_them() -> None:
    assert not {info.exit_status for info in CAUSES.values()} & {USAGE, TIMED_OUT, FURTHER, SIGNALLED, INTERRUPTED}
    assert max(info.exit_status for info in CAUSES.values()) < FURTHER


def test_an_interrupted_command_ends_as_by_the_signal() -> None:
    assert INTERRUPTED == SIGNALLED + signal.SIGINT
