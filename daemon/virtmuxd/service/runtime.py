"""The daemon's runtime directory (on a tmpfs): sockets, rings, and the lock that keeps a second daemon out."""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.service.ring import Life

#: Seconds between two signs of life.
_BEAT = 1.0


class RuntimeDirectory:
    """Locked for as long as it is not closed. A SIGKILL releases the lock and leaves the rings."""

    def __init__(self, path: Path) -> None:
        """Make and lock the directory.

        Raises:
            BlockingIOError: another daemon uses it.
            OSError: it cannot be made.
        """
        self.path = path
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._lock = os.open(path / "virtmuxd.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.life = self._begin_life()
            (path / "rings").mkdir(mode=0o700, exist_ok=True)
        except OSError:
            os.close(self._lock)
            raise

    def ring(self, key: ConsoleKey) -> Path:
        """Where the ring of a console lies, without its suffix. Quoted, so that no name leaves the directory."""
        name = quote(f"{key.uuid}_{key.device}", safe="").replace(".", "%2E")
        return self.path / "rings" / quote(key.hypervisor, safe="") / name

    def _begin_life(self) -> Life:
        """The lock file holds when its daemon began, and its time is when that was last alive."""
        former, alive = os.pread(self._lock, 32, 0), os.fstat(self._lock).st_mtime_ns
        began = time.time_ns()
        os.pwrite(self._lock, b"%020d" % began, 0)
        return Life(began, int(former) if former.isdigit() else 0, alive)

    async def stay_alive(self, beat: Callable[[float], None]) -> None:
        """Say once a second, by the time of the lock file, that this daemon is alive: what a SIGKILL leaves is when.

        `beat` is told by how many seconds the loop was late for that.
        """
        loop = asyncio.get_running_loop()
        while True:
            os.utime(self._lock)
            due = loop.time() + _BEAT
            await asyncio.sleep(_BEAT)
            beat(loop.time() - due)

    def close(self) -> None:
        """Let another daemon have it."""
        os.close(self._lock)


def boot_id() -> int:
    """The host's boot id, 128 bits: rings of another boot are not what they were."""
    return UUID(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()).int
