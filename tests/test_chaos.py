"""The oracle of the chaotic run is no rubber stamp: each thing that may not be is found. What of output may not be told
is in test_chaos_output.py, what of ends in test_chaos_ends.py."""

from dataclasses import replace

import pytest

from tests.harness.chaos.arena import GROWTH_KIB, Stock
from tests.harness.chaos.deeds import (
    DAEMON_KILLED,
    DESCRIPTORS_EXHAUSTED,
    DESTROY,
    LIBVIRTD_KILLED,
    LIBVIRTD_SLOW,
    SAVE,
    Kind,
    TurnedAway,
    Typed,
)
from tests.harness.chaos.oracle import Oracle, Story
from tests.harness.chaos.printed import Printed
from tests.harness.chaos.stories import (
    DESTROYED,
    FIRST,
    SECOND,
    STORY,
    attached,
    contradictions,
    deed,
    ended,
    heard,
    lines,
    missing,
)
from tests.harness.watched_daemon import Census
from virtmux import Cause


def test_a_true_story_is_believed_and_counted() -> None:
    oracle = Oracle([DESTROYED])
    oracle.judge(STORY, 15.0)
    assert oracle.contradictions == []
    figures = oracle.figures
    assert (figures.ends, figures.ends_alone, figures.received) == (1, 1, len(FIRST + SECOND))
    assert figures.worst_recovery == 1.0
    assert "1 destroy" in str(figures)
    assert "ends: 1, each with one reason that fits" in str(figures)


@pytest.mark.parametrize(
    ("visitor", "found"),
    [
        pytest.param(TurnedAway("visitor", 9, 11, "refused"), False, id="while it was killed"),
        pytest.param(TurnedAway("visitor", 13, 14, "refused"), True, id="for no reason"),
        pytest.param(TurnedAway("visitor", 9, 54, "", stuck=True), True, id="never"),
    ],
)
def test_a_visitor_is_turned_away_only_where_the_daemon_cannot_serve_it(visitor: TurnedAway, found: bool) -> None:
    oracle = Oracle([deed(DAEMON_KILLED, 10, 12), deed(DESTROY, 13, 15)])
    oracle.judge_visits([visitor])
    assert oracle.contradictions == ([str(visitor)] if found else [])


@pytest.mark.parametrize(
    ("libvirtd", "found"),
    [
        pytest.param((LIBVIRTD_KILLED, 11, 16), False, id="libvirtd is away"),
        pytest.param((LIBVIRTD_KILLED, 14.5, 16), True, id="libvirtd is away only later"),
        pytest.param((LIBVIRTD_KILLED, 2, 9), True, id="libvirtd was away before"),
        pytest.param((LIBVIRTD_SLOW, 11, 16), True, id="libvirtd is slow"),
    ],
)
def test_a_daemon_that_has_not_seen_the_guests_yet_turns_visitors_away(
    libvirtd: tuple[Kind, float, float], found: bool
) -> None:
    oracle = Oracle([deed(DAEMON_KILLED, 10, 12), deed(*libvirtd)])
    visitor = TurnedAway("visitor", 15, 17, "refused")
    oracle.judge_visits([visitor])
    assert oracle.contradictions == ([str(visitor)] if found else [])
    oracle = Oracle([deed(DESCRIPTORS_EXHAUSTED, 10, 12), deed(*libvirtd)])
    oracle.judge_visits([visitor])
    assert oracle.contradictions == [str(visitor)]


def test_what_the_daemon_keeps_is_found() -> None:
    first = Stock(Census({"tasks": 20, "timers": 8}, workers=8, busy_workers=0, types={"builtins.dict": 900}), 40_000)
    fewer = replace_held(first, tasks=19, memory=30_000)
    assert fewer.more_than(first) == first.more_than(first) == []
    assert replace_held(first, tasks=20, memory=40_000 + GROWTH_KIB).more_than(first) == []
    (leak,) = replace_held(first, tasks=21, memory=40_000).more_than(first)
    assert "{'tasks': 1}" in leak
    assert first.with_timers(4).more_than(first.with_timers(4)) == first.more_than(first.with_timers(4)) == []
    (leak,) = first.with_timers(5).more_than(first.with_timers(4))
    assert "{'timers': 1}" in leak
    (leak,) = replace_held(first, tasks=20, memory=40_001 + GROWTH_KIB).more_than(first)
    assert "KiB of memory" in leak


def replace_held(stock: Stock, *, tasks: int, memory: int) -> Stock:
    return Stock(stock.census._replace(held={**stock.census.held, "tasks": tasks}), memory)


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


def test_input_for_a_guest_that_is_saved_may_come_in_where_it_goes_on() -> None:
    rest = lines("aaaaaaaa", 101, 103) + b"".join(b"aaaaaaaa 000002%02d %c\r\n" % each for each in enumerate(b"(7)"))
    for restored in (rest, rest.replace(b"aaaaaaaa 00000101", b"bbbbbbbb 00000001")):
        told = heard(
            (1, attached()),
            (2, FIRST),
            (11, ended(Cause.GUEST_SAVED)),
            (13, missing()),
            (13, attached(2)),
            (14, restored),
        )
        story = Story("web1", Printed(FIRST + restored, [0, len(FIRST)]), told, [], [Typed(b"7", 1)])
        assert len(contradictions(story, deed(SAVE, 10, 12))) == (restored is not rest)


def test_input_that_comes_in_twice_is_found() -> None:
    echo = b"".join(b"aaaaaaaa 000002%02d %c\r\n" % (number, byte) for number, byte in enumerate(b"(7)(7)"))
    story = Story("web1", Printed(FIRST + echo, [0]), heard((1, attached()), (2, FIRST + echo)), [], [Typed(b"7", 1)])
    assert "twice" in contradictions(story)[0]
