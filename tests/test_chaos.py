"""The oracle of the chaotic run is no rubber stamp: each thing that a client may not be told is found."""

from dataclasses import replace
from math import inf

import pytest

from tests.harness.chaos.arena import GROWTH_KIB, Stock
from tests.harness.chaos.deeds import (
    CLOCK_STEPPED,
    DAEMON_KILLED,
    DESCRIPTORS_EXHAUSTED,
    DESTROY,
    DISK_FULL,
    LIBVIRTD_HUNG,
    LIBVIRTD_KILLED,
    LIBVIRTD_SLOW,
    SAVE,
    SHUT_DOWN,
    TAKEOVER,
    Deed,
    Kind,
    TurnedAway,
    Typed,
)
from tests.harness.chaos.oracle import LAST_WORDS, Oracle, Story
from tests.harness.chaos.printed import NeverPrintedError, Printed, Stretch, came_in
from tests.harness.chaos.told import Heard
from tests.harness.scripted_daemon import place
from tests.harness.watched_daemon import Census
from virtmux import (
    Attached,
    Break,
    Cause,
    Disconnected,
    Ended,
    Gap,
    Mark,
    MarkMessage,
    Output,
    Phase,
    Position,
    Reason,
    Record,
    Resumed,
    Retry,
)

HISTORY = "0" * 32
NOW = "2026-01-01T00:00:00.000000Z"


def lines(boot: str, start: int, end: int) -> bytes:
    return b"".join(f"{boot} {number:08}\r\n".encode() for number in range(start, end))


FIRST, SECOND = lines("aaaaaaaa", 1, 101), lines("bbbbbbbb", 1, 101)


def reason(cause: Cause, phase: Phase = Phase.RECEIVE) -> Reason:
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
    return Attached(NOW, number, 1)


def ended(cause: Cause, attachment: int | None = 1, phase: Phase = Phase.RECEIVE) -> Ended:
    return Ended(NOW, attachment, reason(cause, phase))


def missing() -> Break:
    return Break(NOW, NOW, NOW)


def deed(kind: Kind, began: float, over: float) -> Deed:
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
    assert "ends: 1, each with one reason that fits" in str(figures)


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
    killed = deed(DAEMON_KILLED, 2.5, 3)
    told = heard((1, attached()), (2, FIRST), (3, missing()), (3, attached(2)), (4, SECOND[190:]))
    assert contradictions(replace(STORY, resident=told), killed) == []
    told = heard((1, attached()), (2, FIRST), (3, attached(2)), (4, SECOND[190:]))
    assert "190 bytes are missing" in contradictions(replace(STORY, resident=told), killed)[0]


def test_why_a_console_ended_may_be_hidden_while_the_daemon_has_no_descriptors() -> None:
    told = heard((1, attached()), (2, FIRST), (11, ended(Cause.STREAM_ENDED)), (13, missing()), (13, attached(2)))
    story = replace(STORY, printed=Printed(FIRST, [0]), resident=told)
    taken = deed(TAKEOVER, 10, 12)
    assert contradictions(story, taken, deed(DESCRIPTORS_EXHAUSTED, 10, 12)) == []
    assert "ended after takeover" in contradictions(story, taken)[0]


def test_what_a_guest_says_last_may_be_missing_up_to_what_its_port_keeps() -> None:
    long = lines("aaaaaaaa", 1, 3001)
    for lost, found in ((LAST_WORDS, False), (LAST_WORDS + 1, True)):
        told = heard(
            (1, attached()),
            (2, long[:-lost]),
            (11, ended(Cause.GUEST_DESTROYED)),
            (13, missing()),
            (13, attached(2)),
            (14, SECOND),
        )
        story = replace(STORY, printed=Printed(long + SECOND, [0, len(long)]), resident=told)
        assert [f"the last {lost} bytes of a run" in each for each in contradictions(story, DESTROYED)] == [
            True
        ] * found


