"""When the entries of an index were made. Pure."""

from virtmux.journal.entries import Batch, Closed, Entry, Marked
from virtmux.records import parse_time


def moment(entry: Entry) -> int | None:
    """When the last of what an entry tells happened (ns).

    None where it has no time, and of `Closed`: that is written whenever it is found out, maybe days later.
    """
    match entry:
        case Batch(at=at, beats=beats):
            return at + (beats[-1][1] * 1_000_000 if beats else 0)
        case Marked(record=record):
            try:
                return parse_time(record.at)
            except ValueError:
                return None
        case Closed():
            return None
        case _:
            return entry.at
