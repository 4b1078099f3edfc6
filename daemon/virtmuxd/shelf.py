"""The consoles with what is kept of them: a ring each, and, where that is configured, the journal on the disk."""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from virtmux.backoff import Backoff
from virtmux.journal.directory import Journal, StoredConsole
from virtmux.journal.history import History
from virtmuxd.config.schema import Config, Kept
from virtmuxd.core.console import Console
from virtmuxd.core.console_key import ConsoleKey, Naming
from virtmuxd.core.events import Timing
from virtmuxd.core.log_fields import of_console
from virtmuxd.core.registry import Registry
from virtmuxd.core.retention import Bounds
from virtmuxd.core.store import Boot
from virtmuxd.service.journal.archive import DiskArchive
from virtmuxd.service.journal.readers import Readers
from virtmuxd.service.journal.recovery import Recovered
from virtmuxd.service.journal.settings import Settings
from virtmuxd.service.journal.store import JournalStore
from virtmuxd.service.journal.writer import JournalWriter
from virtmuxd.service.library import Library
from virtmuxd.service.ring import Past, Ring
from virtmuxd.service.ring_files import remove_aside, remove_ring
from virtmuxd.service.runtime import RuntimeDirectory, boot_id

_log = logging.getLogger(__name__)

_DAY = 86400 * 10**9
#: Seconds for the disk to tell what the journal holds, and to take the last records.
_BEGIN_DEADLINE = 10.0
_FINISH_DEADLINE = 5.0


