"""The oracle of the chaotic run is no rubber stamp: each thing that a client may not be told is found."""

from dataclasses import replace
from math import inf

import pytest

from tests.harness.chaos.deeds import Deed, Typed
from tests.harness.chaos.oracle import Oracle, Story
from tests.harness.chaos.printed import NeverPrintedError, Printed, Stretch, came_in
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
    return b"".join(f"{boot} {number:08}\r\n".encode() for number in range(start, end))


FIRST, SECOND = lines("aaaaaaaa", 1, 101), lines("bbbbbbbb", 1, 101)


def reason(cause: Cause) -> Reason:
    return Reason(cause=cause, text="", phase=Phase.RECEIVE, at=NOW, retry=Retry(will_retry=True, after_s=None))


def heard(*said: tuple[float, bytes | Mark | Gap], who: str = "resident") -> Heard:
    """What a client was given at these times, from the beginning; offsets and numbers are filled in."""
    records: list[tuple[float, Record]] = []
    offset, number = 0, 1
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
    return Heard(who, Position(HISTORY, 0, 1), records)


def attached(number: int = 1) -> Attached:
    return Attached(NOW, number, 1)


def ended(cause: Cause) -> Ended:
    return Ended(NOW, 1, reason(cause))


def missing() -> Break:
    return Break(NOW, NOW, NOW)


def deed(what: str, *causes: Cause, began: float, over: float, ends: bool = False) -> Deed:
    return Deed(what, frozenset({"web1"}), frozenset(causes), frozenset(), began, over, ends=ends)


DESTROYED = deed("destroy", Cause.GUEST_DESTROYED, began=10, over=12, ends=True)
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
    oracle = Oracle(deeds)
    oracle.judge(story, 15.0)
    return oracle.contradictions


def test_a_true_story_is_believed_and_counted() -> None:
    oracle = Oracle([DESTROYED])
    oracle.judge(STORY, 15.0)
    assert oracle.contradictions == []
    figures = oracle.figures
    assert (figures.ends, figures.ends_alone, figures.received) == (1, 1, len(FIRST + SECOND))
    assert figures.worst_recovery == 1.0
    assert "1 destroy" in str(figures)


@pytest.mark.parametrize(
    ("resident", "found"),
    [
        pytest.param(
            heard((1, attached()), (2, FIRST[:100]), (2, FIRST[140:]), (3, SECOND)), "40 bytes are missing", id="hole"
        ),
        pytest.param(heard((1, attached()), (2, FIRST), (3, SECOND[:-2])), "last 2 bytes", id="the last ones"),
        pytest.param(heard((1, attached()), (2, FIRST), (3, FIRST + SECOND)), "has not printed", id="twice"),
        pytest.param(
            heard((1, attached()), (2, FIRST), (3, b"aaaaaaaa 00000999\r\n")), "has not printed", id="made up"
        ),
        pytest.param(heard((1, attached()), (2, SECOND), (3, FIRST)), "has not printed", id="the wrong way round"),
    ],
)
def test_bytes_that_are_not_those_that_were_printed_are_found(resident: Heard, found: str) -> None:
    (contradiction,) = contradictions(replace(STORY, resident=resident))
    assert found in contradiction


def test_what_was_printed_while_nobody_held_the_console_may_be_missing_where_a_break_says_so() -> None:
    told = heard((1, attached()), (2, FIRST), (3, missing()), (3, attached(2)), (4, SECOND[190:]))
    assert contradictions(replace(STORY, resident=told)) == []
    told = heard((1, attached()), (2, FIRST), (3, attached(2)), (4, SECOND[190:]))
    assert "190 bytes are missing" in contradictions(replace(STORY, resident=told))[0]


def test_a_client_that_is_told_something_else_than_another_is_found() -> None:
    for other in (FIRST[:50] + b"?", FIRST[1:]):
        visitor = heard((1, attached()), (2, other), who="visitor")
        contradiction, *_ = contradictions(replace(STORY, visitors=[visitor]), DESTROYED)
        assert contradiction.startswith("web1: visitor: other bytes")


def test_what_a_client_is_not_given_must_be_named() -> None:
    gap = Gap(console=1, offset=0, to_offset=100, mark=2, to_mark=2)
    named = heard((1, attached()), (2, gap), (2, FIRST[100:]), who="visitor")
    assert contradictions(replace(STORY, visitors=[named]), DESTROYED) == []

    unnamed = Heard("visitor", named.began, [each for each in named.records if not isinstance(each[1], Gap)])
    assert "visitor: Output" in contradictions(replace(STORY, visitors=[unnamed]), DESTROYED)[0]


