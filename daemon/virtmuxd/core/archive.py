"""Where the records of a console are found that its store holds no more: what is asked there, and what comes of it.

Pure. In the daemon that is the journal (`virtmuxd.service.journal.archive`).
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple, Protocol

Point = tuple[int, int]
"""An offset and a mark: what comes next. A `Position` of a history that goes without saying."""


class Page(NamedTuple):
    """A frame out of the archive, and the offset and mark behind it; whether it is a gap."""

    frame: bytes
    offset: int
    mark: int
    is_gap: bool = False


class Seek(Enum):
    """What can be looked for in the archive."""

    OLDEST = auto()
    """The first record that is there."""
    OFFSET = auto()
    """The first record at an offset or behind."""
    LINE = auto()
    """The first line there."""
    LINES = auto()
    """The first of its last lines, so many."""
    SINCE = auto()
    """The first record of a time (ns) or later."""


class Sought(NamedTuple):
    """What is looked for in the archive."""

    kind: Seek
    number: int


class Archive(Protocol):
    """Where records are found that the store holds no more."""

    @property
    def oldest(self) -> Point:
        """The first record that it may hold."""

    @property
    def end(self) -> Point:
        """What comes behind its last record."""

    def forget(self, point: Point, output: int) -> None:
        """Hold nothing of what is before that point, nor output before that offset."""

    def find(self, sought: Sought, give: Callable[[Point | None], None]) -> None:
        """Give where that is, by and by; None where it is not there."""

    def fetch(self, start: Point, stop: Point, *, timed: bool, give: Callable[[list[Page]], None]) -> None:
        """Give some of the records from one point up to another, by and by: none where it has none of them.

        The pages follow each other from `start`; what is missing among them is a gap.
        """