class Shelf:
    """See the module."""

    def __init__(
        self, config: Config, registry: Registry, runtime: RuntimeDirectory, log_group: int | None = None
    ) -> None:
        """`log_group` is the id of the group that may read the journal."""
        self._config = self._policies = config
        self._registry = registry
        self._runtime = runtime
        self._boot = boot_id()
        self._loop = asyncio.get_running_loop()
        directory = Path(config.journal_directory or "")
        self._journal = Journal(directory)
        self._readers = Readers()
        self._store = JournalStore(_settings(config, directory, log_group), _bounds(config), f"{self._boot:032x}")
        self._writer = JournalWriter(self._store, self._defined)
        self._writing: asyncio.Task[None] | None = None
        self._recovered: dict[ConsoleKey, Recovered] = {}
        self._is_known = True
        self.library = Library(registry, self._journal, self._readers, self._forget)

    async def begin(self) -> None:
        """Look at what the journal holds.

        Raises:
            BlockingIOError: another daemon uses it.
        """
        if self._config.writes_to_disk:
            found = await self._writer.begin(_BEGIN_DEADLINE)
            self._recovered, self._is_known = found or {}, found is not None
        else:
            # What goes on in memory alone must not go on once more from a clean stop of before.
            with suppress(BlockingIOError):
                await self._writer.begin(_BEGIN_DEADLINE, anew=False)

    def write(self, tasks: asyncio.TaskGroup) -> None:
        """Write the journal from now on, until `finish`."""
        if self._config.writes_to_disk:
            self._writing = tasks.create_task(self._writer.run(), name="journal")

    def console(self, key: ConsoleKey, naming: Naming) -> Console:
        """A console that has appeared, with what is kept of it."""
        config, kept = self._config, self._config.journal_of(naming.domain, key.device)
        size = config.ring_of(naming.domain, key.device)
        ring = self._ring(key, kept, size)
        console = Console(
            key,
            naming,
            self._registry.next_handle(),
            ring,
            policy=self._policies.policy_of(naming.domain, key.device),
            timing=Timing(linger=self._policies.linger_of(naming.domain, key.device), probe_after=config.probe_after),
            backoff=Backoff(random.random),
            tell=self._registry.tell,
            relocate=lambda former, key: self._relocate(console, ring, former, key),
            new_token=partial(secrets.token_hex, 16),
            later=self._later,
            kept=kept.value,
        )
        if kept is Kept.DISK:
            self._record(console, size)
        return console

    def follow(self, config: Config) -> None:
        """Another configuration is in force: its policies count, for the consoles that they concern."""
        self._policies = config
        for console in self._registry.all():
            names = console.naming.domain, console.key.device
            console.set_policy(config.policy_of(*names), config.linger_of(*names), time.time_ns())

    def _later(self, seconds: float, call: Callable[[int], None]) -> None:
        self._loop.call_later(seconds, lambda: call(time.time_ns()))

    def _ring(self, key: ConsoleKey, kept: Kept, size: int) -> Ring:
        found = self._recovered.pop(key, None)
        if kept is Kept.NONE:
            return Ring.in_memory(size, self._runtime.life)
        recovered = found if kept is Kept.DISK else None
        past = None if recovered is None else _past(recovered, f"{self._boot:032x}")
        # What is not known of the journal may be a clean stop as well.
        standing = kept is Kept.DISK and (not self._is_known if recovered is None else recovered.standing)
        return Ring.open(self._runtime.ring(key), size, self._boot, self._runtime.life, past, standing=standing)

    def _record(self, console: Console, ring: int) -> None:
        archive = DiskArchive(console.handle, lambda: self._history(console), self._readers)
        console.sequence.archive = archive
        counters = self._registry.counters_of(console.key.hypervisor)
        console.recorder = self._writer.record(console, counters, ring=ring, recorded=archive.recorded)

    def _history(self, console: Console) -> History | None:
        """The console's history in the journal; called in a thread."""
        stored = self._journal.histories(StoredConsole(*console.key))
        return next((each for each in stored if each.id == console.sequence.position.history), None)

    def _forget(self, key: ConsoleKey, then: Callable[[OSError | None], None]) -> None:
        """Delete what is kept of a console of which nobody knows any more, or of the time when one was recorded."""
        console = self._registry.get(key)
        if console is not None and console.recorder is not None:
            console.forget(lambda: then(None))
            return
        self._recovered.pop(key, None)
        try:
            if console is None:
                remove_ring(self._runtime.ring(key))
            remove_aside(self._runtime.ring(key))
        except OSError as error:
            then(error)
        else:
            self._writer.forget(key, then)

    def _relocate(self, console: Console, ring: Ring, former: ConsoleKey, key: ConsoleKey) -> None:
        self._registry.rekey(console, former)
        ring.move(self._runtime.ring(key))
        if console.recorder is not None:
            console.recorder.move(key, time.time_ns())

    def _defined(self) -> frozenset[ConsoleKey] | None:
        """The consoles whose guests are defined; None as long as a hypervisor was not looked at."""
        if self._registry.is_new:
            return None
        return frozenset(console.key for console in self._registry)

    async def finish(self) -> None:
        """Close all consoles: record that this is a clean stop, and have all written."""
        self._readers.stop()
        for console in self._registry.all():
            try:
                console.close(time.time_ns())
            except OSError as error:
                _log.error("a console's ring cannot be closed", extra={**of_console(console.id), "error": str(error)})
        if self._writing is not None:
            await self._writer.finish(_FINISH_DEADLINE)
            await self._writer.give_back(self._recovered, _FINISH_DEADLINE)
            self._writing.cancel()

    def close(self) -> bool:
        """Let go of the disk; gives whether every call to it has come back."""
        return all([self._writer.close(), self._readers.close()])


def _settings(config: Config, directory: Path, group: int | None) -> Settings:
    return Settings(
        directory=directory,
        size=config.journal_size,
        keep=config.journal_keep,
        sync=config.journal_sync,
        group=group,
    )


def _bounds(config: Config) -> Bounds:
    return Bounds(config.journal_total, round(config.journal_days * _DAY), config.journal_free / 100)


def _past(found: Recovered, boot: str) -> Past:
    """What the journal says of a history, in this `boot`: running ids of another mean nothing."""
    running_id = found.running_id if found.boot == boot else -1
    begins = Boot(found.boot_incarnation, found.boot_offset, found.boot_mark)
    return Past(
        found.history,
        found.offset,
        found.mark,
        found.clean,
        (found.incarnation, running_id),
        begins,
        found.held_until,
        found.released_until,
    )
