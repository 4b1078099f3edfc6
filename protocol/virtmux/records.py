"""The vocabulary of a console's record sequence: positions in it, and the marks that stand between its bytes.

Pure. The same values are stored in the ring, sent over the wire and handed out by the client library.
"""

from datetime import UTC, datetime, timedelta

from msgspec import Struct, field

from virtmux.reasons import Reason
from virtmux.wire import U32

_EPOCH = datetime.fromtimestamp(0, UTC)
_MICROSECOND = timedelta(microseconds=1)
_HISTORY_DIGITS = 32
_MAX_DIGITS = 19
_MAX_NUMBER = 2**63 - 1


def parse_number(text: str) -> int:
    """Read an offset or the number of a mark: at most 19 decimal digits, less than 2^63.

    Raises:
        ValueError: the text is none.
    """
    if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS and int(text) <= _MAX_NUMBER:
        return int(text)
    raise ValueError(f"not a number below 2^63: {text!r}")


class Position(Struct, frozen=True, order=False):
    """A place in a console's history; it names what comes next: the byte at `offset`, the mark with number `mark`.

    Written `HISTORY:OFFSET:MARK`, history as 32 hex digits. Marks at an offset come before the byte at that offset.
    """

    history: str
    offset: int
    mark: int

    def __str__(self) -> str:
        return f"{self.history}:{self.offset}:{self.mark}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read `HISTORY:OFFSET:MARK`.

        Raises:
            ValueError: the text is not a position; the message says what one looks like.
        """
        history, _, rest = text.partition(":")
        offset, _, mark = rest.partition(":")
        try:
            if len(history) == _HISTORY_DIGITS and set(history) <= set("0123456789abcdef"):
                return cls(history, parse_number(offset), parse_number(mark))
        except ValueError:
            pass
        raise ValueError(f"not a position: {text!r} (expected HISTORY:OFFSET:MARK, history as 32 hex digits)")


class Attached(Struct, frozen=True, tag_field="kind", tag="attached"):
    """The console was opened; output follows. `attachment` counts openings, from 1, within a handle."""

    at: str
    attachment: U32
    incarnation: U32


class Ended(Struct, frozen=True, tag_field="kind", tag="ended"):
    """The attachment ended, or, where `attachment` is null, an opening failed; `reason` says why."""

    at: str
    attachment: U32 | None
    reason: Reason


class Break(Struct, frozen=True, tag_field="kind", tag="break"):
    """Between the two times nobody held the console, for all that is known: output of unknown length may be missing."""

    at: str
    since: str = field(name="from")
    until: str = field(name="to")


class Note(Struct, frozen=True, tag_field="kind", tag="note"):
    """Something happened to the guest that did not end the console: `rebooted`, `paused`, `resumed`, ..."""

    at: str
    note: str
    detail: str | None = None


Mark = Attached | Ended | Break | Note
"""What stands between the bytes of a console's output."""


def rfc3339(ns: int) -> str:
    """Format nanoseconds since the epoch as RFC 3339 in UTC with microseconds."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def nanoseconds(moment: datetime) -> int:
    """The nanoseconds since the epoch of a time that has a zone, to the microsecond.

    Raises:
        TypeError: it has none.
    """
    return (moment - _EPOCH) // _MICROSECOND * 1000


def parse_time(text: str) -> int:
    """The nanoseconds since the epoch of an RFC 3339 time, to the microsecond.

    Raises:
        ValueError: it is none, or has no time zone.
    """
    try:
        return nanoseconds(datetime.fromisoformat(text))
    except (ValueError, TypeError, OverflowError) as error:  # it has no zone, or is at an end of what there is
        raise ValueError(f"not a time: {text!r}") from error
