"""A file system of some MiB for a journal, which a test can fill, make read-only, and give room again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.harness.privilege import run_as_root

_BALLAST, _BLOCK = "ballast", 4096


class SmallDisk:
    """See the module. Made by `small_disk`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.journal = directory / "journal"

    def fill(self, *, free: int = 0) -> None:
        """Leave so many bytes free, or none where others write meanwhile."""
        space = os.statvfs(self.directory)
        with suppress(OSError), (self.directory / _BALLAST).open("ab", buffering=0) as ballast:
            for _ in range((space.f_bavail * space.f_bsize - free) // _BLOCK):
                ballast.write(bytes(_BLOCK))

    def make_room(self) -> None:
        """Take back what `fill` did."""
        (self.directory / _BALLAST).unlink(missing_ok=True)

    def freeze(self) -> None:
        """Make it read-only to whoever opens a file from now on."""
        run_as_root("mount", "--bind", self.directory, self.directory)
        run_as_root("mount", "-o", "remount,bind,ro", self.directory)

    def thaw(self) -> None:
        """Take back what `freeze` did."""
        run_as_root("umount", self.directory)


@contextmanager
def small_disk(directory: Path, mib: int = 8) -> Iterator[SmallDisk]:
    """A file system on an empty directory, until the context is left."""
    run_as_root("mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=1777", "vmx-journal", directory)
    try:
        yield SmallDisk(directory)
    finally:
        run_as_root("umount", "--lazy", "--recursive", directory)
