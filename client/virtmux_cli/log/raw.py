"""A log as the guest's bytes and nothing else; what is missing between them is said elsewhere. Pure."""

from collections.abc import Callable
from typing import assert_never

from virtmux.records import Break
from virtmux_cli.log.records import Chunk, Gap, History, Marked, Record
from virtmux_cli.text import break_text, gap_text, history_text


class RawLog:
    """The bytes. `say` is given a sentence where some are missing, or may be."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._history: str | None = None

    def render(self, record: Record) -> bytes:
        """See `Rendering`."""
        match record:
            case Chunk(data=data):
                return data
            case Marked(record=mark):
                if isinstance(mark, Break):
                    self._say(break_text(mark))
            case Gap(offset, mark, to_offset, to_mark, why):
                self._say(gap_text(offset, to_offset, to_mark - mark, why))
            case History(id=history):
                former, self._history = self._history, history
                if former not in {None, history}:
                    self._say(history_text(history))
            case _:
                assert_never(record)
        return b""

    def close(self) -> bytes:
        """See `Rendering`."""
        return b""
