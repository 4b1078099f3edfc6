"""Where targets that read files have them: in memory, as the daemon has its runtime directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_MEMORY = Path("/dev/shm")


@contextmanager
def directory() -> Iterator[Path]:
    """An empty one, for as long as the context lasts."""
    with TemporaryDirectory(prefix="vmxf-", dir=_MEMORY if _MEMORY.is_dir() else None) as path:
        yield Path(path)
