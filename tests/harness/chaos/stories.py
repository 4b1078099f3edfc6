"""Stories for the oracle: what a guest printed, what was done to it, and what its clients were told. Pure."""

from tests.harness.chaos.deeds import DESTROY, Deed, Kind
from tests.harness.chaos.oracle import Oracle, Story
from tests.harness.chaos.printed import Printed
from tests.harness.chaos.told import Heard
from virtmux import (
    Attached,
    Break,
    Cause,
    Ended,
    Gap,
    Mark,
    MarkMessage,
    Output,
    Phase,
    Position,
    Reason,
    Record,
    Retry,
)

HISTORY = "0" * 32
NOW = "2026-01-01T00:00:00.000000Z"


def lines(boot: str, start: int, end: int) -> bytes:
    """What a ticker prints in a run, from one line to another."""
    return b"".join(f"{boot} {number:08}\r\n".encode() for number in range(start, end))


FIRST, SECOND = lines("aaaaaaaa", 1, 101), lines("bbbbbbbb", 1, 101)


def reason(cause: Cause, phase: Phase = Phase.RECEIVE) -> Reason:
    """With nothing in it that the oracle does not look at."""
    return Reason(cause=cause, text="", phase=phase, at=NOW, retry=Retry(will_retry=True, after_s=None))


def heard(*said: tuple[float, bytes | Mark | Gap], who: str = "resident", start: int = 0, mark: int = 1) -> Heard:
    """What a client was given at these times, from an offset and a mark on; offsets and numbers are filled in."""
    records: list[tuple[float, Record]] = []
    offset, number = start, mark
    began = Position(HISTORY, offset, number)
    for at, each in said:
        match each:
            case bytes():
                records.append((at, Output(1, offset, each)))
                offset += len(each)
            case Gap():
                records.append((at, each))
                offset, number = each.to_offset, each.to_mark
            case _:
                records.append((at, MarkMessage(1, offset, number, each)))
                number += 1
    return Heard(who, began, records)


def attached(number: int = 1) -> Attached:
    """A mark of an attachment."""
    return Attached(NOW, number, 1)


def ended(cause: Cause, attachment: int | None = 1, phase: Phase = Phase.RECEIVE) -> Ended:
    """The mark of its end; None: of a failed opening."""
    return Ended(NOW, attachment, reason(cause, phase))


def missing() -> Break:
    """A break, whose times nobody looks at."""
    return Break(NOW, NOW, NOW)


def deed(kind: Kind, began: float, over: float) -> Deed:
    """Something that was done to the guest of the story, from one time to another."""
    return Deed(kind, frozenset({"web1"}), began, over)


DESTROYED = deed(DESTROY, 10, 12)
#: A guest that is destroyed and started again, and whose console is told of it as it is.
STORY = Story(
    "web1",
    Printed(FIRST + SECOND, [0, len(FIRST)]),
    heard(
        (1, attached()),
        (2, FIRST),
        (11, ended(Cause.GUEST_DESTROYED)),
        (13, missing()),
        (13, attached(2)),
        (14, SECOND),
    ),
    [],
    [],
)


def contradictions(story: Story, *deeds: Deed) -> list[str]:
    """What the oracle finds wrong with a story, where these deeds were done."""
    oracle = Oracle(deeds)
    oracle.judge(story, 15.0)
    return oracle.contradictions