@pytest.mark.parametrize(("ends_after", "found"), [(0.5, False), (5.0, True)])
def test_a_guest_that_ends_before_qemu_has_noticed_its_reader_may_have_said_anything(
    ends_after: float, found: bool
) -> None:
    long = lines("aaaaaaaa", 1, 3001)
    told = heard(
        (1, attached()),
        (2, long[:1900]),
        (10, missing()),
        (10, attached(2)),
        (10.1, long[1900:3800]),
        (16, ended(Cause.GUEST_SAVED, 2)),
        (17, missing()),
        (17, attached(3)),
        (18, SECOND),
    )
    story = replace(STORY, printed=Printed(long + SECOND, [0, len(long)]), resident=told)
    deeds = deed(DAEMON_KILLED, 9, 10), deed(SAVE, 10 + ends_after, 16)
    assert ["of a run are missing" in each for each in contradictions(story, *deeds)] == [True] * found


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(ended(Cause.GUEST_DESTROYED, None), id="the daemon was away"),
        pytest.param(ended(Cause.GUEST_DESTROYED, phase=Phase.SEND), id="its stream had died in silence"),
    ],
)
def test_a_guest_that_ends_while_its_console_is_not_held_may_have_said_anything(end: Ended) -> None:
    long = lines("aaaaaaaa", 1, 3001)
    told = heard((1, attached()), (2, FIRST), (11, end), (13, missing()), (13, attached(2)), (14, SECOND))
    story = replace(STORY, printed=Printed(long + SECOND, [0, len(long)]), resident=told)
    assert contradictions(story, deed(DAEMON_KILLED, 9, 11), DESTROYED) == []
    told = heard((1, attached()), (2, FIRST), (11, end), (13, attached(2)), (14, SECOND))
    assert "bytes are missing" in contradictions(replace(story, resident=told), DESTROYED)[0]


def test_what_is_missing_of_the_next_run_is_no_last_word_of_the_one_before() -> None:
    told = heard((1, attached()), (2, FIRST), (11, ended(Cause.GUEST_DESTROYED)), (13, attached(2)), (14, SECOND[19:]))
    assert "19 bytes are missing" in contradictions(replace(STORY, resident=told), DESTROYED)[0]


@pytest.mark.parametrize(("lasted", "found"), [(8, False), (2, True)])
def test_a_break_must_reach_back_to_what_is_missing(lasted: int, found: bool) -> None:
    told = heard(
        (1, attached()),
        (2, FIRST[:400]),
        (7, ended(Cause.CONSOLE_TAKEN_OVER)),
        (15, Break(NOW, NOW, NOW.replace(":00.", f":{lasted:02}."))),
        (15, attached(2)),
        (16, SECOND),
    )
    story, taken = replace(STORY, resident=told), deed(TAKEOVER, 7, 9)
    assert any("are missing at 400 from before" in each for each in contradictions(story, taken, DESTROYED)) == found
    assert contradictions(story, taken, DESTROYED, deed(CLOCK_STEPPED, 13, 13)) == []


def test_a_break_may_end_with_an_attachment_that_brings_nothing() -> None:
    told = heard(
        (1, attached()),
        (2, FIRST[:400]),
        (7, ended(Cause.CONSOLE_TAKEN_OVER)),
        (15, Break(NOW, NOW, NOW.replace(":00.", ":08."))),
        (15, attached(2)),
        (15, ended(Cause.HYPERVISOR_LOST, 2)),
        (16, missing()),
        (16, attached(3)),
        (16, SECOND),
    )
    deeds = deed(TAKEOVER, 7, 9), DESTROYED, deed(LIBVIRTD_KILLED, 15, 15)
    assert contradictions(replace(STORY, resident=told), *deeds) == []


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


@pytest.mark.parametrize(
    ("kind", "cause"),
    [(DESTROY, Cause.GUEST_SHUTDOWN), (DESTROY, Cause.STREAM_ENDED), (SHUT_DOWN, Cause.GUEST_DESTROYED)],
)
def test_an_end_whose_reason_does_not_fit_is_found(kind: Kind, cause: Cause) -> None:
    told = heard((1, attached()), (2, FIRST), (11, ended(cause)), (13, missing()), (13, attached(2)), (14, SECOND))
    oracle = Oracle([deed(kind, 10, 12)])
    oracle.judge(replace(STORY, resident=told), 15.0)
    (contradiction,) = oracle.contradictions
    assert f"ended after {kind.what}" in contradiction
    assert "ends: 1, 1 contradictions in them" in str(oracle.figures)


def test_a_deed_of_which_nobody_is_told_is_found() -> None:
    told = heard((1, attached()), (2, FIRST + SECOND))
    assert contradictions(replace(STORY, resident=told), DESTROYED) == [f"web1: destroy has not ended {attached()}"]


def test_an_end_that_is_never_told_is_found_although_another_is_told_later() -> None:
    later = deed(DESTROY, 60, 62)
    told = heard(
        (1, attached()),
        (2, FIRST),
        (61, ended(Cause.GUEST_DESTROYED)),
        (63, missing()),
        (63, attached(2)),
        (64, SECOND),
    )
    assert contradictions(replace(STORY, resident=told), DESTROYED, later) == [
        f"web1: destroy has not ended {attached()}"
    ]


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
    lost = deed(LIBVIRTD_KILLED, 9.5, 9.9)
    told = heard(
        (1, attached()),
        (2, FIRST),
        (11, ended(Cause.HYPERVISOR_LOST)),
        (13, missing()),
        (13, attached(2)),
        (14, SECOND),
    )
    assert contradictions(replace(STORY, resident=told), DESTROYED, lost) == []


