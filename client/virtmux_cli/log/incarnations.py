"""Which starts of the domain the marks of a history tell of. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from virtmux.reasons import GUEST_ENDS
from virtmux.records import Attached, Ended, Mark, Position, parse_time
from virtmux_cli.log.records import Incarnation


class Placed(NamedTuple):
    """A mark, and where it stands."""

    position: Position
    record: Mark


def incarnations(marks: Iterable[Placed]) -> tuple[Incarnation, ...]:
    """The starts, in order. How one ended is what the last mark `ended` of it says, if that ends a guest."""
    found: list[Incarnation] = []
    for position, record in marks:
        match record:
            case Attached(at=at, incarnation=number) if not found or found[-1].number != number:
                found.append(Incarnation(number, parse_time(at), position, None))
            case Ended(reason=reason) if found and reason.cause in GUEST_ENDS:
                found[-1] = found[-1]._replace(end=reason)
            case _:
                pass
    return tuple(found)
