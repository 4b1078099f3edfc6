"""What clients are told of a guest's output the oracle holds against what that has printed."""

from dataclasses import replace
from math import inf

import pytest

from tests.harness.chaos.deeds import (
    CLOCK_STEPPED,
    DAEMON_KILLED,
    DESCRIPTORS_EXHAUSTED,
    DISK_FULL,
    LIBVIRTD_KILLED,
    SAVE,
    TAKEOVER,
    Kind,
)
from tests.harness.chaos.oracle import LAST_WORDS
from tests.harness.chaos.printed import NeverPrintedError, Printed, Stretch, came_in
from tests.harness.chaos.stories import (
    DESTROYED,
    FIRST,
    HISTORY,
    NOW,
    SECOND,
    STORY,
    attached,
    contradictions,
    deed,
    ended,
    heard,
    lines,
    missing,
    reason,
)
from tests.harness.chaos.told import Heard
from tests.harness.scripted_daemon import place
from virtmux import Break, Cause, Disconnected, Ended, Gap, Mark, Phase, Position, Record, Resumed


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


def test_what_is_missing_before_a_boot_is_known_as_that_where_the_boot_begins_alike() -> None:
    """It is the last 0 of the first boot that is missing; or another, and then the oracle cannot tell."""
    cut, boot = FIRST + b"aaaaaaaa 000", lines("0bbbbbbb", 1, 30)
    told = heard((1, attached()), (2, cut[:-1]), (2, boot))
    assert contradictions(replace(STORY, printed=Printed(cut + boot, [0]), resident=told)) == []

    cut = FIRST + b"aaaaaaaa 001"
    told = heard((1, attached()), (2, FIRST + b"aaaaaaaa 01"), (2, boot))
    found = contradictions(replace(STORY, printed=Printed(cut + boot, [0]), resident=told))
    assert "1 bytes are missing" in found[0]


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


def test_who_was_away_knows_not_when_a_mark_was_made() -> None:
    records = STORY.resident.records
    end = next(index for index, (_, record) in enumerate(records) if getattr(record, "mark", 0) == 2)
    at, now = Position(HISTORY, len(FIRST), 2), Position(HISTORY, len(FIRST), 4)
    back = Resumed(at, place(1, position=str(at), end=str(now)))
    away: list[tuple[float, Record]] = [(10.5, Disconnected(reason(Cause.SERVER_LOST))), (40.0, back)]
    later = [(at + 30, record) for at, record in records[end:]]
    told = Heard("resident", STORY.resident.began, [*records[:end], *away, *later])
    assert [(each.earliest, each.at) for each in told.marks()] == [(1, 1), (10.5, 41), (10.5, 43), (43, 43)]


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
