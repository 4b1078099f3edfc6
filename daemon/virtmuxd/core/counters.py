"""What is counted at one hypervisor: one snapshot for the log and for `list`."""

from collections import defaultdict

from msgspec import to_builtins

from virtmux import messages
from virtmux.reasons import Cause


class Counters:
    """Counts since the daemon started; see `messages.Counters`."""

    def __init__(self) -> None:
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
