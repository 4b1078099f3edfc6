"""When `attach` tells who else is there: what changes soon after one another is told together."""

import asyncio
from collections.abc import Callable

from virtmux.messages import Company

#: Seconds within which that is one change; after a lost connection, when all come again one by one.
_TOGETHER_S = 0.2
_ALL_AGAIN_S = 3.0


class Gathering:
    """See the module. The first is told at once."""

    def __init__(self, tell: Callable[[Company], None]) -> None:
        """`tell` is given the last of what is told together."""
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._telling: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        self._all_come_again = False

    def lost(self) -> None:
        """The connection is lost: not all that were there are there again as soon as it is back."""
        self._all_come_again = True

    def take(self, company: Company) -> None:
        """Who is there now."""
        now = self._loop.time()
        if self._all_come_again:
            self._all_come_again = False
            self._not_before = now + _ALL_AGAIN_S
        at = now if self._telling is None else max(now + _TOGETHER_S, self._not_before)
        self.close()
        self._telling = self._loop.call_at(at, self._tell, company)

    def close(self) -> None:
        """Tell nothing more of what was taken."""
        if self._telling is not None:
            self._telling.cancel()
