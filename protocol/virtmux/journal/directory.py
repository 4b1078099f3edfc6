"""Finding what a journal holds: its consoles, by name or UUID, and their histories.

The path says whose a file is, not its first line: a guest that was migrated takes its files along.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from virtmux.journal import files
from virtmux.journal.entries import DamagedError, Entry, Head, Renamed, decode
from virtmux.journal.history import History, load_segments, newest_last
from virtmux.journal.names import BY_ID, component, home, original
from virtmux.journal.segment import Segment
from virtmux.journal.times import moment

#: What such a line has behind its checksum of 8 digits.
_RENAMED = re.compile(rb' \{"entry":"renamed"')


class StoredConsole(NamedTuple):
    """A console of which the journal holds something.

    `domains` are all names that the domain is known to have had, the newest last. `last_at` is when the last of it
    happened (ns). Who only names one to `Journal.histories` needs to know neither.
    """

    hypervisor: str
    uuid: str
    device: str
    domains: tuple[str, ...] = ()
    last_at: int = 0


class Journal:
    """A journal's directory, read while the daemon may write it. What is damaged is passed over.

    All methods raise OSError, with the path, where something cannot be read; that nothing is there is no error.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def consoles(self) -> list[StoredConsole]:
        """The consoles, those of which something happened last first."""
        found: list[StoredConsole] = []
        for hypervisor in _directories(self._directory / BY_ID):
            for domain in _directories(hypervisor):
                found += _consoles(domain)
        return sorted(found, key=lambda console: -console.last_at)

    def find(self, domain: str, device: str | None = None) -> list[StoredConsole]:
        """The consoles of the domains with this name; else of those that once had it; else of the one with this UUID.

        Those of which something happened last come first. With `device` only those of that name.
        """
        consoles = [console for console in self.consoles() if device in (None, console.device)]
        ways = (
            [console for console in consoles if console.domains[-1] == domain],
            [console for console in consoles if domain in console.domains],
            [console for console in consoles if console.uuid.lower() == domain.lower()],
        )
        return next((way for way in ways if way), [])

    def histories(self, console: StoredConsole) -> list[History]:
        """The histories of a console, the oldest first: those put aside by when they began, then as they follow."""
        lies = home(self._directory, console.hypervisor, console.uuid)
        groups: dict[str, list[Segment]] = {}
        for segment in load_segments(lies, console.device, {}):
            history = segment.head.history
            groups[history] = [*groups.pop(history, []), segment]
        ordered = sorted(groups.values(), key=lambda segments: _turn(segments[-1]))
        return [History(lies, *console[:3], segments) for segments in ordered]


class _Glance(NamedTuple):
    """What is read of an index to know whose it is."""

    head: Head
    names: list[str]
    last_at: int


def _consoles(lies: Path) -> Iterator[StoredConsole]:
    devices: dict[str, list[_Glance]] = {}
    for file, glance in files.settled(lies, lambda file: _glance(file.path)):
        devices.setdefault(file.device, []).append(glance)
    for device, glances in devices.items():
        head = glances[-1].head
        names = [
            original(text) if component(said) != text else said
            for text, said in ((lies.parent.name, head.hypervisor), (lies.name, head.uuid), (device, head.device))
        ]
        known = [name for name in names if name is not None]
        if len(known) == len(names):
            domains = newest_last(name for glance in glances for name in glance.names)
            yield StoredConsole(known[0], known[1], known[2], domains, max(glance.last_at for glance in glances))


def _glance(index: Path) -> _Glance | None:
    try:
        with files.open_file(index) as file:
            data = file.readall()
    except FileNotFoundError:
        return None
    head = _entry(data, 0)
    if not isinstance(head, Head):
        return None
    renamed = (_entry(data, found.start() - 8) for found in _RENAMED.finditer(data))
    names = [head.domain, *(entry.domain for entry in renamed if isinstance(entry, Renamed))]
    return _Glance(head, names, _last_at(data))


def _last_at(data: bytes) -> int:
    """The time of the last line that has one and is whole."""
    begin = len(data)
    while begin:
        begin = data.rfind(b"\n", 0, begin - 1) + 1
        entry = _entry(data, begin)
        if entry and (at := moment(entry)):
            return at
    return 0


def _entry(data: bytes, begin: int) -> Entry | None:
    try:
        return decode(data[begin : data.find(b"\n", begin) + 1])
    except DamagedError:
        return None


def _turn(last: Segment) -> float:
    return last.head.at if "~" in last.path.name else math.inf


def _directories(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.is_dir() and not path.is_symlink())
    except (FileNotFoundError, NotADirectoryError):
        return []
