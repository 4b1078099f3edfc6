"""Where a reader wants to begin that names no position, as `attach` carries it. Pure.

`none` is the end of the records; `all` the first that is held; `boot` the start of the newest incarnation;
`bytes:N` at most N bytes back, and `lines:N` N lines back; `since:TIME` what came at a time (RFC 3339) or later.
`bytes:N` stays within the newest incarnation and begins with a line.
"""

from enum import StrEnum
from typing import NamedTuple

from virtmux.records import parse_number, parse_time


class From(StrEnum):
    """What a replay is counted from, or names."""

    NONE = "none"
    ALL = "all"
    BOOT = "boot"
    BYTES = "bytes"
    LINES = "lines"
    SINCE = "since"


class Replay(NamedTuple):
    """`number`: of bytes or lines; for `SINCE` a time (ns)."""

    kind: From
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> "Replay":
        """Read what the module describes.

        Raises:
            ValueError: the text is nothing of it; the message says what there is.
        """
        kind, _, rest = text.partition(":")
        try:
            match kind, rest:
                case (("none" | "all" | "boot"), "") if kind == text:
                    return cls(From(kind))
                case (("bytes" | "lines"), number):
                    return cls(From(kind), parse_number(number))
                case "since", time:
                    return cls(From.SINCE, parse_time(time))
                case _:
                    pass
        except ValueError:
            pass
        raise ValueError(f"not a replay: {text!r} (expected none, all, boot, bytes:N, lines:N or since:TIME)")
