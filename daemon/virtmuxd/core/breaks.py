"""Since when nobody held a console: of that time output may be missing, and a `break` says so.

Where the guest ended while the console was held, nothing is missing until its next start, if that was seen.
"""

from virtmux.records import Break, rfc3339


class Breaks:
    """See the module. Times in ns; where the clock was set back, a break is as short as can be, and still told."""

    def __init__(self, unheld_since: int | None) -> None:
        """`unheld_since`: when a former daemon lost hold of the console, if one ever had it."""
        #: How many there were, and how long together.
        self.number = 0
        self.length = 0
        #: Since when it is not held; None where it never was.
        self.unheld_since = unheld_since
        #: Since when the guest runs where it was migrated to; 0 where it was not.
        self._arrived_at = 0
        #: Whether it was held until the guest ended, or left by migration, and that is not back yet.
        self._is_guest_away = False

    def let_go(self, at: int) -> None:
        """It is not held any more."""
        self.unheld_since = at
        self._is_guest_away = False

    def guest_ended(self) -> None:
        """It was held until the guest ended, and no further start of that was seen yet."""
        self._is_guest_away = True

    def guest_started(self, at: int) -> None:
        """The guest's next start was seen: while it did not run it has said nothing."""
        if self._is_guest_away:
            self.let_go(at)

    def guest_arrived(self, at: int) -> None:
        """The guest runs where it was migrated to, since then."""
        self._arrived_at = at
        if self._is_guest_away:
            self.unheld_since = at

    def lose_sight(self) -> None:
        """The next start that is seen need not be the guest's next."""
        self._is_guest_away = False

    def at_opening(self, at: int, ahead_since: int | None, started_at: int | None) -> Break | None:
        """What is to be told as the console is opened, or was opened `ahead_since`; None where nothing is missing.
        `started_at`: when the start was seen of the guest that it belongs to."""
        unheld = started_at if self.unheld_since is None else self.unheld_since
        since = at if ahead_since is None else max(ahead_since, self._arrived_at)
        if unheld is None:
            return None
        # What was opened ahead may have been so before it was let go.
        seamless = unheld == since if ahead_since is None else unheld >= since
        return None if seamless else self.tell(at, unheld, since)

    def tell(self, at: int, since: int, until: int) -> Break:
        """Count a break of that time, which is told at `at`."""
        since = min(since, until)
        self.number += 1
        self.length += until - since
        return Break(rfc3339(at), rfc3339(since), rfc3339(until))
