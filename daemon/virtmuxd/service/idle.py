"""Sends clients away that have been idle for too long: one timer for all, set for the next that may be due."""

import asyncio

from virtmux.reason_now import reason_now
from virtmux.reasons import Cause
from virtmuxd.core.limits import LimitsInForce
from virtmuxd.service.clients import Clients


class IdleWatch:
    """See the module. `look` when a client has come, and when the limits have changed."""

    def __init__(self, clients: Clients, limits: LimitsInForce) -> None:
        self._clients = clients
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def newcomer(self) -> None:
        """A client has come: it is due after all others."""
        if self._timer is None:
            self.look()

    def look(self) -> None:
        """Send away who is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        idle, now = self._limits.rules.idle, self._loop.time()
        if not idle:
            return
        waiting = []
        for client in self._clients:
            due = client.active_at + idle
            if due > now:
                waiting.append(due)
            else:
                client.dismiss(reason_now(Cause.IDLE, f"for {idle:g} s, the most that limits.idle allows"))
        if waiting:
            self._timer = self._loop.call_at(min(waiting), self.look)
