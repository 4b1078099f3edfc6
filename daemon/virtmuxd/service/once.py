"""A call that comes once: when it is made, or after some time."""

import asyncio
from collections.abc import Callable


class Once:
    """Calls `then` on the first call, or after `seconds`, and never again."""

    def __init__(self, then: Callable[[], None], seconds: float) -> None:
        self._then: Callable[[], None] | None = then
        self._due = asyncio.get_running_loop().call_later(seconds, self)

    def __call__(self) -> None:
        """Call it, unless it was called."""
        self._due.cancel()
        then, self._then = self._then, None
        if then is not None:
            then()