@pytest.mark.parametrize("cause", [Cause.GUEST_SHUTDOWN, Cause.STREAM_ENDED])
def test_an_end_whose_reason_does_not_fit_is_found(cause: Cause) -> None:
    told = heard((1, attached()), (2, FIRST), (11, ended(cause)), (13, missing()), (13, attached(2)), (14, SECOND))
    assert any("ended after destroy" in each for each in contradictions(replace(STORY, resident=told), DESTROYED))


def test_a_deed_of_which_nobody_is_told_is_found() -> None:
    told = heard((1, attached()), (2, FIRST + SECOND))
    assert contradictions(replace(STORY, resident=told), DESTROYED) == ["web1: destroy was told as None"]


def test_an_end_that_is_never_told_is_found_although_another_is_told_later() -> None:
    later = deed("destroy", Cause.GUEST_DESTROYED, began=60, over=62, ends=True)
    told = heard(
        (1, attached()),
        (2, FIRST),
        (61, ended(Cause.GUEST_DESTROYED)),
        (63, missing()),
        (63, attached(2)),
        (64, SECOND),
    )
    assert contradictions(replace(STORY, resident=told), DESTROYED, later) == ["web1: destroy was told as None"]


def test_output_of_no_attachment_is_found() -> None:
    told = heard(
        (1, attached()),
        (2, FIRST),
        (11, ended(Cause.GUEST_DESTROYED)),
        (12, b"?"),
        (13, missing()),
        (13, attached(2)),
        (14, SECOND),
    )
    assert "belongs to no attachment" in contradictions(replace(STORY, resident=told), DESTROYED)[0]


def test_what_two_deeds_may_have_ended_may_be_told_as_either() -> None:
    lost = deed("libvirtd killed", Cause.HYPERVISOR_LOST, began=9.5, over=9.9)
    told = heard(
        (1, attached()),
        (2, FIRST),
        (11, ended(Cause.HYPERVISOR_LOST)),
        (13, missing()),
        (13, attached(2)),
        (14, SECOND),
    )
    assert contradictions(replace(STORY, resident=told), DESTROYED, lost) == []


def test_a_console_that_does_not_come_back_in_time_is_found() -> None:
    told = heard((1, attached()), (2, FIRST), (11, ended(Cause.GUEST_DESTROYED)), (28, missing()), (28, attached(2)))
    story = replace(STORY, printed=Printed(FIRST, [0, len(FIRST)]), resident=told)
    assert contradictions(story, DESTROYED) == ["web1: was not attached for 16.0 s from 12.0 on"]
    story = replace(story, resident=heard((1, attached()), (2, FIRST), (11, ended(Cause.GUEST_DESTROYED))))
    assert contradictions(story, DESTROYED) == [f"web1: was not attached for {inf} s from 12.0 on"]


def test_input_must_come_in_where_it_was_typed() -> None:
    echo = b"".join(b"bbbbbbbb 000002%02d %c\r\n" % (number, byte) for number, byte in enumerate(b"(7)"))
    printed = Printed(FIRST + SECOND + echo, [0, len(FIRST)])
    told = heard(
        (1, attached()),
        (2, FIRST),
        (11, ended(Cause.GUEST_DESTROYED)),
        (13, missing()),
        (13, attached(2)),
        (14, SECOND + echo),
    )
    story = replace(STORY, printed=printed, resident=told)
    assert contradictions(replace(story, typed=[Typed(b"7", 4)]), DESTROYED) == []
    assert contradictions(replace(story, typed=[Typed(b"7", 1)]), DESTROYED) == [
        "web1: b'7' was typed at run 0 and came in at run 1"
    ]
    assert contradictions(story, DESTROYED) == ["web1: b'7' came in, and was never typed"]


def test_input_that_comes_in_twice_is_found() -> None:
    echo = b"".join(b"aaaaaaaa 000002%02d %c\r\n" % (number, byte) for number, byte in enumerate(b"(7)(7)"))
    story = Story("web1", Printed(FIRST + echo, [0]), heard((1, attached()), (2, FIRST + echo)), [], [Typed(b"7", 1)])
    assert "twice" in contradictions(story)[0]


def test_output_is_found_where_it_was_printed_around_what_is_missing() -> None:
    printed = Printed(FIRST, [0])
    assert printed.find(FIRST[38:500], 0) == [Stretch(0, 38, 462)]
    assert printed.find(FIRST[38:57] + FIRST[95:], 19)[1] == Stretch(17, 93, len(FIRST) - 93), (
        "lines begin and end alike"
    )
    within = FIRST[:30] + FIRST[50:54] + FIRST[90:]
    assert sum(each.length for each in printed.find(within, 0)) == len(within)
    with pytest.raises(NeverPrintedError):
        printed.find(b"never", 0)


def test_what_a_guest_was_sent_is_what_its_lines_end_with() -> None:
    assert came_in(b"\naaaaaaaa 00000001 x\r\naaaaaaaa 00000002\r\naaaaaaaa 00000003  \r\n") == b"x "
