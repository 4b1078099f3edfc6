"""What is counted at one hypervisor."""

from virtmux import messages
from virtmux.reasons import Cause
from virtmuxd.core.counters import Counters, ThreadUse


def test_a_snapshot_is_of_its_moment() -> None:
    counters = Counters()
    assert counters.snapshot() == messages.Counters(0, 0, {}, 0, 0)
    counters.cuts, counters.stuck_calls, counters.journal_failures, counters.journal_lost = 1, 2, 3, 4
    counters.count_end(Cause.GUEST_CRASHED)
    snapshot = counters.snapshot()

    counters.count_end(Cause.GUEST_CRASHED)

    assert snapshot == messages.Counters(1, 2, {Cause.GUEST_CRASHED: 1}, 3, 4)
    assert counters.snapshot().ends == {Cause.GUEST_CRASHED: 2}


def test_threads_are_told_with_how_many_there_may_be() -> None:
    threads = ThreadUse(8)
    assert threads.snapshot() == messages.Threads(0, 8, 0)

    threads.busy, threads.stuck = 3, 1

    assert threads.snapshot() == messages.Threads(3, 8, 1)
