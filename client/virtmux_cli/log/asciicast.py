"""A log as an asciicast of version 2 (https://docs.asciinema.org/manual/asciicast/v2/), in its real timing. Pure.

A header, then an array a line: seconds since the start, what it is (`o` output, `m` marker), a text. Marks, gaps and
other histories are markers.
"""

import codecs
from typing import assert_never

from virtmux_cli.log.records import Chunk, Gap, History, Marked, Record, time_of
from virtmux_cli.text import gap_text, history_text, json_line, mark_text

#: A serial line has no size. What writes to it takes it for a VT100's.
_WIDTH, _HEIGHT = 80, 24
_SECOND = 1_000_000_000
_decoder = codecs.getincrementaldecoder("utf-8")


class Asciicast:
    """The lines. It starts with the first record of which the time is known; no time is less than the one before."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._decoder = _decoder("replace")
        self._begun = False
        self._start: int | None = None
        self._now = 0
        self._history: str | None = None

    def render(self, record: Record) -> bytes:
        """See `Rendering`."""
        if isinstance(record, History) and self._history is None:
            self._history = record.id
            return b""
        before = self._clock(time_of(record))
        match record:
            case Chunk(data=data):
                return before + self._event("o", self._decoder.decode(data))
            case Marked(record=mark):
                return before + self._event("m", mark_text(mark))
            case Gap(offset, mark, to_offset, to_mark, why):
                marker = gap_text(offset, to_offset, to_mark - mark, why)
                return before + self._flush() + self._event("m", marker)
            case History(id=history):
                former, self._history = self._history, history
                marker = history_text(history) if history != former else ""
                return before + self._flush() + self._event("m", marker)
            case _:
                assert_never(record)

    def close(self) -> bytes:
        """See `Rendering`."""
        return self._header() + self._flush()

    def _clock(self, at: int | None) -> bytes:
        """It is `at` now, as far as is known; gives the header, where that is not written yet."""
        if at is not None:
            self._start = at if self._start is None else self._start
            self._now = max(self._now, at - self._start)
        return self._header()

    def _header(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        fields: dict[str, object] = {"version": 2, "width": _WIDTH, "height": _HEIGHT, "title": self._title}
        return json_line(fields if self._start is None else {**fields, "timestamp": self._start // _SECOND})

    def _flush(self) -> bytes:
        """What is left of a character whose end does not come."""
        return self._event("o", self._decoder.decode(b"", final=True))

    def _event(self, code: str, text: str) -> bytes:
        return json_line([round(self._now / _SECOND, 6), code, text]) if text else b""
