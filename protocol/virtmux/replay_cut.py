"""Where a replay may begin, so that it neither starts in the middle of a line nor within an escape sequence. Pure."""

import re
from collections.abc import Callable

from virtmux.escapes import MAX_SEQUENCE, STRICT, Kind, Scanner

CONTEXT = 4 * MAX_SEQUENCE
"""Bytes before a place that tell for sure what it is in the midst of, wherever they begin."""

#: How far behind a place a line's start is looked for: in bytes, and in runs of text and sequences, each of which takes
#: the loop a microsecond or two, and may be one byte.
_BEHIND, _MOST_UNITS = 65536, 2048
_CONTINUATION = re.compile(rb"[\x80-\xbf]*")


def first_cut(data: bytes, at: int) -> int:
    """The smallest index from `at` on where a line starts that is not empty yet: outside of escape sequences and UTF-8
    characters, with a newline before it.

    Where no line starts before the end of `data`, or near enough, it is the first index that is between characters; the
    end where there is none either. `data` begins where the console's output does, or between characters, or `CONTEXT`
    bytes before `at`; its beginning counts as the start of a line.
    """
    if at <= 0:
        return 0
    between = len(data)
    end = passed = 0
    for kind, unit in Scanner(STRICT).feed(data):
        start, end = end, end + len(unit)
        if end < at:
            continue
        if kind is Kind.TEXT:
            newline = data.find(b"\n", max(start, at - 1), end)
            if 0 <= newline < len(data) - 1:
                return newline + 1
        between = min(between, start if start >= at else _boundary(data, at, end) if kind is Kind.TEXT else end)
        passed += 1
        if passed == _MOST_UNITS:
            break
    return between


def cut_in(read: Callable[[int, int], bytes], begin: int, at: int) -> int:
    """The offset from `at` on where a replay may begin, in output that begins at the offset `begin`.

    `read` gives the bytes from one offset to another, or as many of them as there are.
    """
    context = max(begin, at - CONTEXT)
    return context + first_cut(read(context, at + _BEHIND), at - context)


def _boundary(text: bytes, at: int, end: int) -> int:
    """The first index from `at` on where no character is in its midst."""
    match = _CONTINUATION.match(text, at, end)
    return match.end() if match else at
