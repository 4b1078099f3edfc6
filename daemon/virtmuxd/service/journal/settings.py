"""What the journal is told: where it lies, how large it may become, and who may read it."""

from pathlib import Path
from typing import Literal

from msgspec import Struct

#: When files are flushed to the disk: never; when a segment is finished and at a clean stop; after each write too.
Sync = Literal["never", "close", "batch"]


class Settings(Struct, frozen=True, kw_only=True):
    """`size` bounds a segment, log and index together, in bytes; `keep` such are kept beside the one that grows.

    `group` (a gid) may read the files; None: nobody but their owner may.
    """

    directory: Path
    size: int = 8 << 20
    keep: int = 3
    sync: Sync = "close"
    group: int | None = None
