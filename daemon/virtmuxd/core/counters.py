"""What is counted at one hypervisor: one snapshot for the log and for `list`, and what is measured besides."""

from collections import defaultdict

from msgspec import to_builtins

from virtmux import messages
from virtmux.reasons import Cause


class ThreadUse:
    """The threads for one purpose; see `messages.Threads`."""

    def __init__(self, quota: int) -> None:
        self.quota = quota
        self.busy = 0
        self.stuck = 0

    def snapshot(self) -> messages.Threads:
        """As it is now."""
        return messages.Threads(self.busy, self.quota, self.stuck)


class Counters:
    """Counts since the daemon started; see `messages.Counters`."""

    def __init__(self) -> None:
        #: Its threads, by their purpose.
        self.threads: dict[str, ThreadUse] = {}
        #: What was counted at consoles that it has no more.
        self.settled = messages.Tally()
        self.cuts = 0
        self.stuck_calls = 0
        self.ends: dict[Cause, int] = defaultdict(int)
        self.journal_failures = 0
        self.journal_lost = 0

    def count_end(self, cause: Cause) -> None:
        """A mark `ended` was made at a console of it."""
        self.ends[cause] += 1

    def snapshot(self) -> messages.Counters:
        """The counts as they are now."""
        return messages.Counters(self.cuts, self.stuck_calls, dict(self.ends), self.journal_failures, self.journal_lost)

    def fields(self) -> dict[str, object]:
        """The same for a log record."""
        fields: dict[str, object] = to_builtins(self.snapshot())
        return fields