def test_what_a_deed_ends_it_ends_once() -> None:
    twice = heard(
        (1, attached()),
        (2, FIRST),
        (11, ended(Cause.GUEST_DESTROYED)),
        (13, missing()),
        (13, attached(2)),
        (14, SECOND),
        (15, ended(Cause.GUEST_DESTROYED, 2)),
        (16, missing()),
        (16, attached(3)),
    )
    (contradiction,) = contradictions(replace(STORY, resident=twice), DESTROYED)
    assert "ended after nothing" in contradiction
    again = deed(DESTROY, 14.5, 15)
    assert contradictions(replace(STORY, resident=twice), DESTROYED, again) == []


def test_what_was_over_before_a_console_was_attached_has_not_ended_it() -> None:
    told = heard((13, attached()), (14, FIRST + SECOND), (15, ended(Cause.GUEST_DESTROYED)), (16, attached(2)))
    assert "ended after nothing" in contradictions(replace(STORY, resident=told), DESTROYED)[0]


def test_an_attachment_ends_once_and_by_its_number() -> None:
    end = ended(Cause.GUEST_DESTROYED)
    told = heard((1, attached()), (2, FIRST + SECOND), (11, end), (11, end), (13, attached(2)))
    assert "an end of attachment 1, which was not there" in contradictions(replace(STORY, resident=told), DESTROYED)[0]
    told = heard((1, attached(3)), (2, FIRST + SECOND), (11, end), (13, attached(4)))
    assert "an end of attachment 1, which was not there" in contradictions(replace(STORY, resident=told), DESTROYED)[0]


@pytest.mark.parametrize(
    ("kind", "cause", "later"),
    [
        (LIBVIRTD_KILLED, Cause.HYPERVISOR_LOST, Cause.HYPERVISOR_TIMEOUT),
        (TAKEOVER, Cause.CONSOLE_TAKEN_OVER, Cause.CONSOLE_BUSY),
    ],
)
def test_what_only_who_waits_may_be_told_is_no_end_of_an_attachment(kind: Kind, cause: Cause, later: Cause) -> None:
    before = (1, attached()), (2, FIRST + SECOND)
    told = heard(*before, (11, ended(cause)), (11, ended(later, None)), (13, missing()), (13, attached(2)))
    assert contradictions(replace(STORY, resident=told), deed(kind, 10, 12)) == []
    told = heard(*before, (11, ended(later)), (13, missing()), (13, attached(2)))
    assert f"ended after {kind.what}" in contradictions(replace(STORY, resident=told), deed(kind, 10, 12))[0]


def test_who_waits_must_be_told_what_is_so() -> None:
    told = heard((1, attached()), (2, FIRST), (11, ended(Cause.GUEST_DESTROYED)), (12, ended(Cause.CONSOLE_BUSY, None)))
    story = replace(STORY, printed=Printed(FIRST, [0, len(FIRST)]), resident=told)
    assert "not to be had after destroy" in contradictions(story, DESTROYED)[0]


def test_a_reason_may_be_missing_where_the_daemon_ended_meanwhile() -> None:
    told = heard(
        (1, attached()),
        (2, FIRST),
        (13, ended(Cause.STREAM_ENDED)),
        (13, missing()),
        (13, attached(2)),
        (14, SECOND),
    )
    story = replace(STORY, resident=told)
    assert contradictions(story, DESTROYED, deed(DAEMON_KILLED, 11, 12.5)) == []
    assert "ended after destroy" in contradictions(story, DESTROYED)[0]
    assert "ended after nothing" in contradictions(story, deed(DAEMON_KILLED, 11, 12.5))[0]


def test_a_console_is_not_broken_off_without_need() -> None:
    told = heard((1, attached()), (2, FIRST), (3, missing()), (3, attached(2)), (4, SECOND))
    story = replace(STORY, resident=told)
    for kind in (DAEMON_KILLED, TAKEOVER, LIBVIRTD_HUNG):
        assert contradictions(story, deed(kind, 2, 3)) == []
    assert "broken off after libvirtd hung for a moment" in contradictions(story, deed(LIBVIRTD_SLOW, 2, 3))[0]
    told = heard((1, attached()), (2, FIRST), (3, attached(2)), (4, SECOND))
    assert "without an end or a break" in contradictions(replace(STORY, resident=told), deed(DAEMON_KILLED, 2, 3))[0]


def test_who_has_taken_a_console_and_has_it_still_is_seen() -> None:
    told = heard(
        (1, attached()), (2, FIRST + SECOND), (11, ended(Cause.STREAM_ERROR)), (13, missing()), (13, attached(2))
    )
    story = replace(STORY, resident=told)
    assert contradictions(story, deed(TAKEOVER, 10, 11.5)) == []
    assert "ended after takeover" in contradictions(story, deed(TAKEOVER, 10, 12.5))[0]
    told = heard((1, attached()), (2, FIRST + SECOND), (13, missing()), (13, attached(2)))
    story = replace(STORY, resident=told)
    assert contradictions(story, deed(TAKEOVER, 10, 11.5)) == []
    assert "broken off after takeover" in contradictions(story, deed(TAKEOVER, 10, 14.5))[0]


