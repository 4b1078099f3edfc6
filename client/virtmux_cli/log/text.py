"""A log as text: the guest's lines, and between them lines of virtmux's own in `-- --`. Pure."""

from datetime import UTC, datetime, tzinfo
from typing import Protocol, assert_never

from virtmux.sanitize import Sanitizer
from virtmux_cli.log.records import Chunk, Gap, History, Marked, Record
from virtmux_cli.text import gap_text, history_text, mark_text

_NO_TIME = b"-".ljust(24)


class Rendering(Protocol):
    """Turns records into what stdout gets."""

    def render(self, record: Record) -> bytes:
        """What the next record adds."""

    def close(self) -> bytes:
        """What the end of the records adds."""


class TextLog:
    """The lines; a mark or a gap within a guest's line cuts it, and the rest goes on behind, in a line of its own.

    `sanitizer`: for a terminal; None leaves the guest's bytes as they are. `timestamps` puts before each line when its
    first byte came, to the ms, or `-`. The first history goes without saying.
    """

    def __init__(self, sanitizer: Sanitizer | None, *, timestamps: bool, zone: tzinfo | None = None) -> None:
        self._sanitizer = sanitizer
        self._timestamps = timestamps
        self._zone = zone
        self._line_open = False
        self._history: str | None = None

    def render(self, record: Record) -> bytes:
        """See `Rendering`."""
        match record:
            case Chunk(data=data, at=at):
                return self._output(data if self._sanitizer is None else self._sanitizer.feed(data).encode(), at)
            case Marked(record=mark):
                return self._say(mark_text(mark))
            case Gap(offset, mark, to_offset, to_mark, why):
                return self.close() + self._say(gap_text(offset, to_offset, to_mark - mark, why))
            case History(id=history):
                former, self._history = self._history, history
                return self.close() + (self._say(history_text(history)) if former not in {None, history} else b"")
            case _:
                assert_never(record)

    def close(self) -> bytes:
        """See `Rendering`."""
        return b"" if self._sanitizer is None else self._output(self._sanitizer.close().encode(), None)

    def _output(self, data: bytes, at: int | None) -> bytes:
        if not data:
            return b""
        was_open, self._line_open = self._line_open, not data.endswith(b"\n")
        if not self._timestamps:
            return data
        stamp = _NO_TIME if at is None else self._stamp(at)
        lines = data if self._line_open else data[:-1]
        stamped = lines.replace(b"\n", b"\n" + stamp) + (b"" if self._line_open else b"\n")
        return stamped if was_open else stamp + stamped

    def _stamp(self, at: int) -> bytes:
        seconds, rest = divmod(at, 1_000_000_000)
        moment = datetime.fromtimestamp(seconds, UTC).astimezone(self._zone)
        return f"{moment:%Y-%m-%d %H:%M:%S}.{rest // 1_000_000:03d} ".encode()

    def _say(self, text: str) -> bytes:
        before = b"\n" if self._line_open else b""
        self._line_open = False
        return before + f"-- {text} --\n".encode(errors="replace")
