"""All that clients were told of one console: each by itself must be whole, and all must be the same. Pure."""

from dataclasses import dataclass, field
from math import inf

from virtmux import (
    Attached,
    Break,
    Cause,
    Disconnected,
    Ended,
    Gap,
    Mark,
    MarkMessage,
    Output,
    Phase,
    PlaceEnded,
    Position,
    Record,
    Resumed,
)


@dataclass(frozen=True)
class ToldMark:
    """Mark number `number` as one client heard it: made not before `earliest` and not after `at`, by the tests' clock.

    Who was disconnected meanwhile knows no better.
    """

    earliest: float
    at: float
    number: int
    mark: Mark


@dataclass
class Heard:
    """What one client was given at a console, each record with the time at which it came, by the tests' clock."""

    who: str
    began: Position
    records: list[tuple[float, Record]] = field(default_factory=list)

    def marks(self) -> list[ToldMark]:
        """The marks."""
        marks: list[ToldMark] = []
        away_since, live_from = 0.0, 0
        for at, record in self.records:
            match record:
                case Disconnected():
                    away_since = at
                case Resumed(place=place):
                    live_from = Position.parse(place.info.position).mark
                case MarkMessage(mark=number, record=mark):
                    marks.append(ToldMark(away_since if number < live_from else at, at, number, mark))
                case _:
                    pass
        return marks

    def told(self, mark: int) -> float:
        """When the mark of this number came; inf where it did not."""
        return next((at for at, record in self.records if isinstance(record, MarkMessage) and record.mark == mark), inf)

    def came(self, offset: int) -> float:
        """When the byte at an offset came; inf where it did not."""
        output = ((at, record) for at, record in self.records if isinstance(record, Output))
        return next((at for at, record in output if record.offset + len(record.data) > offset), inf)

    def missing(self) -> list[tuple[int, int]]:
        """The ranges of offsets, from 0 on, that were there and that it was not given."""
        gaps = [(each.offset, each.to_offset) for _, each in self.records if isinstance(each, Gap)]
        return [(start, end) for start, end in [(0, self.began.offset), *gaps] if start < end]

    def attached(self) -> list[tuple[float, float]]:
        """From when to when the console was attached, as far as the client knew."""
        spans: list[tuple[float, float]] = []
        since: float | None = None
        for at, record in self.records:
            match record:
                case MarkMessage(record=Attached()):
                    if since is not None:
                        spans.append((since, at))
                    since = at
                case Resumed(place=place) if place.info.attachment is not None:
                    since = at
                case MarkMessage(record=Ended()) | Disconnected() | PlaceEnded() if since is not None:
                    spans.append((since, at))
                    since = None
                case _:
                    pass
        return spans if since is None else [*spans, (since, inf)]


@dataclass(frozen=True)
class Held:
    """An attachment, which begins with mark number `mark`: output from `start` to `end`, the `break` that came before
    it, if there was one, and the cause of its end, where it has one, and was held until then."""

    mark: int
    attached: Attached
    after: Break | None
    start: int
    end: int
    ended: Cause | None


class Told:
    """The records of one console, put together from what its clients heard. `contradictions` says what does not fit."""

    def __init__(self) -> None:
        self.contradictions: list[str] = []
        self.output = bytearray()
        self._known = bytearray()
        self.gaps = 0
        self._marks: dict[int, tuple[int, Mark]] = {}
        self._history: str | None = None

    @property
    def marks(self) -> list[tuple[int, Mark]]:
        """Each mark that anybody was given, with its offset, in order."""
        return [self._marks[number] for number in sorted(self._marks)]

    @property
    def unheard(self) -> int:
        """How many bytes nobody was given: gaps for all."""
        return self._known.count(0)

    def add(self, heard: Heard) -> int:
        """Take what a client heard: it must begin where it was said to, and leave nothing out that is not named. Gives
        the offset that it came to."""
        at = heard.began
        if self._history not in (None, at.history):
            self.contradictions.append(f"{heard.who}: another history")
        self._history = at.history
        for _, record in heard.records:
            match record:
                case Output(offset=offset, data=data):
                    self._expect(heard, at, record, fits=offset == at.offset)
                    self._put(heard, offset, data)
                    at = Position(at.history, offset + len(data), at.mark)
                case MarkMessage(offset=offset, mark=number, record=mark):
                    self._expect(heard, at, record, fits=(offset, number) == (at.offset, at.mark))
                    if self._marks.setdefault(number, (offset, mark)) != (offset, mark):
                        self.contradictions.append(f"{heard.who}: mark {number} is {mark} at {offset}")
                    at = Position(at.history, offset, number + 1)
                case Gap():
                    self._expect(heard, at, record, fits=(record.offset, record.mark) == (at.offset, at.mark))
                    self.gaps += record.to_offset - record.offset
                    self._grow(record.to_offset)
                    at = Position(at.history, record.to_offset, record.to_mark)
                case Resumed(asked=asked):
                    self._expect(heard, at, record, fits=record.continuous and asked == at)
                case _:
                    pass  # it says nothing of the sequence
        return at.offset

    def _expect(self, heard: Heard, at: Position, record: Record, *, fits: bool) -> None:
        if not fits:
            self.contradictions.append(f"{heard.who}: {str(record)[:200]} at {at.offset}:{at.mark}")

    def _grow(self, end: int) -> None:
        more = max(0, end - len(self.output))
        self.output += bytes(more)
        self._known += bytes(more)

    def _put(self, heard: Heard, offset: int, data: bytes) -> None:
        end = offset + len(data)
        self._grow(end)
        known = self._known[offset:end]
        before = self.output[offset:end]
        if before != data and any(a and one != other for a, one, other in zip(known, before, data, strict=True)):
            self.contradictions.append(f"{heard.who}: other bytes at {offset} than somebody else")
        self.output[offset:end] = data
        self._known[offset:end] = b"\x01" * len(data)

    def attachments(self) -> list[Held]:
        """Each attachment, in order."""
        numbers, marks = sorted(self._marks), self.marks
        held = []
        after: Break | None = None
        for index, (offset, mark) in enumerate(marks):
            match mark:
                case Break():
                    after = mark
                case Attached():
                    later = ((at, each) for at, each in marks[index + 1 :] if isinstance(each, Attached | Ended))
                    end, by = next(later, (len(self.output), None))
                    ended = by.reason.cause if isinstance(by, Ended) and _was_held_until(by) else None
                    held.append(Held(numbers[index], mark, after, offset, end, ended))
                    after = None
                case _:
                    pass
        return held

    def pieces(self, held: Held) -> list[tuple[int, bytes]]:
        """The output of an attachment, with offsets: one piece, unless nobody was given what is between two."""
        pieces, at = [], held.start
        while at < held.end:
            start = self._known.find(1, at, held.end)
            if start < 0:
                break
            end = self._known.find(0, start, held.end)
            at = held.end if end < 0 else end
            pieces.append((start, bytes(self.output[start:at])))
        return pieces


def _was_held_until(end: Ended) -> bool:
    """Whether it is the end of an attachment that was alive before: not where a probe found that it was not, as after a
    takeover in silence; a `break` says since when."""
    return end.attachment is not None and (end.reason.phase is not Phase.SEND or end.reason.error is not None)
