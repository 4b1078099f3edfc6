"""Puts another configuration into effect while the daemon runs: all of it that can be, or nothing where it is bad."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from virtmuxd.config.errors import ConfigError
from virtmuxd.config.schema import Config, ConsoleRule, keys_that_wait
from virtmuxd.config.source import Loaded
from virtmuxd.service.aside import in_thread
from virtmuxd.service.service_manager import notify

_log = logging.getLogger(__name__)


class Reload:
    """See the module. `asked` is set by SIGHUP."""

    def __init__(self, running: Config, read: Callable[[], Loaded], apply: Callable[[Loaded], Awaitable[None]]) -> None:
        """`running` is what the daemon was started with; `read` reads anew, in a thread: the directory of users may
        hang. `apply` is awaited."""
        self.asked = asyncio.Event()
        self._running = running
        self._read = read
        self._apply = apply

    async def run(self) -> None:
        """Reload as often as it is asked for."""
        while True:
            await self.asked.wait()
            self.asked.clear()
            notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                await self._reload()
            except Exception:  # noqa: BLE001  # the failure boundary of a reload
                _log.exception("a bug while the configuration was loaded again")
            notify("READY=1")

    async def _reload(self) -> None:
        try:
            loaded = await in_thread(self._read, "configuration")
        except ConfigError as error:
            for fault in str(error).splitlines():
                _log.error("the configuration cannot be used, nothing has changed", extra={"error": fault})
            return
        await self._apply(loaded)
        waiting = waiting_keys(self._running, loaded.config)
        _log.info("the configuration was loaded again", extra={"waiting_for_a_restart": ", ".join(waiting) or None})


def waiting_keys(running: Config, loaded: Config) -> list[str]:
    """The keys that say something else than as the daemon was started, and take effect only at its next start."""
    keys = [key for key in keys_that_wait(Config) if getattr(running, key) != getattr(loaded, key)]
    alike = replace(loaded, pool=running.pool)  # the key at the top is named by itself
    if any(running.pool_of(uri) != alike.pool_of(uri) for uri in loaded.uri if uri in running.uri):
        keys.append("hypervisor.pool")
    return keys + [f"console.{key}" for key in keys_that_wait(ConsoleRule) if _said(running, key) != _said(loaded, key)]


def _said(config: Config, key: str) -> list[tuple[str, object]]:
    """What its rules for consoles say, where they have this key."""
    said = ((rule.match, getattr(rule, key)) for rule in config.console)
    return [(match, value) for match, value in said if value is not None]
