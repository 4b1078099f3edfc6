"""When the entries of an index were made. Pure."""

from datetime import UTC, datetime, timedelta

from virtmux.journal.entries import Batch, Closed, Entry, Marked

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(text: str) -> int | None:
    """Read a time in RFC 3339, as the marks carry it, as ns since the epoch; None where it is not one."""
    try:
        time = datetime.fromisoformat(text)
        aware = time if time.tzinfo else time.replace(tzinfo=UTC)
        return (aware - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        return None


def moment(entry: Entry) -> int | None:
    """When the last of what an entry tells happened (ns).

    None where it has no time, and of `Closed`: that is written whenever it is found out, maybe days later.
    """
    match entry:
        case Batch(at=at, beats=beats):
            return at + (beats[-1][1] * 1_000_000 if beats else 0)
        case Marked(record=record):
            return nanoseconds(record.at)
        case Closed():
            return None
        case _:
            return entry.at
