"""The journal's directory as the daemon has it: locked, its consoles' files, and what the writer's thread does."""

import errno
import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from virtmux.journal.entries import DamagedError
from virtmux.journal.names import BY_ID
from virtmuxd.core.archive import Point
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.retention import Bounds
from virtmuxd.service.journal.files import ConsoleFiles, JournalConflictError
from virtmuxd.service.journal.janitor import tidy
from virtmuxd.service.journal.links import Links
from virtmuxd.service.journal.lock import holds, lock
from virtmuxd.service.journal.recovery import Recovered, give_back, recover, use_up
from virtmuxd.service.journal.settings import Settings

_log = logging.getLogger(__name__)

#: Nanoseconds after which the bounds are looked at, however little was written.
_TIDY_EVERY = 3600 * 10**9
#: The same, as a part of the size that all files may have.
_TIDY_SHARE = 64
#: Nanoseconds after which they are looked at again where the file system is too full.
_TIDY_SHORT = 10 * 10**9

#: What is said of a console whose records a bug keeps from the disk.
BUG = "virtmux failed; its log has the details"

Work = Callable[[], Point]
Outcome = Point | OSError
"""What the disk has of a console, or why it did not take what it was given."""


class JournalStore:
    """See the module. Used by one thread at a time."""

    def __init__(self, settings: Settings, bounds: Bounds, boot: str) -> None:
        """Touches nothing yet. `boot` is the id of this boot of the host, in 32 hex digits."""
        self._settings = settings
        self._bounds = bounds
        self._boot = boot
        self._links = Links(settings.directory)
        self._live: tuple[ConsoleFiles, ...] = ()
        self._written = 0
        self._tidied_at = 0
        self._lock: int | None = None

    def begin(self, *, anew: bool = True) -> dict[ConsoleKey, Recovered]:
        """Lock the directory, and look at what is there; unless `anew`, only where a journal was written before.

        Raises:
            BlockingIOError: another daemon has it.
            OSError: it cannot be made or read.
        """
        if not anew and not (self._settings.directory / BY_ID).is_dir():
            return {}
        if self._lock is None:
            self._lock = lock(self._settings)
        return {key: self._used_up(key, found) for key, found in recover(self._settings).items()}

    def _used_up(self, key: ConsoleKey, found: Recovered) -> Recovered:
        if not found.clean:
            return found
        try:  # also in the same boot: that may end before the console's next record is on the disk
            use_up(self._settings, key, self._boot, time.time_ns())
        except OSError as error:
            _log.warning("a history does not go on", extra={**key._asdict(), "error": error.strerror})
            return found._replace(clean=False, standing=True)
        return found

    def give_back(self, unseen: Mapping[ConsoleKey, Recovered], now: int) -> None:
        """Let the clean stops of consoles count again that were not there in this life."""
        for key, found in unseen.items():
            if found.clean:
                try:
                    give_back(self._settings, key, found, self._boot, now)
                except (OSError, DamagedError, IndexError) as error:
                    _log.warning("a clean stop is used up", extra={**key._asdict(), "error": str(error)})

    def _lock_anew(self, former: int) -> None:
        """What was locked is gone: make it again, if no other daemon did."""
        self._lock = lock(self._settings)
        os.close(former)

    @property
    def directory(self) -> Path:
        """Where the journal lies."""
        return self._settings.directory

    def console(self, key: ConsoleKey, domain: str) -> ConsoleFiles:
        """The files of a console that is to be written."""
        files = ConsoleFiles(self._settings, self._links, key, domain, self._boot)
        self._live = (*self._live, files)  # the thread may be going through the former ones
        return files

    def is_to_be_tidied(self, now: int) -> bool:
        """Whether the bounds are to be looked at, at this time (ns)."""
        return self._written >= self._bounds.total // _TIDY_SHARE or now - self._tidied_at >= _TIDY_EVERY

    def carry_out(
        self, works: Iterable[tuple[int, Work]], defined: Collection[ConsoleKey] | None, now: int
    ) -> list[Outcome]:
        """Do works, each of so many bytes, and tell what came of each. `defined`, where the bounds are to be looked at:
        the consoles whose guests are defined."""
        try:
            if self._lock is None:
                self.begin()
            elif not holds(self._settings, self._lock):
                self._lock_anew(self._lock)
            if defined is not None or (now - self._tidied_at >= _TIDY_SHORT and self._is_short()):
                self._tidy(defined or [files.key for files in self._live], now)
            full = self._full()
        except OSError as error:
            full = error
        return [full or self._do(size, work) for size, work in works]

    def _do(self, size: int, work: Work) -> Outcome:
        try:
            point = work()
        except OSError as error:
            return error
        except JournalConflictError as error:
            return OSError(errno.EINVAL, str(error))
        except Exception:  # noqa: BLE001  # the failure boundary of a console's journal
            _log.exception("a bug while a console's records were written")
            return OSError(errno.EIO, BUG)
        self._written += size
        return point

    def _tidy(self, defined: Collection[ConsoleKey], now: int) -> None:
        self._written, self._tidied_at = 0, now
        try:
            tidy(self._settings, self._bounds, defined, self._live, self._links, now=now)
        except OSError:
            raise
        except Exception:  # noqa: BLE001  # the failure boundary of the janitor
            _log.exception("a bug while the journal was tidied")

    def _is_short(self) -> bool:
        disk = os.statvfs(self._settings.directory)
        return disk.f_bavail < self._bounds.free * disk.f_blocks

    def _full(self) -> OSError | None:
        if not self._is_short():
            return None
        return OSError(errno.ENOSPC, f"less than {self._bounds.free:.0%} of the file system is free")

    def release(self, files: ConsoleFiles) -> None:
        """A console is not written any more. If it was its guest's last, another guest may have the name."""
        self._live = tuple(each for each in self._live if each is not files)
        if all(each.directory != files.directory for each in self._live):
            self._links.gone(files.directory)

    def forget(self, key: ConsoleKey) -> None:
        """Delete what is there of a console that is not being written."""
        ConsoleFiles(self._settings, self._links, key, "", self._boot).forget()

    def close(self) -> None:
        """Let another daemon have it."""
        if self._lock is not None:
            os.close(self._lock)
