"""What is stored of a console, as `virtmux log` is given it. Pure."""

from typing import NamedTuple, assert_never

from virtmux.reasons import Reason
from virtmux.records import Mark, Position, parse_time


class Chunk(NamedTuple):
    """Output: the bytes from `offset` on, received `at` (ns since the epoch; None: not known)."""

    offset: int
    data: bytes
    at: int | None


class Marked(NamedTuple):
    """A mark, with its number, in front of the byte at `offset`."""

    offset: int
    number: int
    record: Mark


class Gap(NamedTuple):
    """Records that were there and are not stored: bytes `offset` to `to_offset`, marks `mark` to `to_mark` (the ends
    excluded), and why, where that is known."""

    offset: int
    mark: int
    to_offset: int
    to_mark: int
    why: str | None


class History(NamedTuple):
    """The records of this history follow, from its beginning or from any place in it."""

    id: str


Record = Chunk | Marked | Gap | History
"""What `virtmux log` shows, in its order."""


class Incarnation(NamedTuple):
    """A start of the domain: its number, when it was (ns), where its records begin, and how it ended, if it did."""

    number: int
    at: int | None
    position: Position
    end: Reason | None


class HistoryInfo(NamedTuple):
    """A history: the positions of its first stored record and behind its last one, the times of both (ns; None: not
    known), and the incarnations of which something is stored, in order."""

    start: Position
    end: Position
    since: int | None
    until: int | None
    incarnations: tuple[Incarnation, ...]

    @property
    def id(self) -> str:
        """Its id: 32 hex digits."""
        return self.start.history


class LastLines(NamedTuple):
    """Where to start: in front of so many last lines of a history, or where it begins. One that is open counts."""

    number: int


class Since(NamedTuple):
    """Where to start: at the first record that came then or later (ns)."""

    at: int


Start = Position | LastLines | Since
"""Where to start in a history. The mark 0 in a Position means those that stand at its offset or behind it."""


def time_of(record: Record) -> int | None:
    """When it came (ns), where that is known."""
    match record:
        case Chunk(at=at):
            return at
        case Marked(record=mark):
            try:
                return parse_time(mark.at)
            except ValueError:
                return None
        case Gap() | History():
            return None
        case _:
            assert_never(record)
