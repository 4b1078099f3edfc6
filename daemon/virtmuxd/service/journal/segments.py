"""The segments of a directory: which index and log belong together, and rotating, putting aside and removing them.

A console's segments share a *stem*, the device's name as a path component; those of an older history that was put aside
are called DEVICE~HISTORY. The one without a number grows; .0 is the one before it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from msgspec import Struct

from virtmux.journal.entries import DamagedError, Head, decode
from virtmux.journal.names import INDEX, LOG
from virtmuxd.service.journal.disk import NEW, known, look

_NAME = re.compile(r"(?P<stem>.+)(?P<kind>\.log|\.idx)(?:\.(?P<number>0|[1-9][0-9]{0,8}))?", re.DOTALL)
_HEAD_SIZE = 16384


class Segment(Struct, frozen=True):
    """An index, a log, or both. `size` is that of both, `last_at` when the log was written last (ns).

    `number` is that of the index, where it has one: its log may have been renamed by somebody.
    """

    stem: str
    number: int | None
    index: Path | None
    log: Path | None
    head: Head | None
    size: int
    last_at: int

    @property
    def files(self) -> list[Path]:
        """Those that are there, the index first."""
        return [path for path in (self.index, self.log) if path is not None]


def file(home: Path, stem: str, kind: str, number: int | None = None) -> Path:
    """Where the index (`kind` is INDEX) or the log (LOG) of a segment lies."""
    return home / (stem + kind + ("" if number is None else f".{number}"))


def read_head(index: Path) -> Head | None:
    """The first line of an index; None where there is none that can be read."""
    try:
        if not known(index).regular:
            return None
        with index.open("rb") as opened:
            head = decode(opened.readline(_HEAD_SIZE))
    except (OSError, DamagedError):
        return None
    return head if isinstance(head, Head) else None


def segments(home: Path, stem: str | None = None) -> list[Segment]:
    """All segments in a directory, or those of one stem, the newest of each stem first.

    An index's log is the one with the inode that it names, else the one of its number. Each log has one index at most:
    a newer index goes first, since the inode of a log that was deleted may be used again. What is no file is ignored.
    """
    wanted = "" if stem is None else (f"{stem}{LOG}", f"{stem}{INDEX}")
    try:
        with os.scandir(home) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if entry.name.startswith(wanted) and entry.is_file(follow_symlinks=False)
            )
    except (FileNotFoundError, NotADirectoryError):
        return []
    parsed = {name: match for name in names if (match := _NAME.fullmatch(name))}
    stems = {match["stem"] for match in parsed.values()} if stem is None else {stem}
    return [segment for each in sorted(stems) for segment in _of_stem(home, each, names, parsed)]


def _of_stem(home: Path, stem: str, names: list[str], parsed: dict[str, re.Match[str]]) -> Iterator[Segment]:
    ours = [match for match in parsed.values() if match["stem"] == stem]
    indexes = sorted((_age(match), match.string) for match in ours if match["kind"] == INDEX)
    numbered = {_age(match): match.string for match in ours if match["kind"] == LOG}
    renamed = [name for name in names if name.startswith((f"{stem}{LOG}.", f"{stem}{LOG}-")) and name not in parsed]
    heads = {age: read_head(home / name) for age, name in indexes}
    inodes = {found.inode: name for name in [*renamed, *numbered.values()] if (found := look(home / name))}
    logs: dict[int, str] = {}
    for age, head in heads.items():
        if head is not None and head.inode in inodes:
            logs[age] = inodes.pop(head.inode)
    taken = set(logs.values())
    for age, _ in indexes:
        if age not in logs and age in numbered and numbered[age] not in taken:
            logs[age] = numbered[age]
    taken = set(logs.values())
    all_ = [(age, name, logs.get(age)) for age, name in indexes]
    all_ += [(age, "", name) for age, name in numbered.items() if name not in taken]
    for age, index, log in sorted(all_):
        paths = home / index if index else None, home / log if log else None
        yield _segment(stem, None if age < 0 else age, *paths, heads.get(age) if index else None)


def _age(match: re.Match[str]) -> int:
    """Its number; -1 for the one that grows."""
    return int(match["number"] or -1)


def _segment(stem: str, number: int | None, index: Path | None, log: Path | None, head: Head | None) -> Segment:
    stats = []
    for path in (log, index):
        with suppress(FileNotFoundError):
            if path is not None:
                stats.append(path.lstat())
    written = next((each.st_mtime_ns for each in stats if each.st_size), 0)
    return Segment(stem, number, index, log, head, sum(each.st_size for each in stats), written)


def put_away(home: Path, stem: str) -> None:
    """Rotate what lies in the place of the segment that grows: it gets number 0, and the others more than they had.

    An index and a log that do not belong together get a number each. An empty log that belongs to no index stays.
    """
    places = file(home, stem, INDEX), file(home, stem, LOG)
    index, log = map(look, places)
    head = read_head(places[0]) if index else None
    if log is not None and head is not None and (head.inode, True) == (log.inode, log.regular):
        _free_newest(home, stem)
        _renumber(places[0], home, stem, INDEX, 0)
        _renumber(places[1], home, stem, LOG, 0)
        return
    if index is not None:
        _free_newest(home, stem)
        _renumber(places[0], home, stem, INDEX, 0)
    if log is not None and (log.size or not log.regular):
        newest = read_head(file(home, stem, INDEX, 0))
        if newest is None or newest.inode != log.inode:  # else its index went before, and then somebody died
            _free_newest(home, stem)
        _renumber(places[1], home, stem, LOG, 0)


def _free_newest(home: Path, stem: str) -> None:
    """Free number 0, overwriting nothing; an index and a log that were parted come together again."""
    least, moves = 1, []
    for segment in segments(home, stem):
        if segment.number is not None:
            number = max(segment.number, least)
            moves.append((segment, number))
            least = number + 1
    for segment, number in reversed(moves):
        for path, kind in ((segment.log, LOG), (segment.index, INDEX)):
            if path is not None:
                _renumber(path, home, stem, kind, number)


def _renumber(path: Path, home: Path, stem: str, kind: str, number: int) -> None:
    """Give a file this number, or where that is taken the next that is free: a log is found by its inode."""
    if path != file(home, stem, kind, number):
        path.rename(next(to for n in count(number) if look(to := file(home, stem, kind, n)) is None))


def trim(home: Path, stem: str, keep: int) -> None:
    """Remove the segments of a stem but for the one that grows and the newest `keep` others.

    A log without an index takes none of their places: it goes as its number says.
    """
    rotated = [segment for segment in segments(home, stem) if segment.number is not None]
    indexed = [segment for segment in rotated if segment.index is not None]
    stray = [segment for segment in rotated if segment.index is None and (segment.number or 0) >= keep]
    for segment in indexed[keep:] + stray:
        remove(segment)


def remove(segment: Segment) -> None:
    """Remove a segment: the index first, since one without its log might find another with the same inode."""
    for path in segment.files:
        path.unlink(missing_ok=True)


def remove_all(home: Path, stem: str) -> None:
    """Remove all that is a console's, what was put aside too, and what somebody made of its logs (DEVICE.log.1.gz)."""
    with suppress(FileNotFoundError):
        for path in home.iterdir():
            match = _NAME.fullmatch(path.name)
            begins = path.name.startswith((f"{stem}~", f"{stem}{LOG}.", f"{stem}{LOG}-", f"{stem}{INDEX}{NEW}"))
            if match["stem"].split("~")[0] == stem if match else begins:
                path.unlink(missing_ok=True)


