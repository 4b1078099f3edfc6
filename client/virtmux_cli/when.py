"""Points in time as journalctl's options take them. Pure, but for the local time zone."""

import math
import re
from datetime import date, datetime, time, timedelta, tzinfo

from virtmux.records import nanoseconds
from virtmux_cli.durations import parse_duration

_SECOND = 1_000_000_000
_DAYS = {"today": 0, "yesterday": -1}
_LATEST = 253402300799 * _SECOND
_TIME = r"\d\d:\d\d(?::\d\d(?:\.\d+)?)?"
_DATE_TIME = re.compile(rf"\d{{4}}-\d\d-\d\d(?:[Tt ]{_TIME}(?:[Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)
_TIME_ALONE = re.compile(_TIME, re.ASCII)
_SECONDS = re.compile(r"@(\d{1,18})(?:\.(\d{1,9})\d*)?", re.ASCII)


def parse_when(text: str, now: int, zone: tzinfo | None = None) -> int:
    """A time in ns since the epoch, never negative; `now` is one too. Without `zone` the local one counts.

        2026-01-31T12:00:00.5Z                          RFC 3339, with any offset
        2026-01-31 12:00[:00]  2026-01-31  12:00[:00]   in the time zone; a day is its start, a time is today's
        now  today  yesterday                           the last two are the start of the day
        -90  -5m  -1h30m                                so long ago
        @1700000000                                     seconds since the epoch

    Raises:
        ValueError: it is none of them; the message is one line that says what there is.
    """
    try:
        at = _parse(text.strip(), now, zone)
    except (ValueError, OverflowError):
        at = -1
    if not 0 <= at <= _LATEST:
        examples = "2026-01-31 12:00, 12:00, today, -1h30m or @1700000000"
        raise ValueError(f"not a time: {text!r} (expected for example {examples})")
    return at


def _parse(text: str, now: int, zone: tzinfo | None) -> int:
    if text == "now":
        return now
    if seconds := _SECONDS.fullmatch(text):
        return int(seconds[1]) * _SECOND + int((seconds[2] or "").ljust(9, "0"))
    if text.startswith("-"):
        ago = parse_duration(text[1:])
        return max(now - int(ago * _SECOND), 0) if math.isfinite(ago) else -1
    return nanoseconds(_placed(_on_the_clock(text, datetime.fromtimestamp(now // _SECOND, zone).date()), zone))


def _on_the_clock(text: str, today: date) -> datetime:
    """A time as people write it; it has a zone where that is named."""
    if text in _DAYS:
        return datetime.combine(today + timedelta(days=_DAYS[text]), time.min)
    if _TIME_ALONE.fullmatch(text):
        return datetime.combine(today, time.fromisoformat(text))
    if _DATE_TIME.fullmatch(text):
        return datetime.fromisoformat(text.upper())
    raise ValueError(text)


def _placed(moment: datetime, zone: tzinfo | None) -> datetime:
    """A wall clock's time in its zone; one that names its own is left alone."""
    if moment.tzinfo is not None:
        return moment
    return moment.astimezone() if zone is None else moment.replace(tzinfo=zone)
