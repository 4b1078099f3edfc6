"""Finds patterns in a stream of bytes that comes in pieces, in bounded memory. Pure.

    the bytes so far   |------ before ------|------ window ------|
                        kept to be shown      may still be part of a match

Of the matches that there are once a piece has come, the one that starts first wins; of those that start at the same
byte, the one of the first pattern. A pattern sees what has come: one that could go on (`\\d+`) ends with the piece, so
end it with what follows (`\\d+\\r`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW = 8192
"""Bytes of a match, where nobody asks for more."""
MOST_BEFORE = 1048576
"""Bytes before the window that are kept."""

Pattern = bytes | re.Pattern[bytes]
"""A regular expression on bytes, compiled or not."""


@dataclass(frozen=True, slots=True)
class Found:
    """A match of the pattern with number `index`; its offsets count from the byte where the matching began anew.

    `match` sees the bytes that are kept, of which the first has the offset `origin`.
    """

    index: int
    match: re.Match[bytes]
    origin: int

    @property
    def end(self) -> int:
        """The offset behind the match."""
        return self.origin + self.match.end()


class Search:
    """One search for the first of several patterns."""

    def __init__(self, patterns: Pattern | Sequence[Pattern], window: int = WINDOW) -> None:
        """`window`: how many bytes of a match may lie before the piece with which it is found.

        Raises:
            ValueError: a pattern is no regular expression, or matches nothing at all; or there is none.
            TypeError: a pattern is text.
        """
        given = [patterns] if isinstance(patterns, bytes | str | re.Pattern) else patterns
        self.patterns = [_compiled(pattern) for pattern in given]
        if not self.patterns:
            raise ValueError("there is no pattern to look for")
        self._window = window
        self._text = bytearray()
        self._start = 0
        """Where in the text a match may begin."""
        self._dropped = 0

    @property
    def is_new(self) -> bool:
        """Whether nothing has come yet."""
        return not self._text

    @property
    def settled(self) -> int:
        """The offset before which no match begins any more."""
        return self._dropped + self._start

    @property
    def seen(self) -> bytes:
        """The last bytes that came, at most `window` of them."""
        return bytes(self._text[-self._window :])

    def feed(self, data: bytes) -> Found | None:
        """Take the next piece; the first match, if there is one now. Behind a match the search is over."""
        self._text += data
        first: tuple[int, int] | None = None
        for index, pattern in enumerate(self.patterns):
            match = pattern.search(self._text, self._start)
            if match is not None and (first is None or match.start() < first[0]):
                first = match.start(), index
        if first is not None:
            text = bytes(self._text)  # a match refers to it, and must not see it change
            _, index = first
            match = self.patterns[index].search(text, self._start)
            assert match is not None, "it was found there a moment ago"
            return Found(index, match, self._dropped)
        self._start = max(self._start, len(self._text) - self._window)
        surplus = max(0, self._start - MOST_BEFORE)
        del self._text[:surplus]
        self._start -= surplus
        self._dropped += surplus
        return None

    def restart(self) -> None:
        """What comes now does not follow what came: no match spans both."""
        self._text.clear()
        self._start = self._dropped = 0


def _compiled(pattern: Pattern) -> re.Pattern[bytes]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {pattern!r}: {error}") from error
    if not isinstance(compiled.pattern, bytes):
        raise TypeError(f"a pattern is bytes, as rb'login: ', and not {compiled.pattern!r}")
    if compiled.search(b"") is not None:
        raise ValueError(f"a pattern that also matches nothing would always be found: {compiled.pattern!r}")
    return compiled
