"""What one client asks that waits until the daemon has looked at its hypervisors."""

from collections.abc import Callable
from functools import partial

from virtmuxd.core.registry import Registry
from virtmuxd.service.once import Once
from virtmuxd.service.outgoing import MAX_ANSWERS

#: Seconds for it to find what a name means, where that is not known yet.
_FIND_DEADLINE = 10.0


class Survey:
    """See the module. Who asks for more than `MAX_ANSWERS` things at once is answered by what is known."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._waiting = 0

    def once_made(self, then: Callable[[], None], seconds: float = _FIND_DEADLINE) -> None:
        """Call once all hypervisors were looked at since the daemon started; or after so long."""
        if self._registry.is_new:
            self.once_current(then, seconds)
        else:
            then()

    def once_current(self, then: Callable[[], None], seconds: float = _FIND_DEADLINE) -> None:
        """Call once that is so, and domains that have just changed were looked at, too; or after so long."""
        if self._waiting >= MAX_ANSWERS:
            then()
        else:
            self._waiting += 1
            self._registry.when_surveyed(Once(partial(self._over, then), seconds))

    def _over(self, then: Callable[[], None]) -> None:
        self._waiting -= 1
        then()
