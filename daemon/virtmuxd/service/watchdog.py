"""Feeds the service manager's watchdog (sd_watchdog_enabled(3)): what does not feed it is killed and started again."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from virtmuxd.service.service_manager import notify

_log = logging.getLogger(__name__)


def period(environ: Mapping[str, str], pid: int) -> float | None:
    """How many seconds lie between two meals: half of what the watchdog waits; None where there is none for us."""
    wait = environ.get("WATCHDOG_USEC", "")
    if not wait.isdecimal() or int(wait) == 0 or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(wait) / 2e6


async def feed(every: float, is_well: Callable[[float], bool]) -> None:
    """Say every so many seconds that the loop runs, as long as `is_well` at that time of the loop. Cancel it to end."""
    loop = asyncio.get_running_loop()
    was_well = True
    while True:
        well = is_well(loop.time())
        if well:
            notify("WATCHDOG=1")
        elif was_well:
            _log.error("no thread comes back from a hypervisor; the service manager is to restart the daemon")
        was_well = well
        await asyncio.sleep(every)
