"""Where a reader of a console's records starts: at a position, or where a replay begins. Pure.

What the store holds is looked at here and now; for what lies before that the archive is asked.
"""

from collections.abc import Callable
from typing import NamedTuple, assert_never

from virtmux.lines import lines_back
from virtmux.records import Position, parse_time
from virtmux.replay import From, Replay
from virtmux.replay_cut import cut_in
from virtmuxd.core.archive import Point, Seek, Sought
from virtmuxd.core.sequence import Sequence


class Start(NamedTuple):
    """`missing`: the history that was asked for is not the one that is held. `missing_from`: the offset that a replay
    was to start from, where bytes from there to the position are gone. `withheld`: it was to start earlier, and the
    reader has no right to that."""

    position: Position
    missing: bool = False
    missing_from: int | None = None
    withheld: bool = False


def find_start(
    records: Sequence,
    position: str | None,
    replay: Replay,
    give: Callable[[Start], None],
    *,
    since: Position | None = None,
) -> None:
    """Give where a reader starts that asks for a `position` (its text, or a bare offset of the history that is held),
    or, where that is None, for a `replay`: now, or once the archive has answered. `since`: the earliest that it may
    read, in the history that is held; None: all.

    Raises:
        ValueError: it is no position, or ahead of the records.
    """
    asked = None if position is None else _parse(records, position)
    if since is not None and _is_earlier(asked, replay, since):
        give(Start(records.position if asked is None else since, withheld=True))
    elif asked is None:
        _at_replay(records, replay, give)
    elif since is not None and (asked.offset, asked.mark) == (since.offset, 0):
        _at_position(records, since, give)  # and not at a mark that stands before it at that offset
    else:
        _at_position(records, asked, give)


def _at_replay(records: Sequence, replay: Replay, give: Callable[[Start], None]) -> None:
    match replay.kind:
        case From.NONE:
            give(Start(records.position))
        case From.ALL:
            _once_known(records, 0, lambda: give(_from(records, 0, records.oldest)))
        case From.BOOT:
            _once_known(records, records.boot.offset, lambda: give(_at_boot(records)))
        case From.BYTES:
            _bytes_back(records, replay.number, give)
        case From.LINES:
            _lines_back(records, replay.number, give)
        case From.SINCE:
            _since(records, replay.number, give)
        case _:
            assert_never(replay.kind)


def _is_earlier(asked: Position | None, replay: Replay, since: Position) -> bool:
    """Whether what is asked for begins before `since`, or in another history."""
    if asked is None:
        return replay.kind is not From.NONE
    return asked.history != since.history or (asked.offset, asked.mark or since.mark) < (since.offset, since.mark)


def _parse(records: Sequence, text: str) -> Position:
    return Position.parse(f"{records.position.history}:{text}:0" if is_offset(text) else text)


def is_offset(text: str) -> bool:
    """Whether this is an offset alone, and no position."""
    return text.isascii() and text.isdecimal()


def _at_position(records: Sequence, asked: Position, give: Callable[[Start], None]) -> None:
    if asked.history != records.position.history:
        give(Start(records.oldest, missing=True))
        return
    start = records.align(asked)
    if asked.mark == 0 and asked.offset < records.nearest.offset:
        _seek(records, Sought(Seek.OFFSET, asked.offset), start, give)
    else:
        give(Start(start))


def _seek(
    records: Sequence, sought: Sought, otherwise: Position, give: Callable[[Start], None], wanted: int | None = None
) -> None:
    """Ask the archive, and start `otherwise` where it knows no better; `wanted`: see `_from`."""

    def found(point: Point | None) -> None:
        position = otherwise if point is None else Position(otherwise.history, *point)
        give(Start(position) if wanted is None else _from(records, wanted, position))

    if records.archive is None:
        found(None)
    else:
        records.archive.find(sought, found)


def _once_known(records: Sequence, wanted: int, then: Callable[[], None]) -> None:
    """Go on once it is known how far back the archive goes, if what is wanted is only there."""
    if records.archive is None or wanted >= records.start:
        then()
    else:
        records.archive.find(Sought(Seek.OLDEST, 0), lambda _: then())


def _from(records: Sequence, wanted: int, position: Position) -> Start:
    """Start at `position` where `wanted` is what the reader meant."""
    return Start(position, missing_from=wanted if wanted < records.held_from else None)


def _at_boot(records: Sequence) -> Start:
    boot, oldest = records.boot, records.oldest
    held = boot.mark >= oldest.mark
    return _from(records, boot.offset, Position(oldest.history, boot.offset, boot.mark) if held else oldest)


def _bytes_back(records: Sequence, size: int, give: Callable[[Start], None]) -> None:
    wanted = max(0, records.end - size)
    if wanted <= records.boot.offset:
        _once_known(records, records.boot.offset, lambda: give(_at_boot(records)))
    else:
        _once_known(records, wanted, lambda: _bytes_from(records, wanted, give))


def _bytes_from(records: Sequence, wanted: int, give: Callable[[Start], None]) -> None:
    held = max(wanted, records.held_from)
    otherwise = _cut(records, max(wanted, records.start))
    if held >= records.start:
        give(_from(records, wanted, otherwise))
    else:
        _seek(records, Sought(Seek.LINE, held), otherwise, give, wanted)


def _cut(records: Sequence, offset: int) -> Position:
    """The position of the first line at `offset` or behind, in what the store holds of this incarnation."""
    begin, here = max(records.start, records.boot.offset), records.position
    cut = cut_in(lambda offset, end: records.held(offset, min(end, here.offset)), begin, offset)
    return records.align(Position(here.history, cut, 0))


def _lines_back(records: Sequence, lines: int, give: Callable[[Start], None]) -> None:
    if lines == 0:
        give(Start(records.position))
        return
    held = records.held(records.start, records.end)
    line = lines_back(held, lines)
    if line > 0 or records.archive is None or records.held_from >= records.start:
        give(Start(records.align(Position(records.position.history, records.start + line, 0))))
        return
    # The archive counts from its own end.
    behind = records.archive.end[0] - records.start
    begun = held.count(b"\n", max(0, behind - 1), len(held) - 1)  # lines of which it has nothing
    _seek(records, Sought(Seek.LINES, lines - begun), records.oldest, give)


def _since(records: Sequence, at: int, give: Callable[[Start], None]) -> None:
    here = records.position
    if records.archive is not None and at <= records.times.at(records.times.known_from):
        _seek(records, Sought(Seek.SINCE, at), records.oldest, give)
        return
    offset = records.times.since(at)
    points = ((mark.offset, mark.number) for mark in records.final_marks(0) if parse_time(mark.record.at) >= at)
    mark_offset, mark = next(points, (here.offset, here.mark))
    give(Start(Position(here.history, min(here.offset if offset is None else offset, mark_offset), mark)))
