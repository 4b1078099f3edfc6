"""Reads the records that were asked for out of a source."""

import contextlib
from collections.abc import AsyncGenerator

from virtmux.records import Position
from virtmux_cli.log.choice import Choice, Span, Times, spans
from virtmux_cli.log.records import Chunk, Gap, History, LastLines, Marked, Record, Since
from virtmux_cli.log.source import LogSource
from virtmux_cli.log.tail import Tail


async def selected(source: LogSource, choice: Choice) -> AsyncGenerator[Record, None]:
    """The records of `choice`, those of each history behind a History; the last lines are held in memory until they are
    found.

    Raises:
        NotStored: there is no such boot or history.
        VirtmuxError: the source cannot be read.
    """
    told: str | None = None
    async with contextlib.aclosing(_chosen(source, choice)) as chosen:
        async for history, record in chosen:
            if told != history:
                told = history
                yield History(history)
            yield record


async def _chosen(source: LogSource, choice: Choice) -> AsyncGenerator[tuple[str, Record], None]:
    """The records, each with the history that it was read from."""
    histories = await source.histories()
    chosen = spans(histories, choice)
    last = chosen[-1] if chosen else None
    follow = choice.follow and last is not None and last.end is None and last.history == histories[-1].id
    if choice.lines is not None:
        found = await _last_lines(source, chosen, choice, choice.lines)
        for history, tail in found:
            for record in tail:
                yield history, record
        behind = _behind(histories[-1].end, found[-1][1] if found else []) if follow else None
        chosen, choice = [Span(behind.history, behind)] if behind else [], choice._replace(since=None)
    for span in chosen:
        async with contextlib.aclosing(_records(source, span, choice, follow=follow and span is chosen[-1])) as records:
            async for record in records:
                yield span.history, record


async def _last_lines(
    source: LogSource, chosen: list[Span], choice: Choice, lines: int
) -> list[tuple[str, list[Record]]]:
    """The last lines, by history, the oldest first: older histories are read only where the newer ones have too few."""
    found: list[tuple[str, list[Record]]] = []
    for span in reversed(chosen):
        if lines <= 0:
            break
        tail = Tail(lines)
        sought = span._replace(start=LastLines(lines)) if choice.whole else span
        async with contextlib.aclosing(_records(source, sought, choice, follow=False)) as records:
            async for record in records:
                tail.add(record)
        found.insert(0, (span.history, tail.records()))
        lines -= tail.lines
    return found


async def _records(source: LogSource, span: Span, choice: Choice, *, follow: bool) -> AsyncGenerator[Record, None]:
    """The records of a span within the times."""
    times = Times(None if isinstance(span.start, Since) else choice.since, choice.until)
    async with contextlib.aclosing(source.records(span.history, span.start, follow=follow)) as records:
        async for record in records:
            clipped = span.clip(record)
            if clipped is None or times.late(record):
                return
            if not times.early(record):
                yield clipped


def _behind(end: Position, records: list[Record]) -> Position:
    """The position behind `records`, which are the last ones of the history of `end`; that where there are none."""
    if not records:
        return end
    offset, mark = 0, 0
    for record in records:
        match record:
            case Chunk(at, data):
                offset = at + len(data)
            case Marked(at, number):
                offset, mark = at, number + 1
            case Gap(to_offset=to_offset, to_mark=to_mark):
                offset, mark = to_offset, to_mark
            case History():
                pass
    return Position(end.history, offset, mark)
