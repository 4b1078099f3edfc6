"""What is stored of a console, as the daemon tells it."""

import contextlib
from collections.abc import AsyncGenerator, Sequence

from virtmux.client import Client
from virtmux.console import Console
from virtmux.errors import ConnectionLost
from virtmux.following import Disconnected, Resumed
from virtmux.messages import Company, MarkMessage, PlaceEnded, RoleChanged, Stored, Time
from virtmux.messages import Gap as GapMessage
from virtmux.messages import HistoryInfo as HistoryMessage
from virtmux.records import Attached, Ended, Position, parse_time, rfc3339
from virtmux.wire import Output
from virtmux_cli.log.incarnations import Placed, incarnations
from virtmux_cli.log.records import Chunk, Gap, History, HistoryInfo, LastLines, Marked, Record, Since, Start


class DaemonSource:
    """A `virtmux_cli.log.source.LogSource`."""

    def __init__(self, mux: Client, told: Sequence[HistoryMessage]) -> None:
        """`told` are the histories of one console."""
        self._mux = mux
        self._told = {Position.parse(info.start).history: info for info in told}
        console = told[-1].console
        self._names = console.uuid, console.device
        self._uri = console.uri or None

    async def histories(self) -> list[HistoryInfo]:
        """See `LogSource`."""
        marks = await self._mux.marks(*self._names, uri=self._uri)
        return [self._info(info, marks) for info in self._told.values()]

    def _info(self, info: HistoryMessage, marks: Sequence[Stored]) -> HistoryInfo:
        start, end = Position.parse(info.start), Position.parse(info.end)
        placed = [_placed(mark) for mark in marks if mark.history == start.history]
        found = incarnations(each for each in placed if each is not None)
        return HistoryInfo(start, end, _time(info.since), _time(info.until), found)

    async def records(self, history: str, start: Start, *, follow: bool) -> AsyncGenerator[Record, None]:
        """See `LogSource`."""
        info = self._told[history]
        position, replay = _beginning(info, start)
        async with self._mux.attach(
            *self._names,
            uri=self._uri,
            position=position,
            replay=replay,
            read_only=True,
            hold=follow and info.current,
            timed=True,
        ) as console:
            end = None if follow else Position.parse(console.place.info.position)
            async with contextlib.aclosing(_records(console, end)) as records:
                async for record in records:
                    yield record


def _beginning(info: HistoryMessage, start: Start) -> tuple[str | None, str | None]:
    """The position to attach at, or the replay. In a history that is over, the whole is read."""
    match start:
        case Position():
            return str(start), None
        case LastLines(number) if info.current:
            return None, f"lines:{number}"
        case Since(at) if info.current:
            return None, f"since:{rfc3339(at)}"
        case _:
            return info.start, None


async def _records(console: Console, end: Position | None) -> AsyncGenerator[Record, None]:
    at: int | None = None
    while end is None or not _reached(console.position, end):
        match await anext(console):
            case Time(at=text):
                at = parse_time(text)
            case Output(offset=offset, data=data):
                yield Chunk(offset, data, at)
            case MarkMessage(offset=offset, mark=number, record=record):
                yield Marked(offset, number, record)
            case GapMessage(offset=offset, mark=mark, to_offset=to_offset, to_mark=to_mark, why=why):
                yield Gap(offset, mark, to_offset, to_mark, why)
            case Resumed() as resumed if not resumed.continuous:
                yield History(resumed.position.history)
            case PlaceEnded(reason=reason):
                raise ConnectionLost(reason)
            case Resumed() | Disconnected() | RoleChanged() | Company():
                pass


def _reached(position: Position, end: Position) -> bool:
    return position.offset >= end.offset and position.mark >= end.mark


def _placed(stored: Stored) -> Placed | None:
    """The mark in an event, as far as it tells of a start of the guest."""
    event = stored.event
    position = Position(stored.history, event.offset, event.mark or 0)
    if event.event == "attached":
        return Placed(position, Attached(event.at, 0, event.console.incarnation))
    return Placed(position, Ended(event.at, None, event.reason)) if event.reason is not None else None


def _time(at: str | None) -> int | None:
    return None if at is None else parse_time(at)
