"""Which segments of the journal have to go. Pure.

What is too old goes first. Then, as long as there is too much or the file system is too full: what undefined guests
left, then what was rotated, then what still grows; each oldest first.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple


class SegmentInfo(NamedTuple):
    """A segment as retention sees it.

    `key` names its console, as a path does: hypervisor, uuid, device. `number` is None where it grows. `size` is that
    of its log and index (bytes), `last_at` when its last output came (ns), `defined` whether its guest is defined.
    """

    key: tuple[str, str, str]
    number: int | None
    size: int
    last_at: int
    defined: bool


class Bounds(NamedTuple):
    """The most bytes that all segments together may have, the greatest age (ns), and the least part of the file system
    (0 to 1) that has to be free."""

    total: int
    age: int
    free: float


class _Rank(IntEnum):
    UNDEFINED = 0
    ROTATED = 1
    GROWS = 2


def to_drop(
    segments: Sequence[SegmentInfo], bounds: Bounds, now: int, free_bytes: int, file_system_bytes: int
) -> list[SegmentInfo]:
    """The segments to remove, in this order; no more of them than needed.

    Args:
        now: the time (ns).
        free_bytes: how much of the file system is free.
        file_system_bytes: how large it is.
    """
    by_age = sorted(segments, key=lambda segment: segment.last_at)
    dropped = [segment for segment in by_age if now - segment.last_at > bounds.age]
    left = [segment for segment in by_age if now - segment.last_at <= bounds.age]
    held = sum(segment.size for segment in left)
    free = free_bytes + sum(segment.size for segment in dropped)
    least_free = bounds.free * file_system_bytes
    for segment in sorted(left, key=_order):
        if held <= bounds.total and free >= least_free:
            break
        dropped.append(segment)
        held -= segment.size
        free += segment.size
    return dropped


def _order(segment: SegmentInfo) -> tuple[_Rank, int, bool, int]:
    """Who goes first. Of segments that are equally old those of one console go in the order in which they were made."""
    grows = segment.number is None
    rank = (_Rank.GROWS if grows else _Rank.ROTATED) if segment.defined else _Rank.UNDEFINED
    return rank, segment.last_at, grows, -(segment.number or 0)
