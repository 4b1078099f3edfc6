"""Which of the stored records were asked for: what `-b`, `-S`, `-U` and `--from` mean. Pure."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from virtmux.records import Position
from virtmux_cli.log.records import Chunk, Gap, HistoryInfo, Incarnation, Marked, Record, Since, Start, time_of


class NotStored(Exception):  # noqa: N818 - named after what it says, as those of virtmux.errors
    """What was asked for is not there; the text says what."""


class Choice(NamedTuple):
    """What was asked for. All is, where nothing is said.

    `boot`: 0 is the newest incarnation, -1 the one before, 1 the oldest. `since` and `until` are times (ns); `start` a
    position, or an offset in the newest history. `lines`: only so many of the last ones.
    """

    boot: int | None = None
    since: int | None = None
    until: int | None = None
    start: Position | int | None = None
    lines: int | None = None
    follow: bool = False

    @property
    def whole(self) -> bool:
        """Whether all histories count from their beginning to their end."""
        return self._replace(lines=None, follow=False) == Choice()


class Span(NamedTuple):
    """Records of one history: from `start` up to `end` (excluded), or to its end."""

    history: str
    start: Start
    end: Position | None = None

    def clip(self, record: Record) -> Record | None:
        """What of a record lies in front of the end; None: nothing, nor of what follows."""
        if self.end is None:
            return record
        match record:
            case Chunk(offset, data, at):
                room = self.end.offset - offset
                return Chunk(offset, data[:room], at) if room > 0 else None
            case Marked(number=number):
                return record if number < self.end.mark else None
            case Gap(offset=offset, mark=mark):
                return record if offset < self.end.offset or mark < self.end.mark else None
            case _:
                return None


class Boot(NamedTuple):
    """An incarnation as `-b` finds it: `number` is 0 for the newest, -1 for the one before. `last` is the position
    behind its records, `next` where the next one begins in the same history, if one does."""

    number: int
    incarnation: Incarnation
    last: Position
    next: Position | None


def boots(histories: Sequence[HistoryInfo]) -> list[Boot]:
    """All incarnations of all histories, the oldest first."""
    found: list[tuple[Incarnation, Position, Position | None]] = []
    for history in histories:
        following = [incarnation.position for incarnation in history.incarnations[1:]]
        for incarnation, after in zip_longest(history.incarnations, following):
            found.append((incarnation, after or history.end, after))
    return [Boot(at - len(found) + 1, *facts) for at, facts in enumerate(found)]


def spans(histories: Sequence[HistoryInfo], choice: Choice) -> list[Span]:
    """What is to be read of which history, the oldest first; the times are still to be looked at.

    Raises:
        NotStored: there is no such boot or history.
    """
    if choice.boot is not None:
        return [_boot_span(boots(histories), choice.boot)]
    if choice.start is not None:
        return _spans_from(histories, choice.start)
    if choice.since is not None:
        since, newest = choice.since, histories[-1:]
        older = [info for info in histories[:-1] if info.until is None or info.until >= since]
        return [Span(info.id, Since(since)) for info in (*older, *newest)]
    return [Span(info.id, _beginning(info)) for info in histories]


def _beginning(info: HistoryInfo) -> Position:
    """Where a history begins: what is not stored any more is a gap in front of what is."""
    return Position(info.id, 0, 1)


def _boot_span(found: Sequence[Boot], number: int) -> Span:
    wanted = number - len(found) if number > 0 else number
    for boot in found:
        if boot.number == wanted:
            return Span(boot.last.history, boot.incarnation.position, boot.next)
    raise NotStored(f"there is no boot {number}: {len(found)} are stored (--list-boots shows them)")


def _spans_from(histories: Sequence[HistoryInfo], start: Position | int) -> list[Span]:
    if isinstance(start, int):
        return [Span(info.id, Position(info.id, start, 0)) for info in histories[-1:]]
    ids = [info.id for info in histories]
    if start.history not in ids:
        raise NotStored(f"nothing is stored of history {start.history}")
    later = histories[ids.index(start.history) + 1 :]
    return [Span(start.history, start), *(Span(info.id, _beginning(info)) for info in later)]


class Times:
    """Looks at the times of consecutive records: those before `since` and behind `until` (ns) do not count. What has no
    time belongs to what is before it."""

    def __init__(self, since: int | None, until: int | None) -> None:
        self._since = since
        self._until = until
        self._begun = since is None

    def early(self, record: Record) -> bool:
        """Whether it came before."""
        at = time_of(record)
        if not self._begun and self._since is not None and at is not None:
            self._begun = at >= self._since
        return not self._begun

    def late(self, record: Record) -> bool:
        """Whether it came behind; and so did all that follows it."""
        at = time_of(record)
        return self._until is not None and at is not None and at > self._until
