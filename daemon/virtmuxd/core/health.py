"""Whether the daemon would be better off after a restart: what the service manager's watchdog is told.

A loop that hangs says nothing, and is restarted for that. What says that it is ill is one thing alone: threads that are
stuck inside libvirt, although their connection was cut, and so many that a hypervisor has none left. Only the end of
the process gives them back. But a restart is felt at all hypervisors, as a short break: so it must have lasted longer
than what ends by itself, and comes seldom. A disk that hangs is none: a restart would meet it again.
"""

from collections.abc import Iterable

#: Seconds. An open that cannot be cut ends with its TCP connect, after about two minutes.
PATIENCE = 300.0


class Health:
    """What was seen so far."""

    def __init__(self) -> None:
        #: Threads that are used up, by their name, and since when.
        self._since: dict[str, float] = {}

    def is_well(self, used_up: Iterable[str], now: float) -> bool:
        """Whether no restart is wanted. `used_up` names the threads that are all stuck now; `now` is in seconds."""
        self._since = {name: self._since.get(name, now) for name in used_up}
        return all(now - since < PATIENCE for since in self._since.values())
