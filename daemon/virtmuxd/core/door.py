"""Who may come in: how many clients there are, in all and of each user, and how many there may be. Pure."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from virtmuxd.core.limits import LimitsInForce


class Door:
    """Counts the clients that are in. Those of `exempt` users, by uid, are neither counted nor kept out."""

    def __init__(self, limits: LimitsInForce, exempt: frozenset[int]) -> None:
        self._limits = limits
        self._exempt = exempt
        self._inside: Counter[int] = Counter()

    def why_not(self, uid: int) -> str | None:
        """Why a client of this user does not come in, with the number and its key; None where it may."""
        if uid in self._exempt:
            return None
        rules = self._limits.rules
        if self._inside.total() >= rules.clients:
            return f"{rules.clients} clients are connected, the most that limits.clients allows"
        if self._inside[uid] >= rules.clients_per_user:
            most = rules.clients_per_user
            return f"{most} clients of uid {uid} are connected, the most that limits.clients_per_user allows"
        return None

    @contextmanager
    def inside(self, uid: int) -> Iterator[None]:
        """A client of this user is in."""
        if uid in self._exempt:
            yield
            return
        self._inside[uid] += 1
        try:
            yield
        finally:
            self._inside[uid] -= 1
            if not self._inside[uid]:
                del self._inside[uid]