def test_what_ends_with_the_daemon_needs_no_other_end() -> None:
    told = heard((1, attached()), (2, FIRST), (30, missing()), (30, attached(2)), (31, SECOND))
    deeds = deed(DAEMON_KILLED, 9, 11), DESTROYED, deed(LIBVIRTD_HUNG, 13, 29)
    assert contradictions(replace(STORY, resident=told), *deeds) == []


def test_who_was_away_knows_not_when_a_mark_was_made() -> None:
    records = STORY.resident.records
    end = next(index for index, (_, record) in enumerate(records) if getattr(record, "mark", 0) == 2)
    at, now = Position(HISTORY, len(FIRST), 2), Position(HISTORY, len(FIRST), 4)
    back = Resumed(at, place(1, position=str(at), end=str(now)))
    away: list[tuple[float, Record]] = [(10.5, Disconnected(reason(Cause.SERVER_LOST))), (40.0, back)]
    later = [(at + 30, record) for at, record in records[end:]]
    told = Heard("resident", STORY.resident.began, [*records[:end], *away, *later])
    assert [(each.earliest, each.at) for each in told.marks()] == [(1, 1), (10.5, 41), (10.5, 43), (43, 43)]


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


def test_who_comes_last_is_given_all_that_is_kept() -> None:
    total = len(FIRST + SECOND)
    told = heard((1, attached()), (2, FIRST), (10, SECOND))
    story = replace(STORY, resident=told, kept=500, stored=1000)

    def found(
        *said: bytes | Mark | Gap, start: int = 0, kind: Kind = DISK_FULL, during: tuple[float, float] = (90, 91)
    ) -> list[str]:
        last = heard(*((inf, each) for each in said), who="who came last", start=start, mark=1 + (start > 0))
        return contradictions(replace(story, last=last), deed(kind, *during))

    def given(start: int, until: int) -> list[str]:
        return [f"web1: who came last was not given {start} to {until} of {total}"]

    assert found(attached(), FIRST + SECOND) == []
    assert found((FIRST + SECOND)[total - 1500 :], start=total - 1500) == []
    assert found((FIRST + SECOND)[total - 1000 :], start=total - 1000) == []
    assert found((FIRST + SECOND)[total - 999 :], start=total - 999) == given(0, total - 999)
    assert found(attached(), FIRST + SECOND[:-1]) == [f"web1: who came last came to {total - 1} of {total}"]

    gap = Gap(console=1, offset=len(FIRST), to_offset=total - 500, mark=2, to_mark=2)
    assert found(attached(), FIRST, gap, SECOND[-500:], during=(9, 11)) == []
    assert found(attached(), FIRST, gap, SECOND[-500:], during=(20, 21)) == given(len(FIRST), total - 500)
    gap = Gap(console=1, offset=len(FIRST), to_offset=total - 499, mark=2, to_mark=2)
    assert found(attached(), FIRST, gap, SECOND[-499:], during=(9, 11)) == given(len(FIRST), total - 499)
    assert found(attached(), FIRST, gap, SECOND[-499:], kind=DESCRIPTORS_EXHAUSTED, during=(0, 2)) == []
    told = heard((1, attached()), (2, FIRST), (30, SECOND))
    story = replace(story, resident=told)
    late = found(attached(), FIRST, gap, SECOND[-499:], kind=DESCRIPTORS_EXHAUSTED, during=(9, 11))
    assert late == given(len(FIRST), total - 499)


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


def test_a_console_that_does_not_come_back_in_time_is_found() -> None:
    told = heard((1, attached()), (2, FIRST), (11, ended(Cause.GUEST_DESTROYED)), (28, missing()), (28, attached(2)))
    story = replace(STORY, printed=Printed(FIRST, [0, len(FIRST)]), resident=told)
    assert contradictions(story, DESTROYED) == ["web1: was not attached for 16.0 s from 12.0 on"]
    story = replace(story, resident=heard((1, attached()), (2, FIRST), (11, ended(Cause.GUEST_DESTROYED))))
    assert contradictions(story, DESTROYED) == [f"web1: was not attached for {inf} s from 12.0 on"]


def test_a_console_is_attached_until_it_is_broken_off() -> None:
    told = replace(STORY.resident, records=[*STORY.resident.records])
    told.records += heard((40, missing()), (40, attached(3)), start=len(FIRST + SECOND), mark=5).records
    assert contradictions(replace(STORY, resident=told), DESTROYED, deed(TAKEOVER, 39, 39.5)) == []


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
