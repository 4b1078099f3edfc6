"""Keeps the journal within its bounds: goes through the directory, and removes what has to go."""

import logging
import os
from collections.abc import Collection

from virtmux.journal.names import BY_ID, component
from virtmuxd.core.console_key import ConsoleKey
from virtmuxd.core.retention import Bounds, SegmentInfo, to_drop
from virtmuxd.service.journal.files import ConsoleFiles
from virtmuxd.service.journal.links import Links
from virtmuxd.service.journal.segments import Segment, remove, remove_empty, segments
from virtmuxd.service.journal.settings import Settings

_log = logging.getLogger(__name__)

#: A segment that grows, without output and with an index below this, has nothing that is worth to be removed.
_WORTHLESS = 4096

_Key = tuple[str, str, str]


def tidy(
    settings: Settings,
    bounds: Bounds,
    defined: Collection[ConsoleKey],
    live: Collection[ConsoleFiles],
    links: Links,
    *,
    now: int,
) -> None:
    """Remove what the bounds do not allow. What cannot be removed is logged, and tried again the next time.

    Args:
        defined: the consoles whose guests are defined.
        live: those that are being written.
        now: the time (ns).

    Raises:
        OSError: the directory cannot be read.
    """
    keys = {_key(key) for key in defined}
    writers = {_key(files.key): files for files in live}
    found: dict[SegmentInfo, Segment] = {}
    for home in sorted((settings.directory / BY_ID).glob("*/*/")):
        for segment in segments(home):
            device = segment.stem.partition("~")[0]
            key = (home.parent.name, home.name, segment.stem)
            is_defined = (home.parent.name, home.name, device) in keys
            found[SegmentInfo(key, segment.number, segment.size, segment.last_at, is_defined)] = segment
    eligible = [info for info, segment in found.items() if not (info.key in writers and _worthless(segment))]
    disk = os.statvfs(settings.directory)
    free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    for info in to_drop(eligible, bounds, now, free, size):
        writer = writers.get(info.key) if info.number is None else None
        try:
            if writer is not None:
                writer.drop_current(now)
            else:
                _remove(found[info], links)
        except OSError as error:
            _log.warning("a segment of the journal cannot be removed", extra={"path": info.key, "error": str(error)})


def _key(key: ConsoleKey) -> _Key:
    """A console as its path names it."""
    return component(key.hypervisor), component(key.uuid), component(key.device)


def _worthless(segment: Segment) -> bool:
    return (
        segment.number is None
        and (segment.log is None or not segment.log.stat().st_size)
        and (segment.size < _WORTHLESS)
    )


def _remove(segment: Segment, links: Links) -> None:
    remove(segment)
    home = segment.files[0].parent
    remove_empty(home)
    if not home.exists():
        links.remove(home)