def remove_empty(home: Path) -> None:
    """Remove the directory of a guest where nothing is left in it, and that of its hypervisor likewise."""
    with suppress(OSError):
        home.rmdir()
        home.parent.rmdir()


def bring(source: Path, target: Path, stem: str, history: str) -> None:
    """Move a console's segments to another directory; those of other histories there are put aside, each under its
    history's name. It can be done again wherever it was interrupted, and overwrites nothing."""
    for home in (source, target):
        _drop_second_names(home, stem)
    put_away(target, stem)
    for segment in _oldest_first(segments(target, stem)):
        if segment.head is not None and segment.head.history != history:
            _transfer(segment, target, f"{stem}~{segment.head.history}")
    put_away(source, stem)
    for segment in _oldest_first(segments(source, stem)):
        _transfer(segment, target, stem)
    remove_empty(source)


def _transfer(segment: Segment, home: Path, stem: str) -> None:
    """Give a segment another stem or directory. Whenever somebody dies its log lies beside its index, and perhaps
    under its former name, or its next one, as well."""
    number = next(n for n in count(segment.number or 0) if not any(look(file(home, stem, k, n)) for k in (INDEX, LOG)))
    if segment.log is not None:
        file(home, stem, LOG, number).hardlink_to(segment.log)
    if segment.index is not None:
        segment.index.rename(file(home, stem, INDEX, number))
    if segment.log is not None:
        segment.log.unlink()


def _drop_second_names(home: Path, stem: str) -> None:
    """Remove the names of logs that a death within `_transfer` left."""
    for segment in segments(home, stem):
        if segment.index is None and segment.log is not None and segment.log.lstat().st_nlink > 1:
            segment.log.unlink()


def _oldest_first(found: list[Segment]) -> list[Segment]:
    return [segment for segment in reversed(found) if segment.number is not None]
