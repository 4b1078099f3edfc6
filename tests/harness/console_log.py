"""What the journal holds of a console, as people find it: by the domain's name, and by `virtmux log`."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from tests.harness.daemon import Daemon
from tests.harness.follower import PATIENCE
from virtmux.journal.names import component


class ConsoleLog:
    """Its files. `data` is what all its logs hold, the oldest first."""

    def __init__(self, journal: Path, domain: str, device: str = "serial0") -> None:
        self.link = journal / component(domain)
        self.path = self.link / f"{component(device)}.log"
        self.index = self.path.with_suffix(".idx")

    @property
    def rotated(self) -> list[Path]:
        """The logs that were rotated by the daemon, the oldest first."""
        numbered = self.path.parent.glob(f"{self.path.name}.*")
        return sorted(
            (path for path in numbered if path.suffix[1:].isdecimal()), key=lambda path: -int(path.suffix[1:])
        )

    @property
    def data(self) -> bytes:
        """The bytes of all segments."""
        return b"".join(path.read_bytes() for path in (*self.rotated, self.path) if path.exists())

    async def until(self, true: Callable[["ConsoleLog"], object]) -> None:
        """Wait until something holds. Raises TimeoutError.

        It looks again and again, up to a deadline: the journal may be on a file system that tells of nothing.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while not self._holds(true):
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            error.add_note(f"there is: {[(path.name, path.stat().st_size) for path in self.path.parent.glob('*')]}")
            raise

    def _holds(self, true: Callable[["ConsoleLog"], object]) -> object:
        try:
            return true(self)
        except FileNotFoundError:  # it is being rotated
            return False

    async def until_data(self, data: bytes) -> None:
        """Wait until these are all bytes of the log."""
        await self.until(lambda log: log.data == data)


async def raw_log(mux: Daemon, console: str) -> tuple[bytes, str]:
    """What `virtmux log -o raw` prints, and what it says besides."""
    status, output, error = await mux.run_client("log", "-o", "raw", "--", console)
    assert status == 0, error
    return output, error


async def raw_log_of_files(mux: Daemon, console: str) -> tuple[bytes, str]:
    """The same from offset 0 on, read from the journal's files while the daemon may write them."""
    nobody = str(mux.directory / "nobody")
    status, output, error = await mux.run_client("--socket", nobody, "log", "-o", "raw", "--from", "0", "--", console)
    assert status == 0, error
    return output, error


def holding(directory: Path, *texts: object) -> list[Path]:
    """The files below a directory in which, or in whose names, one of these texts stands."""
    encoded = [str(text).encode() for text in texts]
    return [path for path in directory.rglob("*") if any(text in os.fsencode(path) + _read(path) for text in encoded)]


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() and not path.is_symlink() else b""
